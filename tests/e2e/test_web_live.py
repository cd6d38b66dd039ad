"""A gallery in the browser while others change it: on the page, and as a slide show."""

from __future__ import annotations

import json

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.browser import Page, tab
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.web_stories import look, push, unexpected

PICTURES = [
    File(f"{width}.png", "image/png", encode(quadrants(width, 300), "PNG")) for width in (400, 300, 200)
]
LATEST = "[...document.querySelectorAll('.slide')].at(-1)?.dataset.id"
REMOVED = "This photo or film was removed."
LOADED = "[...document.querySelectorAll('.tile img')].filter(one => one.naturalWidth > 0).length"


DEADLINE_S = 60.0


def _follows(page: Page) -> None:
    assert any(url.endswith("/live") for url in page.requested)


def _pages_asked(page: Page) -> list[str]:
    return [url for url in page.requested if "?limit=" in url]


@pytest.mark.timeout(300)
async def test_what_others_change_is_seen_without_a_reload(
    stack: StackUnderTest, phone: Phone, page: Page
) -> None:
    gallery = await phone.create_gallery(title="Party")
    path = f"/v1/galleries/{gallery.id}"
    await page.go(gallery.url)
    await page.see("document.querySelector('header p')?.textContent === 'Nothing here yet.'")
    await eventually(lambda: _follows(page), DEADLINE_S)
    await look(page, "gallery-empty")

    async with tab(page.address) as wall:
        await wall.go(f"{gallery.url}?wall")
        await wall.see("document.querySelector('.waiting')?.textContent.startsWith('The first photo')")
        await look(wall, "wall-waiting")

        first, second = await phone.upload(gallery, *PICTURES[:2])
        await page.see(f"{LOADED} === 2")
        pages = _pages_asked(page)
        await page.see("document.querySelector('header p').textContent.startsWith('2 items')")
        await wall.see(f"document.querySelector('.slide')?.dataset.id === {json.dumps(first)}")
        await wall.see("document.querySelector('.corner img').naturalWidth > 0")
        await look(wall, "wall")

        # A new picture is the next one, though others have not been shown.
        (third,) = await phone.upload(gallery, PICTURES[2])
        await page.see(f"{LOADED} === 3")
        await wall.see(f"{LATEST} === {json.dumps(third)}")
        await push(wall, "Pause")
        await wall.press("ArrowLeft")
        await wall.see(f"{LATEST} === {json.dumps(second)}")
        await wall.see("document.querySelectorAll('.slide').length === 1")
        await wall.press("Escape")
        await wall.see(f"location.search === '' && {LOADED} === 3")
        assert wall.complaints == []

    await page.click(".tile")
    await page.see("document.querySelector('.pswp__place')?.textContent === '1 / 3'")
    (await phone.ask("DELETE", f"/v1/media/{first}", headers=gallery.key)).ok(204)
    await page.see(f"document.querySelector('.slide-words')?.textContent === '{REMOVED}'")
    await page.press("Escape")
    await page.see(f"{LOADED} === 2")
    assert _pages_asked(page) == pages  # what is told of is fetched, and nothing else

    (await phone.ask("PATCH", path, headers=gallery.key, json={"title": "The party"})).ok()
    await page.see("document.querySelector('h1').textContent === 'The party'")
    (await phone.ask("DELETE", path, headers=gallery.key)).ok(204)
    await page.see("document.querySelector('h1').textContent === 'Nothing here'")
    assert unexpected(page) == []
