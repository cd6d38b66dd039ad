"""The admin panel in a real browser: a tier created there applies to its accounts."""

from __future__ import annotations

import io

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants
from PIL import Image

from tests.e2e.accounts import Person, create_gallery, make_admin, sign_up, until_media_ready
from tests.e2e.browser import Page
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

PHOTO = File("tram.jpg", "image/jpeg", encode(quadrants(1200, 900), "JPEG"))
_SAVE = ".card-footer button[type=submit]:not([name])"
EFFECT_S = 10.0
"""A change of a tier takes effect within seconds."""


@pytest.mark.timeout(240)
async def test_a_tier_made_in_the_panel_takes_effect(stack: StackUnderTest, phone: Phone, page: Page) -> None:
    admin = await make_admin(stack, phone)
    owner = await sign_up(stack, phone, "studio")
    gallery = await create_gallery(phone, owner, title="Studio")
    (media_id,) = await phone.upload(gallery, PHOTO)
    await until_media_ready(phone, owner, media_id)
    refused = await phone.ask("GET", f"/v1/media/{media_id}/renditions/777", headers=owner.key)
    refused.problem(403, "rendition_not_in_tier")

    await _log_in(page, stack, admin)
    await _make_tier(page, name="Studio", sizes="123, 777")
    await _move(page, stack, owner, tier="Studio")
    await page.photograph("admin-panel-accounts")
    assert page.complaints == []

    for height in (777, 123):
        picture = await _rendition(phone, owner, media_id, height)
        assert (picture.format, picture.size) == ("JPEG", (round(height * 1200 / 900), height))
    no_more = await phone.ask("GET", f"/v1/media/{media_id}/renditions/200", headers=owner.key)
    no_more.problem(403, "rendition_not_in_tier")


@pytest.mark.timeout(120)
async def test_only_an_administrator_can_log_in(stack: StackUnderTest, phone: Phone, page: Page) -> None:
    person = await sign_up(stack, phone, "curious")
    for path in ("/admin/tiers/list", "/admin/accounts/list", "/admin"):
        await page.go(stack.base_url + path)
        await page.see("location.pathname === '/admin/login'")
    await _fill_login(page, person)
    await page.see("location.pathname === '/admin/login' && !!document.querySelector('[role=alert]')")
    assert person.email not in await page.ask("document.body.innerText")
    await page.go(f"{stack.base_url}/admin/tiers/list")
    await page.see("location.pathname === '/admin/login'")


async def _fill_login(page: Page, person: Person) -> None:
    await page.write("#username", person.email)
    await page.write("#password", person.password)
    await page.follow("form button[type=submit]")


async def _log_in(page: Page, stack: StackUnderTest, admin: Person) -> None:
    await page.go(f"{stack.base_url}/admin")
    await page.see("location.pathname === '/admin/login'")
    await _fill_login(page, admin)
    await page.see("location.pathname.startsWith('/admin') && location.pathname !== '/admin/login'")


async def _make_tier(page: Page, *, name: str, sizes: str) -> None:
    await page.follow("a[href$='/admin/tiers/list']")
    await page.follow("a[href*='/admin/tiers/create']")
    await page.write("#name", name)
    await page.write("#rendition_sizes", sizes)
    await page.click("#original_access")
    await page.write("#max_file_bytes", "1073741824")
    await page.photograph("admin-panel-new-tier")
    await page.follow(_SAVE)
    await page.see(f"document.querySelector('tr[data-sa-pk={name}]')?.innerText.includes('{sizes}')")
    await page.photograph("admin-panel-tiers")


async def _move(page: Page, stack: StackUnderTest, person: Person, *, tier: str) -> None:
    await page.go(f"{stack.base_url}/admin/accounts/list?q={person.email}")
    row = f"tr[data-sa-pk='{person.id}']"
    await page.follow(f"{row} a[href*='/admin/accounts/edit']")
    await page.choose("#tier", tier)
    await page.follow(_SAVE)
    await page.go(f"{stack.base_url}/admin/accounts/list?q={person.email}")
    await page.see(f"document.querySelector(\"{row} td[data-column=tier]\")?.innerText.trim() === '{tier}'")


async def _rendition(phone: Phone, owner: Person, media_id: str, height: int) -> Image.Image:
    """Returns the stored picture, once all services have the tier."""

    async def redirected() -> str:
        answer = await phone.insist("GET", f"/v1/media/{media_id}/renditions/{height}", headers=owner.key)
        assert answer.status == 302, (answer.status, answer.body[:300])
        return answer.headers["Location"]

    url = await eventually(redirected, EFFECT_S)
    stored = await phone.ask("GET", url)
    assert stored.status == 200
    return Image.open(io.BytesIO(stored.body))
