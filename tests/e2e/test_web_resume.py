"""Uploads of the home page that go on: after the tab was killed, the network was lost, or a pause."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from kappi_chassis.embedded.ports import free_port
from kappi_testkit.eventually import eventually

from tests.e2e.browser import Page, tab
from tests.e2e.phone import Phone
from tests.e2e.rough_network import Roughness, RoughNetwork, rough_network
from tests.e2e.stacks import StackUnderTest
from tests.e2e.test_resumable import film
from tests.e2e.web_stories import look, push, unexpected

FILM_BYTES = 100_000_000
AT_MOST = 1.15
"""Maximum ratio of the bytes that are sent to the file's size."""
LINK_BYTES_PER_S = 25e6
"""Slow enough for a film to have a middle."""
SLOW_BYTES_PER_S = 1.5e6
"""Slow enough for a short film to have one, while other tests run beside."""
SHORT_BYTES = 12_000_000
"""Of films that the browser keeps copies of."""
FILES = "[data-choose=files]"
_HEADLINE = "document.querySelector('.progress strong')?.textContent"
_LINK = "document.querySelector('.share input[readonly]')?.value"
_LOST = ("ERR_INTERNET_DISCONNECTED", "ERR_NETWORK_CHANGED")


@pytest.fixture(scope="module")
def door() -> int:
    """Returns the port of the link on the browser's side."""
    return free_port()


@pytest.fixture(scope="module")
def url(door: int) -> str:
    return f"http://127.0.0.1:{door}"


@pytest.fixture(scope="module")
def own_settings(url: str) -> Mapping[str, str]:
    """Makes the browser use the link, also for signed URLs."""
    return {"KAPPI_PUBLIC_URL": url}


@pytest.fixture
async def link(own_stack: StackUnderTest, door: int) -> AsyncIterator[RoughNetwork]:
    """Yields the way from the browser to the stack: fast, until a test makes it slow."""
    async with rough_network({door: ("127.0.0.1", own_stack.running.port)}, Roughness()) as network:
        yield network


@pytest.fixture
async def phone(own_stack: StackUnderTest) -> AsyncIterator[Phone]:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        yield phone


@pytest.mark.timeout(300)
async def test_a_film_goes_on_after_the_tab_was_killed(
    link: RoughNetwork, url: str, phone: Phone, page: Page, tmp_path: Path
) -> None:
    long = film(tmp_path / "Überfahrt.mp4", FILM_BYTES)
    await page.go(url)
    await page.put(FILES, long)
    await push(page, "Get a link")
    shared = await page.see(_LINK)
    before = link.traffic.sent_bytes
    link.roughness.bytes_per_second = LINK_BYTES_PER_S
    await eventually(lambda: _passed(link, before + 0.55 * FILM_BYTES), 60)
    await page.crash()

    async with tab(page.address) as second:
        await second.go(url)
        await second.see("document.body.innerText.includes('Not finished yet')")
        await look(second, "share-unfinished")
        await push(second, "Go on")
        await second.see("document.body.innerText.includes('Choose it again')")
        assert await second.see(_LINK) == shared
        await look(second, "share-missing")
        await second.put(FILES, long)
        await second.see(f"{_HEADLINE} === 'The file is in the gallery.'")
        assert second.complaints == []
    assert link.traffic.sent_bytes - before <= AT_MOST * FILM_BYTES
    (item,) = await phone.items(shared.rpartition("/")[2])
    assert (item["filename"], item["size"]) == (long.name, FILM_BYTES)
    assert item["sha256"] == hashlib.sha256(long.read_bytes()).hexdigest()
    async with tab(page.address) as third:
        await third.go(url)
        await third.see(f"!!document.querySelector('{FILES}')")
        await third.see("!document.body.innerText.includes('Not finished yet')")


@pytest.mark.timeout(300)
async def test_small_files_go_on_without_being_chosen_again(
    link: RoughNetwork, url: str, phone: Phone, page: Page, tmp_path: Path
) -> None:
    short = [film(tmp_path / f"{number}.mp4", SHORT_BYTES + number) for number in range(3)]
    await page.go(url)
    await page.put(FILES, *short)
    await push(page, "Get a link")
    shared = await page.see(_LINK)
    before = link.traffic.sent_bytes
    link.roughness.bytes_per_second = SLOW_BYTES_PER_S
    await eventually(lambda: _passed(link, before + SHORT_BYTES), 60)
    await page.see("/ left$/m.test(document.querySelector('.progress').innerText)")
    await page.crash()
    link.roughness.bytes_per_second = None
    async with tab(page.address) as second:
        await second.go(url)
        await push(second, "Go on")
        await second.see(f"{_HEADLINE}?.includes('in the gallery')")
        assert list(unexpected(second)) == []

        # A share that is given up frees its place in the store.
        await second.go(url)
        link.roughness.bytes_per_second = SLOW_BYTES_PER_S
        await second.put(FILES, film(tmp_path / "other.mp4", SHORT_BYTES))
        await push(second, "Get a link")
        # The browser saves in the background that the upload was signed.
        await second.see("/[2-9][0-9]% sent/.test(document.querySelector('[data-state]')?.innerText)")
        await second.crash()
    link.roughness.bytes_per_second = None
    async with tab(page.address) as third:
        await third.go(url)
        await push(third, "Discard")
        await third.see("!document.body.innerText.includes('Not finished yet')")
        await eventually(lambda: _is_ended(third))
        assert third.complaints == []
    items = await phone.items(shared.rpartition("/")[2])
    assert sorted(item["size"] for item in items) == [SHORT_BYTES + number for number in range(3)]


@pytest.mark.timeout(300)
async def test_a_lost_network_and_a_pause_are_waited_for(
    link: RoughNetwork, url: str, phone: Phone, page: Page, tmp_path: Path
) -> None:
    size = FILM_BYTES // 2
    await page.go(url)
    await page.put(FILES, film(tmp_path / "film.mp4", size))
    await push(page, "Get a link")
    shared = await page.see(_LINK)
    before = link.traffic.sent_bytes
    link.roughness.bytes_per_second = LINK_BYTES_PER_S
    await eventually(lambda: _passed(link, before + 0.3 * size), 60)
    await page.connect(online=False)
    await page.see("document.body.innerText.includes('There is no connection')")
    await look(page, "share-offline")
    await page.connect(online=True)
    await eventually(lambda: _passed(link, before + 0.6 * size), 60)
    await push(page, "Pause")
    await page.see("document.querySelector('[data-state]').innerText.includes('Paused')")
    await look(page, "share-paused")
    await push(page, "Go on")
    await page.see(f"{_HEADLINE} === 'The file is in the gallery.'")
    assert link.traffic.sent_bytes - before <= 1.4 * size, "two parts of six were cut"
    (item,) = await phone.items(shared.rpartition("/")[2])
    assert item["size"] == size
    assert [text for text in page.complaints if not any(lost in text for lost in _LOST)] == []


async def _is_ended(page: Page) -> None:
    assert [one for one in page.requested if re.search(r"/v1/uploads/[^/]+$", one)]


async def _passed(link: RoughNetwork, count: float) -> None:
    assert link.traffic.sent_bytes >= count
