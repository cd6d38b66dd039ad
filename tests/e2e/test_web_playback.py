"""A film that the browser cannot play as it was uploaded, in the browser."""

from __future__ import annotations

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.films import FilmShape, film

from tests.e2e.browser import Page
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.web_stories import look, unexpected


@pytest.mark.timeout(300)
async def test_a_film_is_made_playable_and_played(stack: StackUnderTest, phone: Phone, page: Page) -> None:
    gallery = await phone.create_gallery(title="Lofoten")
    body = film(FilmShape(codec="libx265", container="mov", pixels="yuv420p10le", seconds=4))
    (film_id,) = await phone.upload(gallery, File("IMG_1.MOV", "video/quicktime", body))
    await phone.until_ready(gallery, 1)
    # The film that is made says what it is by its address, which is all that leads to it.
    await page.go(f"{gallery.url}#{film_id}")
    await page.see("document.querySelector('video')?.src.includes('/renditions/playback.mp4')")
    await page.see("document.querySelector('video').videoWidth === 320")
    await page.ask("document.querySelector('video').focus()")
    await page.press(" ")
    await page.see("document.querySelector('video').currentTime > 0.5")
    await look(page, "playable-film")
    assert unexpected(page) == []


@pytest.mark.timeout(300)
async def test_a_long_film_is_streamed(stack: StackUnderTest, phone: Phone, page: Page) -> None:
    gallery = await phone.create_gallery(title="Lofoten")
    shape = FilmShape(codec="libx265", width=160, height=90, seconds=616, frame_rate=2, key_every=20)
    (film_id,) = await phone.upload(gallery, File("IMG_1.MP4", "video/mp4", film(shape)))
    await phone.until_ready(gallery, 1)
    await page.go(f"{gallery.url}#{film_id}")
    await page.see("document.querySelector('.slide-film [role=status]')?.innerText.includes('%')")

    async def made() -> None:
        path = f"/v1/media/{film_id}/playback.m3u8"
        assert (await phone.ask("GET", path, headers={"X-Gallery-Code": gallery.code})).status == 200

    await eventually(made, 120)
    for by in ("the browser", "the library"):
        await page.go("about:blank")
        await page.go(gallery.url)
        if by == "the library":
            await page.ask("void (HTMLMediaElement.prototype.canPlayType = () => '')")
        await page.ask(f"location.hash = '{film_id}'")
        await page.see("document.querySelector('video')?.duration > 615")
        await page.see("document.querySelector('video').videoWidth === 160")
        assert any("/hls.light" in url for url in page.requested) is (by == "the library")
        await page.ask("document.querySelector('video').currentTime = 610")
        await page.ask("document.querySelector('video').focus()")
        await page.press(" ")
        await page.see("document.querySelector('video').currentTime > 611")
        await look(page, f"streamed-film-by-{by.split()[1]}")
    assert unexpected(page) == []
