"""The gallery's page in a real browser: passwords, expired URLs, the sizes of the tier."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.stack import Stack

from .chromium import Page, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
AGED_MS = 9 * 60 * 1000
MOVABLE_CLOCK = """
  window.ageMs = 0;
  const now = Date.now.bind(Date);
  Date.now = () => now() + window.ageMs;
"""


@dataclass(slots=True)
class Gallery:
    """The data of the services behind the gateway. round: of signed URLs; only the newest are valid."""

    items: list[dict[str, Any]] = field(default_factory=list)
    password: str | None = None
    round: int = 1

    async def galleries(self, seen: Seen) -> Reply:
        shown = seen.json().get("password")
        if self.password in (None, shown):
            return grant_reply()
        if shown == "again":
            refusal = problem_reply(429, "too_many_password_attempts")
            return Reply(429, refusal.body, (*refusal.headers, (b"retry-after", b"17")))
        return problem_reply(401, f"gallery_password_{'wrong' if shown else 'required'}")

    async def media(self, seen: Seen) -> Reply:
        if seen.raw_path.endswith(b"/archive"):
            disposition = (b"content-disposition", b'attachment; filename="Lofoten.zip"')
            return Reply(headers=((b"content-type", b"application/zip"), disposition))
        if seen.raw_path.endswith(b"/download"):
            return Reply(body=b'{"url": "/store/one"}')
        document = {
            "gallery": {"title": "Lofoten", "expires_at": None},
            "items": [self._signed(item) for item in self.items],
            "next_cursor": None,
        }
        return Reply(body=json.dumps(document).encode())

    async def store(self, seen: Seen) -> Reply:
        if seen.query != f"round={self.round}".encode():
            return Reply(status=403)
        return Reply(body=PIXEL, headers=((b"content-type", b"image/png"), (b"cache-control", b"no-store")))

    def _signed(self, item: dict[str, Any]) -> dict[str, Any]:
        def address(name: str) -> dict[str, str]:
            return {"url": f"/store/{item['id']}/{name}?round={self.round}"}

        sizes = {size: address(size) for size in item["sizes"]}
        original = address("original") if item["original"] else None
        return {**item, "renditions": sizes, "original": original}


def item(number: int, *, sizes: tuple[str, ...] = ("400",), original: bool = True) -> dict[str, Any]:
    name = f"{GALLERY_ID}-{number}"
    return {
        "id": name,
        "filename": f"{number}.jpg",
        "status": "ready",
        "kind": "image",
        "size": 1000,
        "width": 40,
        "height": 30,
        "sizes": sizes,
        "original": original,
    }


@pytest.fixture
def gallery(stack: Stack) -> Gallery:
    gallery = Gallery(items=[item(1), item(2)])
    stack.galleries.answer, stack.media.answer = gallery.galleries, gallery.media
    stack.store.answer = gallery.store
    return gallery


@pytest.fixture(autouse=True)
async def movable_clock(page: Page) -> None:
    await page.before_each_page(MOVABLE_CLOCK)


async def visit(page: Page, stack: Stack) -> None:
    await page.open(f"http://127.0.0.1:{stack.port}/g/abcd")


LOADED = "[...document.querySelectorAll('.tile img')].filter((one) => one.naturalWidth > 0).length"
TEXT = "document.getElementById('message-text').textContent"
LOCKED = "!document.getElementById('message').hidden && !document.getElementById('unlock').hidden"


async def give_password(page: Page, password: str) -> None:
    await page.run(
        f"document.getElementById('password').value = {json.dumps(password)};"
        "document.getElementById('unlock').requestSubmit()"
    )


async def test_a_password_opens_the_page(page: Page, stack: Stack, gallery: Gallery) -> None:
    gallery.password = "Grüße ✓"
    await visit(page, stack)
    await page.shows(LOCKED, True)
    await page.shows(TEXT, "This gallery has a password.")
    assert await page.run("document.querySelectorAll('.tile').length") == 0

    await give_password(page, "no")
    await page.shows(TEXT, "That was not the password.")
    await give_password(page, "again")
    await page.shows(TEXT, "Too many passwords that were wrong. Again in 17 seconds.")
    assert await page.run(LOCKED)

    await give_password(page, gallery.password)
    await page.shows(LOADED, 2)
    assert not await page.run(LOCKED)
    assert await page.run("document.title") == "Lofoten · Kappi"
    assert await page.run("document.getElementById('password').value") == ""
    assert await page.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0


async def test_a_new_password_locks_the_page_again(page: Page, stack: Stack, gallery: Gallery) -> None:
    await visit(page, stack)
    await page.shows(LOADED, 2)
    gallery.password = "new"
    stack.cache.drop_gallery(GALLERY_ID)
    await page.run(f"window.ageMs = {AGED_MS}; document.dispatchEvent(new Event('visibilitychange'))")
    await page.shows(LOCKED, True)
    assert await page.run("document.querySelectorAll('.tile').length") == 0
    await give_password(page, "new")
    await page.shows(LOADED, 2)


async def test_expired_urls_are_renewed(page: Page, stack: Stack, gallery: Gallery) -> None:
    """The URLs are those of pictures that were not loaded in time, and the one that the viewer opens with."""
    gallery.round = 2
    gallery_media = gallery.media

    async def old_round(seen: Seen) -> Reply:
        gallery.round = 1
        reply = await gallery_media(seen)
        gallery.round = 2
        return reply

    stack.media.answer = old_round
    await visit(page, stack)
    await page.shows("document.querySelectorAll('.tile .wait').length", 2)

    stack.media.answer = gallery.media
    await page.run(f"window.ageMs = {AGED_MS}; document.querySelector('.picture').click()")
    await page.shows(LOADED, 2)
    await page.shows("document.querySelector('#stage img').naturalWidth", 1)


async def test_a_picture_that_fails_late_renews_all_urls(page: Page, stack: Stack, gallery: Gallery) -> None:
    await visit(page, stack)
    await page.shows(LOADED, 2)
    gallery.round = 2
    asked = len(stack.media.seen)
    # The first picture seems to be scrolled into view only now, and the second is still below.
    await page.run(
        f"window.ageMs = {AGED_MS}; const [first, second] = document.querySelectorAll('.tile img');"
        "second.removeAttribute('src'); first.src = first.src + '&late'"
    )
    await page.shows(f"{LOADED} + '/' + document.querySelectorAll('.tile .wait').length", "2/0")
    assert len(stack.media.seen) == asked + 1


async def test_the_page_offers_the_sizes_of_the_tier(page: Page, stack: Stack, gallery: Gallery) -> None:
    gallery.items = [
        item(1, sizes=("200",), original=False),
        item(2, sizes=("123", "320x240", "777"), original=False),
    ]
    await visit(page, stack)
    await page.shows(LOADED, 2)
    asked = {seen.raw_path.decode().rpartition("/")[2] for seen in stack.store.seen}
    assert asked == {"200", "320x240"}
    assert await page.run("document.getElementById('all').hidden")
    assert await page.run("[...document.querySelectorAll('.label a')].every((link) => link.hidden)")
    await page.run("document.querySelectorAll('.picture')[1].click()")
    await page.shows("new URL(document.querySelector('#stage img').src).pathname.split('/').pop()", "777")
    assert await page.run("document.getElementById('viewer-download').hidden")


PROGRESS = "document.getElementById('progress').textContent"


def asked_for(stack: Stack, ending: str) -> list[str]:
    return [seen.method for seen in stack.media.seen if seen.raw_path.decode().endswith(ending)]


async def test_all_items_are_downloaded_as_one_archive(page: Page, stack: Stack, gallery: Gallery) -> None:
    await visit(page, stack)
    await page.shows(LOADED, 2)
    await page.run("document.getElementById('all').click()")
    await page.shows(PROGRESS, "All 2 files come as one ZIP.")

    def fetched() -> None:
        assert asked_for(stack, "/v1/g/abcd/archive") == ["HEAD", "GET"]

    await eventually(fetched)
    assert asked_for(stack, "/download") == []


async def test_items_are_downloaded_one_by_one_if_the_archive_is_incomplete(
    page: Page, stack: Stack, gallery: Gallery
) -> None:
    """The archive lacks items that are still being processed, and a link sends no password."""
    gallery.items[1]["status"] = "processing"
    await visit(page, stack)
    await page.shows("document.querySelectorAll('.tile').length", 2)
    await page.run("document.getElementById('all').click()")
    await page.shows(PROGRESS, "All 2 downloads have begun.")
    assert asked_for(stack, "/archive") == []
    assert len(asked_for(stack, "/download")) == 2
