"""Panoramas, motion photos and the two files of one shot, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from kappi_testkit.media.corpus.raws import RAW_SHOT, RAWS
from kappi_testkit.media.metadata_blocks import jpeg, xmp_packet
from kappi_testkit.media.motion_photos import google_photo
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants

from tests.e2e.browser import Page
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.web_stories import look, push, unexpected

PANORAMA: Final = xmp_packet(
    attributes='xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
    'GPano:ProjectionType="equirectangular"'
)


async def shared(phone: Phone, *files: File) -> tuple[Gallery, list[str]]:
    gallery = await phone.create_gallery(title="Lofoten")
    ids = await phone.upload(gallery, *files)
    await phone.until_ready(gallery, len(files))
    return gallery, ids


@pytest.mark.timeout(300)
async def test_the_film_of_a_motion_photo_plays_in_its_place(
    stack: StackUnderTest, phone: Phone, page: Page
) -> None:
    photo = File("PXL_1.MP.jpg", "image/jpeg", google_photo(movie(MovieShape(seconds=4))))
    gallery, _ = await shared(phone, photo)
    await page.go(gallery.url)
    await page.see("document.querySelector('.tile .label')?.textContent === 'Motion photo'")
    await page.click(".tile")
    for ending in ("video.currentTime = video.duration - 0.2, void video.play()", "void video.pause()"):
        await push(page, "Play the film of this photo")
        await page.see("document.querySelector('.slide-film video')?.currentTime > 0")
        await page.ask(f"(video => ({ending}))(document.querySelector('.slide-film video'))")
        if "pause" in ending:
            await look(page, "motion-photo")
            await push(page, "Play the film of this photo")
        await page.see("!document.querySelector('.slide-film') && !!document.querySelector('img.pswp__img')")
    assert unexpected(page) == []


@pytest.mark.timeout(300)
async def test_the_two_files_of_a_shot_lead_to_each_other(
    stack: StackUnderTest, phone: Phone, page: Page, tmp_path: Path
) -> None:
    RAWS["turned-6.nef"](tmp_path / "raw")
    raw = File("DSC_0042.NEF", "image/x-nikon-nef", (tmp_path / "raw").read_bytes())
    picture = File("DSC_0042.JPG", "image/jpeg", encode(quadrants(320, 480), "JPEG", shot=RAW_SHOT))
    gallery, (raw_id, picture_id) = await shared(phone, raw, picture)
    await page.go(f"{gallery.url}#{picture_id}")
    await push(page, "Details")
    await page.see("document.querySelector('.details a')?.textContent === 'DSC_0042.NEF'")
    await look(page, "raw-partner")
    await page.ask("document.querySelector('.details a').click()")
    await page.see(f"location.hash === '#{raw_id}'")
    await page.see("document.querySelector('.details a')?.textContent === 'DSC_0042.JPG'")
    await page.press("Escape")
    await page.see("location.hash === '' && !document.querySelector('.pswp')")
    assert unexpected(page) == []


@pytest.mark.timeout(300)
async def test_a_panorama_is_called_so(stack: StackUnderTest, phone: Phone, page: Page) -> None:
    gallery, _ = await shared(phone, File("PANO_1.jpg", "image/jpeg", jpeg(PANORAMA)))
    await page.go(gallery.url)
    await page.see("document.querySelector('.tile .label')?.textContent === 'Panorama'")
    await look(page, "labels")
    await page.click(".tile")
    await push(page, "Details")
    await page.see("document.querySelector('.details').innerText.includes('Panorama\\nSpherical')")
    await look(page, "panorama")
    assert unexpected(page) == []
