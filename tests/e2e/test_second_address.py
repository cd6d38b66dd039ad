"""A machine in a network has several addresses: a phone may use another one than the owner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.accounts import sign_up
from tests.e2e.browser import Page
from tests.e2e.phone import File, Phone
from tests.e2e.posts import create
from tests.e2e.stacks import StackUnderTest

SECOND = "127.0.0.2"
PHOTO = File("tram.jpg", "image/jpeg", encode(quadrants(1200, 900), "JPEG"))
PICTURES = 12
_SHOWN = """
[...document.querySelectorAll(".tile img")].filter(image => image.naturalWidth)
  .map(image => image.closest("[data-id]").dataset.id)
"""


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    return {"KAPPI_HOST": "0.0.0.0"}


def by_second_address(stack: StackUnderTest) -> str:
    return f"http://{SECOND}:{urlsplit(stack.base_url).port}"


@pytest.mark.timeout(240)
async def test_a_browser_on_a_second_address_shows_every_picture(
    own_stack: StackUnderTest, page: Page, photos: list[Path]
) -> None:
    pictures = [path for path in photos if path.suffix == ".jpg"][:PICTURES]
    shared = await asyncio.to_thread(own_stack.kappi, "share", "--title", "Lisbon", *map(str, pictures))
    assert shared.returncode == 0, shared.stderr
    (code,) = (line.split()[1] for line in shared.stdout.splitlines() if line.startswith("Code"))

    for name, width, height in (("phone", 390, 844), ("desktop", 1280, 900)):
        await page.resize(width, height, is_phone=name == "phone")
        await page.go(f"{by_second_address(own_stack)}/")
        await page.write("header form input", code)
        await page.follow("header form button")
        await page.see(f"location.pathname === '/g/{code}'")
        await _see_every_picture(page)
        await page.ask("window.scrollTo(0, 0)")
        await page.photograph(f"second-address-{name}")
    await page.click(".tile")
    await page.see("!!document.querySelector('.pswp__item[aria-hidden=false] img')?.naturalWidth")
    assert page.complaints == []


async def _see_every_picture(page: Page) -> None:
    """Scrolls through the gallery: pictures are in the document while they are near the window."""
    seen: set[str] = set()

    async def shown() -> None:
        seen.update(await page.ask(_SHOWN))
        at_end = await page.ask("scrollY + innerHeight >= document.documentElement.scrollHeight - 1")
        await page.ask("scrollTo(0, 0)" if at_end else "scrollBy(0, innerHeight / 2)")
        assert len(seen) == PICTURES

    await eventually(shown, 60)


@pytest.mark.timeout(120)
async def test_every_url_has_the_address_of_its_request(own_stack: StackUnderTest) -> None:
    base_url = by_second_address(own_stack)
    async with Phone(base_url, secrets=own_stack.secrets) as phone:
        gallery = await phone.create_gallery()
        (media_id,) = await phone.upload(gallery, PHOTO)
        await phone.until_ready(gallery, 1)
        ada = await sign_up(own_stack, phone, "ada")
        posted = (await create(phone, ada, PHOTO.body, caption="Line 28")).ok(201)
        signed = (await phone.sign(gallery, [PHOTO]))[0]
        answers = [
            posted,
            signed,
            (await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=gallery.key)).ok(),
            (await phone.ask("GET", f"/v1/g/{gallery.code}")).ok(),
            (await phone.ask("GET", f"/v1/media/{media_id}", headers=gallery.key)).ok(),
            (await phone.ask("GET", f"/v1/media/{media_id}/download", headers=gallery.key)).ok(),
        ]
        assert (await phone.ask("GET", posted["image_url"])).status == 200
        led = await phone.ask("GET", f"/v1/media/{media_id}/renditions/400", headers=gallery.key)
        assert led.status == 302
        assert (await phone.ask("GET", led.headers["Location"])).status == 200
        answers.append(led.headers["Location"])
    urls = [part for part in json.dumps(answers).split('"') if part.startswith("http://")]
    assert len(urls) >= 9
    assert {url[: len(base_url) + 1] for url in urls} == {f"{base_url}/"}
