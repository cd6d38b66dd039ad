"""The page of a gallery shows every picture before and after an account claims it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants, register_heif

from tests.e2e.accounts import make_admin, move_to_tier, sign_up
from tests.e2e.browser import Page
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

EFFECT_S = 10.0


def photos() -> Sequence[File]:
    register_heif()
    picture = quadrants(1200, 900)
    return [
        File("tram.jpg", "image/jpeg", encode(picture, "JPEG")),
        File("tram.heic", "image/heic", encode(picture, "HEIF")),
        File("tram.tif", "image/tiff", encode(picture, "TIFF")),
        File("tram.png", "image/png", encode(picture, "PNG")),
    ]


async def see_all(page: Page, url: str, *, pictures: int, name: str) -> None:
    for device, width, height in (("phone", 390, 844), ("desktop", 1280, 900)):
        await page.resize(width, height, is_phone=device == "phone")
        await page.go(url)
        await page.see(f'document.querySelectorAll(".tile img").length === {pictures}')
        await page.see('[...document.querySelectorAll(".tile img")].every(i => i.complete && i.naturalWidth)')
        await page.photograph(f"{name}-{device}")
        await page.click(".tile")
        await page.see("!!document.querySelector('.pswp__item[aria-hidden=false] img')?.naturalWidth")
        await page.photograph(f"{name}-{device}-opened")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("tier", ["Traveller", "Basic"])
async def test_all_pictures_are_shown_after_a_claim(
    stack: StackUnderTest, phone: Phone, page: Page, tier: str
) -> None:
    files = photos()
    owner = await sign_up(stack, phone, f"claims-{tier.lower()}")
    if tier != "Traveller":
        await move_to_tier(phone, await make_admin(stack, phone), owner, tier)
    gallery = await phone.create_gallery(title="Lisbon")
    await phone.upload(gallery, *files)
    await phone.until_ready(gallery, len(files))
    url = f"{stack.base_url}/g/{gallery.code}"
    await see_all(page, url, pictures=len(files), name=f"claim-{tier}-before")

    claimed = await phone.ask(
        "POST",
        f"/v1/galleries/{gallery.id}/claim",
        headers={**owner.key, **gallery.key},
        json={"accept_tier": True},
    )
    assert claimed.ok()["id"] == gallery.id

    async def is_governed_by_tier() -> None:
        originals = [item["original"] is not None for item in await phone.items(gallery.code)]
        assert originals == [tier == "Traveller"] * len(files)

    await eventually(is_governed_by_tier, EFFECT_S)
    await see_all(page, url, pictures=len(files), name=f"claim-{tier}-after")
    assert page.complaints == []
