"""XMP sidecars in the browser: sent with their pictures, and shown in the details."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from kappi_chassis.embedded.ports import free_port
from kappi_testkit.eventually import eventually
from kappi_testkit.media.corpus.raws import RAWS
from kappi_testkit.media.samples import encode, quadrants
from PIL import Image

from tests.e2e.browser import Page, tab
from tests.e2e.phone import Phone
from tests.e2e.rough_network import Roughness, RoughNetwork, rough_network
from tests.e2e.stacks import StackUnderTest
from tests.e2e.test_sidecars import SIDECAR
from tests.e2e.test_web_receive import SHOWN
from tests.e2e.web_stories import look, push, unexpected

FILES = "[data-choose=files]"
SLOW_BYTES_PER_S = 1.5e6
LARGE_BYTES = 4_000_000
HEADLINE = "document.querySelector('.progress strong')?.textContent"
LINK = "document.querySelector('.share input[readonly]')?.value"
TILES = "[...document.querySelectorAll('[data-state] .name')].map(one => one.textContent)"
REASONS = "[...document.querySelectorAll('details li p')].map(one => one.innerText)"


@pytest.mark.timeout(240)
async def test_they_are_sent_with_their_pictures_and_shown_in_the_details(
    stack: StackUnderTest, phone: Phone, page: Page, tmp_path: Path
) -> None:
    raw, lonely = tmp_path / "IMG_1.dng", tmp_path / "IMG_7.xmp"
    RAWS["previews.dng"](raw)
    beside = raw.with_suffix(".xmp")
    for path in (beside, lonely):
        path.write_bytes(SIDECAR)
    broken = tmp_path / "b.jpg.xmp"
    broken.write_bytes(b"no XMP")
    picture = tmp_path / "b.jpg"
    picture.write_bytes(encode(quadrants(320, 240), "JPEG"))
    await page.go(stack.base_url)
    await page.put(FILES, beside, raw, lonely, picture, broken)

    await page.see(f"{HEADLINE} === '3 files chosen'")
    assert await page.ask(TILES) == [raw.name, picture.name]
    await page.see(f"{REASONS}.some(text => text.startsWith('IMG_7.xmp') && text.includes('No picture'))")
    await look(page, "sidecars-chosen")
    await push(page, "Get a link")
    shared = await page.see(LINK)
    await page.see(f"{HEADLINE} === 'Finished. 2 files were not added.'")
    await page.see(f"{REASONS}.some(text => text.startsWith('b.jpg.xmp') && text.includes('not what'))")
    await look(page, "sidecars-sent")
    assert len([one for one in page.requested if re.search(r"/v1/galleries/[^/]+/uploads$", one)]) == 1

    items = {item["filename"]: item for item in await phone.items(shared.rpartition("/")[2])}
    assert items.keys() == {raw.name, picture.name}
    assert items[raw.name]["sidecar"]["filename"] == beside.name
    assert (items[raw.name]["rating"], items[raw.name]["caption"]) == (4, "Above the clouds")
    assert items[picture.name]["sidecar"] is None
    assert list(unexpected(page)) == []

    await page.go("about:blank")
    await page.go(f"{shared}#{items[raw.name]['id']}")
    await page.see(f"{SHOWN} > 0")
    await page.press("i")
    named = "[...document.querySelectorAll('.details a')].find(one => one.download === 'IMG_1.xmp')"
    link = await page.see(f"{named}?.href")
    assert (await phone.ask("GET", link)).body == SIDECAR
    await look(page, "sidecar-details")


@pytest.fixture(scope="module")
def door() -> int:
    """Returns the port of the link on the browser's side."""
    return free_port()


@pytest.fixture(scope="module")
def own_settings(door: int) -> Mapping[str, str]:
    """Makes the browser use the link, also for signed URLs."""
    return {"KAPPI_PUBLIC_URL": f"http://127.0.0.1:{door}"}


@pytest.fixture
async def link(own_stack: StackUnderTest, door: int) -> AsyncIterator[RoughNetwork]:
    """Yields the way from the browser to the stack: fast, until a test makes it slow."""
    async with rough_network({door: ("127.0.0.1", own_stack.running.port)}, Roughness()) as network:
        yield network


@pytest.mark.timeout(240)
async def test_they_go_on_after_the_tab_was_killed(
    link: RoughNetwork, door: int, own_stack: StackUnderTest, page: Page, tmp_path: Path
) -> None:
    pictures = []
    for number in range(4):
        path = tmp_path / f"{number}.jpg"
        noise = Image.effect_noise((1600, 1200), 90 + number).convert("RGB")
        body = encode(noise, "JPEG", options={"quality": 97})
        path.write_bytes(body + bytes(LARGE_BYTES - len(body)))
        beside = path.with_suffix(".xmp")
        beside.write_bytes(SIDECAR + b"\n" * number)
        pictures += [path, beside]
    url = f"http://127.0.0.1:{door}"
    await page.go(url)
    await page.put(FILES, *pictures)
    await push(page, "Get a link")
    shared = await page.see(LINK)
    before = link.traffic.sent_bytes
    link.roughness.bytes_per_second = SLOW_BYTES_PER_S
    await eventually(lambda: _passed(link, before + LARGE_BYTES), 60)
    await page.crash()
    link.roughness.bytes_per_second = None

    async with tab(page.address) as second:
        await second.go(url)
        await second.see("/[1-4] files?/.test(document.body.innerText)")
        await push(second, "Go on")
        await second.see(f"{HEADLINE}?.includes('in the gallery')")
        assert list(unexpected(second)) == []
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        items = await phone.items(shared.rpartition("/")[2])
    assert sorted((item["filename"], item["sidecar"]["filename"]) for item in items) == [
        (f"{number}.jpg", f"{number}.xmp") for number in range(4)
    ]


def _passed(link: RoughNetwork, sent_bytes: float) -> None:
    assert link.traffic.sent_bytes > sent_bytes
