"""The gallery's page in a real browser: passwords, refusals, expired URLs, sizes of the tier, downloads."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from kappi_testkit.accessibility import findings_of_axe
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.stack import Stack

from .chromium import Page, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ARCHIVE = b"PK" + bytes(998)
AGED_MS = 9 * 60 * 1000
FIRST_ITEMS = 60
# The network of the page can be taken away, and files are saved where no dialog asks for a place.
SCRIPT = """
  window.ageMs = 0;
  const now = Date.now.bind(Date);
  Date.now = () => now() + window.ageMs;
  const ask = fetch.bind(window);
  window.fetch = (...all) => window.isAway ? Promise.reject(new TypeError("away")) : ask(...all);
  delete window.showDirectoryPicker;
  window.showSaveFilePicker = async ({suggestedName}) => {
    const folder = await navigator.storage.getDirectory();
    return folder.getFileHandle(suggestedName, {create: true});
  };
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
        path = seen.raw_path.decode()
        if path.endswith("/archive"):
            disposition = (b"content-disposition", b'attachment; filename="Lofoten.zip"')
            return Reply(body=ARCHIVE, headers=((b"content-type", b"application/zip"), disposition))
        if path.endswith("/download"):
            return Reply(body=b'{"url": "/store/one"}')
        if "/media/" in path:
            found = [item for item in self.items if path.endswith(item["id"])]
            return _json(self._signed(found[0])) if found else problem_reply(404, "media_not_found")
        return _json(self._page(parse_qs(seen.query.decode())))

    async def store(self, seen: Seen) -> Reply:
        if seen.query != f"round={self.round}".encode():
            return Reply(status=403)
        return Reply(body=PIXEL, headers=((b"content-type", b"image/png"), (b"cache-control", b"no-store")))

    def _page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        start, limit = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        end = start + limit
        return {
            "gallery": {
                "title": "Lofoten",
                "url": None,
                "code": "abcd",
                "expires_at": None,
                "item_count": len(self.items),
            },
            "items": [self._signed(item) for item in self.items[start:end]],
            "next_cursor": str(end) if end < len(self.items) else None,
        }

    def _signed(self, item: dict[str, Any]) -> dict[str, Any]:
        def address(name: str) -> dict[str, str]:
            return {"url": f"/store/{item['id']}/{name}?round={self.round}"}

        sizes = {size: address(size) for size in item["sizes"]}
        original = address("original") if item["original"] else None
        return {**item, "renditions": sizes, "original": original}


def _json(document: dict[str, Any]) -> Reply:
    return Reply(body=json.dumps(document).encode())


def item(number: int, *, sizes: tuple[str, ...] = ("400",), original: bool = True) -> dict[str, Any]:
    return {
        "id": f"{str(GALLERY_ID)[:-6]}{number:06}",
        "filename": f"{number}.jpg",
        "content_type": "image/jpeg",
        "status": "ready",
        "kind": "image",
        "size": 1000,
        "width": 40,
        "height": 30,
        "tags": [],
        "placeholder": "3OcRJYB4d3h/iIeHeEh3eIhw+j3A",
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
async def prepared(page: Page) -> None:
    await page.before_each_page(SCRIPT)


async def visit(page: Page, stack: Stack, fragment: str = "") -> None:
    await page.open(f"http://127.0.0.1:{stack.port}/g/abcd{fragment}")


LOADED = "[...document.querySelectorAll('.tile img')].filter((one) => one.naturalWidth > 0).length"
LOCKED = "!!document.getElementById('password')"
REFUSAL = "document.getElementById('refusal')?.textContent"
HEADING = "document.querySelector('h1')?.textContent"
SHOWN = "document.querySelector('.pswp__item[aria-hidden=false] img.pswp__img:not(.pswp__img--placeholder)')"
MESSAGE = "document.querySelector('.bar:not([role]) span')?.textContent"


async def give_password(page: Page, password: str) -> None:
    await page.run(
        "{const field = document.getElementById('password');"
        f"field.value = {json.dumps(password)}; field.dispatchEvent(new Event('input'));"
        "field.form.requestSubmit()}"
    )


async def test_a_password_opens_the_page(page: Page, stack: Stack, gallery: Gallery) -> None:
    gallery.password = "Grüße ✓"
    await visit(page, stack)
    await page.shows(LOCKED, True)
    assert await page.run("document.querySelectorAll('.tile').length") == 0
    assert await page.run("document.activeElement.id") == "password"

    await give_password(page, "no")
    await page.shows(REFUSAL, "That was not the password.")
    await give_password(page, "again")
    await page.shows(REFUSAL, "Too many passwords that were wrong. Try again in 17 seconds.")
    assert await page.run(LOCKED)

    await give_password(page, gallery.password)
    await page.shows(LOADED, 2)
    assert not await page.run(LOCKED)
    assert await page.run("document.title") == "Lofoten · Kappi"
    await page.shows("document.activeElement.tagName", "H1")
    assert await page.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0

    await page.run("document.getElementById('all').click()")
    await page.shows(MESSAGE, "All 2 files are saved.")
    saved = (
        "navigator.storage.getDirectory().then(f => f.getFileHandle('Lofoten.zip')).then(f => f.getFile())"
    )
    assert await page.run(f"{saved}.then(file => file.size)") == len(ARCHIVE)


async def test_a_new_password_locks_the_page_again(page: Page, stack: Stack, gallery: Gallery) -> None:
    await visit(page, stack)
    await page.shows(LOADED, 2)
    gallery.password = "new"
    stack.cache.drop_gallery(GALLERY_ID)
    await page.run(f"window.ageMs = {AGED_MS}; document.querySelector('.tile').click()")
    await page.shows(LOCKED, True)
    await page.shows("document.querySelectorAll('.tile, .pswp').length", 0)
    await give_password(page, "new")
    await page.shows(LOADED, 2)


async def test_expired_urls_are_renewed_without_another_view(
    page: Page, stack: Stack, gallery: Gallery
) -> None:
    """Items of the first page are renewed one by one, those of a further page together by its cursor."""
    gallery.items = [item(number) for number in range(FIRST_ITEMS + 30)]
    await visit(page, stack)
    await page.shows(f"{LOADED} > 3", True)
    await page.shows("document.querySelector('[aria-setsize]').ariaSetSize", str(len(gallery.items)))
    all_are_loaded = "document.querySelector('header p').textContent.includes('90 kB')"
    await page.shows(all_are_loaded, True)
    before = len(pages_asked(stack))
    gallery.round = 2
    await page.run(f"window.ageMs = {AGED_MS}; scrollTo(0, document.body.scrollHeight)")
    last = f"document.querySelector('[data-id=\"{gallery.items[-1]['id']}\"] img')?.naturalWidth"
    await page.shows(last, 1)
    assert pages_asked(stack)[before:] == [f"limit=200&cursor={FIRST_ITEMS}"]

    await page.run("scrollTo(0, 0)")
    await page.shows("document.querySelector('.tile img')?.naturalWidth", 1)
    await page.run("document.querySelector('.tile').click()")
    await page.shows(f"{SHOWN}?.naturalWidth", 1)
    assert len(pages_asked(stack)) == before + 1
    assert single_items_asked(stack)


async def test_a_picture_whose_url_was_expired_comes_with_the_next_url(
    page: Page, stack: Stack, gallery: Gallery
) -> None:
    gallery.round = 2
    gallery_media = gallery.media

    async def old_round(seen: Seen) -> Reply:
        gallery.round = 1
        reply = await gallery_media(seen)
        gallery.round = 2
        return reply

    stack.media.answer = old_round
    await visit(page, stack)
    await page.shows("document.querySelectorAll('.tile .note').length", 2)
    assert await findings_of_axe(page.run) == []
    names = "axe.run({runOnly: ['label-content-name-mismatch']})"
    assert await page.run(f"{names}.then(({{violations}}) => violations.length)") == 0

    stack.media.answer = gallery.media
    await page.run(f"window.ageMs = {AGED_MS}; document.querySelector('.tile').click()")
    await page.shows(f"{SHOWN}?.naturalWidth", 1)
    await page.shows(LOADED, 2)


async def test_the_page_offers_the_sizes_of_the_tier(page: Page, stack: Stack, gallery: Gallery) -> None:
    gallery.items = [
        item(1, sizes=("200",), original=False),
        item(2, sizes=("123", "320x240", "777"), original=False),
    ]
    await visit(page, stack)
    await page.shows(LOADED, 2)
    asked = {seen.raw_path.decode().rpartition("/")[2] for seen in stack.store.seen}
    assert asked == {"200", "320x240"}
    assert await page.run("document.getElementById('all')") is None
    await page.run("document.querySelectorAll('.tile')[1].click()")
    await page.shows(f"new URL({SHOWN}?.src ?? location).pathname.split('/').pop()", "777")
    button = "getComputedStyle(document.querySelector('.pswp__button--download')).display"
    await page.shows(button, "none")


def asked_for(stack: Stack, ending: str) -> list[str]:
    return [seen.method for seen in stack.media.seen if seen.raw_path.decode().endswith(ending)]


def pages_asked(stack: Stack) -> list[str]:
    return [seen.query.decode() for seen in stack.media.seen if seen.raw_path == b"/v1/g/abcd"]


def single_items_asked(stack: Stack) -> int:
    return sum(seen.raw_path.startswith(b"/v1/media/") for seen in stack.media.seen)


async def test_all_items_are_downloaded_as_one_archive(page: Page, stack: Stack, gallery: Gallery) -> None:
    await visit(page, stack)
    await page.shows(LOADED, 2)
    await page.run("document.getElementById('all').click()")
    await page.shows(MESSAGE, "All 2 files come as one ZIP.")

    def fetched() -> None:
        assert asked_for(stack, "/v1/g/abcd/archive") == ["HEAD", "GET"]

    await eventually(fetched)
    assert asked_for(stack, "/download") == []


async def test_a_selection_is_downloaded_file_by_file(page: Page, stack: Stack, gallery: Gallery) -> None:
    gallery.items = [item(number) for number in range(3)]
    await visit(page, stack)
    await page.shows(LOADED, 3)
    first = "document.querySelector('.tile').dispatchEvent"
    await page.run(f"{first}(new MouseEvent('click', {{bubbles: true, cancelable: true, ctrlKey: true}}))")
    second = "document.querySelectorAll('[role=checkbox]')[1]"
    await page.shows(f"{second}?.ariaChecked", "false")
    await page.run(f"{second}.dispatchEvent(new MouseEvent('click', {{bubbles: true, shiftKey: true}}))")
    await page.shows("document.querySelectorAll('[aria-checked=true]').length", 2)
    await page.run("document.getElementById('download-selected').click()")
    await page.shows(MESSAGE, "All 2 downloads have begun.")
    assert asked_for(stack, "/archive") == []
    assert len(asked_for(stack, "/download")) == 2


async def test_a_throttled_page_waits_and_tries_again_once(
    page: Page, stack: Stack, gallery: Gallery
) -> None:
    refusal = problem_reply(429, "too_many_guesses")
    throttled = Reply(429, refusal.body, (*refusal.headers, (b"retry-after", b"4")))
    stack.galleries.always(throttled)
    await visit(page, stack)
    await page.shows("document.querySelector('[role=timer]')?.textContent.startsWith('Again in ')", True)
    assert await page.run(HEADING) == "One moment"
    assert await findings_of_axe(page.run) == []
    stack.galleries.answer = gallery.galleries
    await page.shows(LOADED, 2)


async def test_a_page_without_a_network_opens_when_it_is_back(
    page: Page, stack: Stack, gallery: Gallery
) -> None:
    await page.before_each_page("window.isAway = true")
    await visit(page, stack)
    await page.shows(HEADING, "No connection")
    assert await findings_of_axe(page.run) == []
    await page.run("window.isAway = false; dispatchEvent(new Event('online'))")
    await page.shows(LOADED, 2)


async def test_pictures_and_parts_that_did_not_come_are_asked_for_again(
    page: Page, stack: Stack, gallery: Gallery
) -> None:
    await block(page, "*/store/*", "*/lightbox-*.js", "*/Wall-*.js")
    await visit(page, stack, "?wall")
    await page.shows("document.querySelectorAll('.tile .note').length", 2)
    await page.shows(PART_FAILED, True)
    assert await page.run("location.search") == ""
    await page.run("document.querySelector('.message button.quiet').click()")
    await page.shows("document.querySelectorAll('.message').length", 0)

    await page.run("document.querySelector('.tile').click()")
    await page.shows(PART_FAILED, True)
    await page.shows("location.hash", "")
    assert await findings_of_axe(page.run) == []
    await block(page)
    await page.run("dispatchEvent(new Event('online'))")
    await page.shows(LOADED, 2)
    await page.run("document.querySelector('.tile').click()")
    await page.shows(f"{SHOWN}?.naturalWidth", 1)
    await page.shows("document.querySelectorAll('.message').length", 0)


PART_FAILED = "document.querySelector('.message')?.innerText.startsWith('This could not be loaded.') ?? false"


async def block(page: Page, *patterns: str) -> None:
    """Takes these addresses from the page, and gives back all others."""
    await page.request("Network.enable")
    await page.request("Network.setBlockedURLs", urls=list(patterns))


async def test_a_service_that_is_away_leaves_a_way_to_try_again(
    page: Page, stack: Stack, gallery: Gallery
) -> None:
    stack.media.always(problem_reply(503, "upstream_unavailable"))
    await visit(page, stack)
    await page.shows(HEADING, "A short break")
    assert await findings_of_axe(page.run) == []
    stack.media.answer = gallery.media
    await page.run("document.querySelector('main button').click()")
    await page.shows(LOADED, 2)


async def test_an_address_without_a_gallery_says_so(page: Page, stack: Stack, gallery: Gallery) -> None:
    stack.galleries.always(problem_reply(404, "gallery_not_found"))
    await visit(page, stack)
    await page.shows(HEADING, "Nothing here")
    assert await page.run("document.querySelectorAll('main button').length") == 0


NODES = """
{
  const nodes = document.createTreeWalker(document, NodeFilter.SHOW_ALL);
  let count = 0;
  while (nodes.nextNode()) count += 1;
  count;
}
"""
# When the first picture was there, in milliseconds after the address was typed.
FIRST_PICTURE = """
Math.min(...performance.getEntriesByType("resource")
  .filter((one) => one.name.includes("/store/")).map((one) => one.responseEnd))
"""
SOON_MS = 10_000
"""A second is usual (docs/web.md); CI's processors are shared."""
MANY = 10_000
MOST_NODES = 1_500


async def test_ten_thousand_items_scroll_with_few_nodes(page: Page, stack: Stack, gallery: Gallery) -> None:
    gallery.items = [item(number) for number in range(MANY)]
    screen = {"width": 3840, "height": 2160, "deviceScaleFactor": 1, "mobile": False}
    await page.request("Emulation.setDeviceMetricsOverride", **screen)
    await visit(page, stack)
    await page.shows(f"{LOADED} > 0", True)
    assert len(pages_asked(stack)) <= 2
    await page.shows(f"{FIRST_PICTURE.strip()} < {SOON_MS}", True)
    assert await page.run("document.querySelector('[aria-setsize]').ariaSetSize") == str(MANY)

    most = 0
    last = f"document.querySelector('[data-id=\"{gallery.items[-1]['id']}\"] img')?.naturalWidth"
    for step in range(1, 21):
        await page.run(f"scrollTo(0, document.body.scrollHeight * {step / 20})")
        most = max(most, await page.run(NODES))
    await page.shows(f"scrollTo(0, document.body.scrollHeight), {last}", 1)
    most = max(most, await page.run(NODES))
    assert most < MOST_NODES
    # Pages beyond the ends of the list are not asked for, and none twice.
    assert len(pages_asked(stack)) == len(set(pages_asked(stack)))


async def test_a_deep_link_opens_an_item_of_a_later_page(page: Page, stack: Stack, gallery: Gallery) -> None:
    gallery.items = [item(number) for number in range(1_000)]
    wanted = gallery.items[900]["id"]
    await visit(page, stack, f"#{wanted}")
    await page.shows("document.querySelector('.pswp__place')?.textContent", "901 / 1000")
    await page.run("history.back()")
    await page.shows("document.querySelectorAll('.pswp').length + location.hash", "0")
    await page.shows(f"document.activeElement.closest('li')?.dataset.id === '{wanted}'", True)
