"""The management page in the browser: pictures, their order, settings, and the end of a gallery."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Any

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.accounts import sign_up
from tests.e2e.browser import Page, tab
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.web_stories import fill, look, push, unexpected

EFFECT_S = 20.0
SIZES = ((640, 480), (480, 640), (800, 400), (500, 500), (640, 400), (400, 600))
NO_FOCUS = "document.activeElement?.blur()"


def pictures(count: int) -> list[File]:
    return [
        File(f"{name}.jpg", "image/jpeg", encode(quadrants(*size), "JPEG"))
        for name, size in zip("abcdef"[:count], SIZES, strict=False)
    ]


def link(stack: StackUnderTest, gallery: Gallery) -> str:
    return f"{stack.base_url}/manage/{gallery.id}#{gallery.access_key}"


def tile(media_id: str) -> str:
    return f"li[data-id='{media_id}'] button"


async def names(phone: Phone, gallery: Gallery) -> str:
    """Returns the names of the items in the gallery's order."""
    answer = await phone.ask("GET", f"/v1/galleries/{gallery.id}/media", headers=gallery.key)
    return "".join(item["filename"].removesuffix(".jpg") for item in answer.ok()["items"])


async def managed(phone: Phone, gallery: Gallery, key: dict[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (
        await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=key or gallery.key)
    ).ok()
    return found


async def says(page: Page, text: str) -> None:
    await page.see(f"document.body.innerText.includes({text!r})")


@pytest.mark.timeout(300)
async def test_the_pictures_of_a_gallery_are_managed(
    stack: StackUnderTest, phone: Phone, page: Page, tmp_path: Path
) -> None:
    gallery = await phone.create_gallery(title="Lisbon")
    a, b, c, d, e, f = await phone.upload(gallery, *pictures(6))
    await phone.until_ready(gallery, 6)
    await page.go(link(stack, gallery))
    await page.see("document.querySelectorAll('li[data-id] img').length === 6")
    await page.see(
        "[...document.querySelectorAll('li[data-id] img')].every(i => i.complete && i.naturalWidth)"
    )
    assert await page.ask("location.hash + location.search") == ""
    assert gallery.access_key not in await page.ask("JSON.stringify(localStorage)")
    await look(page, "manage-pictures")

    await page.go(f"{stack.base_url}/account")
    await page.ask("history.back()")  # the history entry still has the key
    await page.see("document.querySelectorAll('li[data-id] img').length === 6")
    await push(page, "Remember")
    async with tab(page.address) as second:
        await second.go(f"{stack.base_url}/manage/{gallery.id}")
        await second.see("document.querySelectorAll('li[data-id] img').length === 6")
        await second.go(f"{stack.base_url}/account")
        await second.see("document.querySelector('main a .title')?.textContent === 'Lisbon'")
        await look(second, "galleries-of-this-browser")
        assert second.complaints == []

    await page.write("input[name=title]", "Lisbon, <b>spring</b>")
    await push(page, "Save")
    await says(page, "Saved.")
    assert (await managed(phone, gallery))["title"] == "Lisbon, <b>spring</b>"

    # By keyboard alone: to the last item, choose it, one step earlier.
    await page.ask(f"document.querySelector({tile(a)!r}).focus()")
    await page.press("End")
    await page.see(f"document.activeElement === document.querySelector({tile(f)!r})")
    await page.press(" ")
    await page.see(f"document.querySelector({tile(f)!r}).getAttribute('aria-pressed') === 'true'")
    await page.ask("document.querySelector('[aria-label=\"Move earlier\"]').focus()")
    await page.press("Enter")
    await says(page, "Moved to place 5.")
    assert await names(phone, gallery) == "abcdfe"
    await look(page, "manage-chosen")
    await push(page, "Make it the cover")
    await says(page, "The cover is set.")
    assert (await managed(phone, gallery))["cover_media_id"] == f
    await push(page, "Caption")
    await page.write("textarea", "Tram 28 <up>")
    await look(page, "manage-caption")
    await page.ask("document.querySelector('dialog form').requestSubmit()")
    await page.see(f"document.querySelector({tile(f)!r}).ariaLabel === 'Tram 28 <up>, Cover'")

    await push(page, "Move …")
    await look(page, "manage-move")
    await push(page, "To the start")
    await says(page, "Moved to place 1.")
    assert await names(phone, gallery) == "fabcde"
    await push(page, "Move …")
    await push(page, "Before another picture …")
    await page.click(tile(c))
    await says(page, "Moved to place 3.")
    assert await names(phone, gallery) == "abfcde"
    await push(page, "Clear the choice")

    await page.drag(tile(e), tile(b))
    await says(page, "Moved to place 2.")
    assert await names(phone, gallery) == "aebfcd"
    await page.click(tile(d))
    await says(page, "1 chosen")
    await page.drag_by_finger(tile(d), tile(a))
    await says(page, "Moved to place 1.")
    assert await names(phone, gallery) == "daebfc"
    await push(page, "Clear the choice")
    await push(page, "Sort all")
    await says(page, "Sorted.")
    await page.ask(f"document.querySelector({tile(a)!r}).scrollIntoView()")

    await page.click(tile(a))
    await page.click(tile(d))
    await says(page, "2 chosen")
    await push(page, "Remove")
    await look(page, "manage-remove")
    await page.ask("document.querySelector('dialog button.alarm').click()")
    await says(page, "2 items were removed.")
    await page.see("document.querySelectorAll('li[data-id]').length === 4")
    assert set(await names(phone, gallery)) == set("bcef")

    added = tmp_path / "g.jpg"
    added.write_bytes(encode(quadrants(300, 200), "JPEG"))
    await push(page, "Add pictures and films")
    await page.put("main input[type=file]:not([webkitdirectory])", added)
    await page.see("[...document.querySelectorAll('.grid li img')].length === 5")
    await look(page, "manage-adding")
    await open_tab(page, 2)
    await page.see("document.querySelector('figure img')?.checkVisibility()")
    assert not await page.ask("document.querySelector('.panel .progress').checkVisibility()")
    await open_tab(page, 1)
    await says(page, "The file is in the gallery.")  # the panel was not made anew
    await page.see("[...document.querySelectorAll('.grid li img')].length === 5")
    assert (await names(phone, gallery))[-1] == "g"
    assert unexpected(page) == []
    assert not [url for url in page.requested if gallery.access_key in url]


async def open_tab(page: Page, number: int) -> None:
    await page.click(f"[role=tab]:nth-child({number})")


@pytest.mark.timeout(300)
async def test_settings_an_account_and_the_end_of_a_gallery(
    stack: StackUnderTest, phone: Phone, page: Page
) -> None:
    gallery = await phone.create_gallery(title="Settings")
    await phone.upload(gallery, *pictures(1))
    await phone.until_ready(gallery, 1)
    await page.go(link(stack, gallery))
    await page.see("!!document.querySelector('[role=tab]')")

    await open_tab(page, 2)
    await page.see("document.querySelector('figure img')?.naturalWidth > 0")
    await look(page, "manage-link")
    await push(page, "New link …")
    await push(page, "New link")
    await says(page, "The gallery has a new link.")
    renewed = await managed(phone, gallery)
    assert renewed["code"] != gallery.code
    assert await page.ask("document.querySelector('input[readonly]').value") == renewed["url"]
    await push(page, "New management link …")
    await push(page, "New management link")
    await says(page, "The gallery has a new management link.")
    (await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=gallery.key)).problem(
        403, "gallery_key_wrong"
    )
    shown = await page.ask("[...document.querySelectorAll('input[readonly]')].at(-1).value")
    new_key = shown.partition("#")[2]
    stack.secrets.add(new_key)
    key = {"X-Gallery-Key": new_key}

    await open_tab(page, 4)
    await page.click("input[name=location_free]")
    await eventually_is(phone, gallery, key, location_free=True)
    await fill(page, {"max_views": "many", "max_downloads": "7"})
    await page.ask("document.querySelector('input[name=max_views]').form.requestSubmit()")
    await says(page, "A whole number from 1 to 1,000,000.")
    await look(page, "manage-settings")
    await page.write("input[name=max_views]", "50")
    await page.ask("document.querySelector('input[name=max_views]').form.requestSubmit()")
    await eventually_is(phone, gallery, key, max_views=50, max_downloads=7)
    before = (await managed(phone, gallery, key))["expires_at"]
    await page.choose("#new-end", "14")
    await push(page, "Set the end")

    async def ends_earlier() -> None:
        assert (await managed(phone, gallery, key))["expires_at"] < before

    await eventually(ends_earlier, EFFECT_S)

    person = await sign_up(stack, phone, "keeper")
    await push(page, "Keep it in my account")
    await fill(page, {"email": person.email, "password": person.password})
    await look(page, "manage-keep-log-in")
    await push(page, "Log in")
    await page.see(
        "document.querySelector('dialog')?.innerText.includes('The management link stops working')"
    )
    await page.ask("document.querySelector('dialog .ways button').click()")
    await says(page, "The gallery is in your account now.")
    await eventually_is(phone, gallery, person.key, expires_at=None)

    await page.write("input[maxlength='1024']", "sesame")
    await push(page, "Set the password")
    await says(page, "Viewers need a password.")
    await eventually_is(phone, gallery, person.key, password_protected=True)
    await push(page, "Remove the password")
    await eventually_is(phone, gallery, person.key, password_protected=False)
    await page.click("input[type=radio][value=private]")
    await eventually_is(phone, gallery, person.key, visibility="private", code=None)
    await look(page, "manage-settings-account")

    await push(page, "Delete the gallery …")
    await look(page, "manage-delete")
    await page.ask("document.querySelector('dialog button.alarm').click()")
    await says(page, "The gallery was deleted.")
    (await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=person.key)).problem(
        404, "gallery_not_found"
    )
    await look(page, "manage-deleted")
    assert unexpected(page) == []
    assert not [url for url in page.requested if gallery.access_key in url or new_key in url]


async def eventually_is(phone: Phone, gallery: Gallery, key: dict[str, str], **expected: Any) -> None:
    async def same() -> None:
        found = await managed(phone, gallery, key)
        assert {name: found[name] for name in expected} == expected

    await eventually(same, EFFECT_S)


@pytest.mark.timeout(180)
async def test_without_a_right_key_the_page_asks_for_it(
    stack: StackUnderTest, phone: Phone, page: Page
) -> None:
    gallery = await phone.create_gallery(title="Locked")
    await page.go(f"{stack.base_url}/manage/{gallery.id}")
    await says(page, "This page takes the management link")
    await page.ask("document.querySelector('a.skip').focus()")
    await page.press("Enter")
    await page.see("document.activeElement === document.querySelector('main')")
    assert await page.ask("location.hash") == ""
    await page.go("about:blank")
    await page.go(f"{stack.base_url}/manage/{gallery.id}#kappi_{secrets.token_hex(13)}")
    await says(page, "This key does not open the gallery.")
    await look(page, "manage-locked")
    await page.write("main form input", link(stack, gallery))
    await push(page, "Open")
    await page.see("document.querySelector('input[name=title]')?.value === 'Locked'")
    await page.ask(NO_FOCUS)
    await look(page, "manage-empty")

    (await phone.ask("DELETE", f"/v1/galleries/{gallery.id}", headers=gallery.key)).ok(204)
    await page.go("about:blank")  # an address that differs in its fragment only is not loaded anew
    await page.go(link(stack, gallery))
    await says(page, "There is no such gallery (any more).")
    await look(page, "manage-missing")
    assert unexpected(page) == []


@pytest.mark.timeout(240)
async def test_contributions_are_opened_and_a_contributor_is_removed(
    stack: StackUnderTest, phone: Phone, page: Page
) -> None:
    gallery = await phone.create_gallery(title="Wedding")
    await page.go(link(stack, gallery))
    await page.see("!!document.querySelector('[role=tab]')")
    await open_tab(page, 3)
    await says(page, "No one has added anything by the link yet.")
    await page.click("input[type=radio][value=drop]")
    await eventually_is(phone, gallery, gallery.key, contributions="drop")
    await page.click("input[type=radio][value=open]")
    await eventually_is(phone, gallery, gallery.key, contributions="open")
    for name, file in zip(("Grace <3", None), pictures(2), strict=True):
        await contribute(stack, phone, gallery, name=name, file=file)
    await counted(phone, gallery, [1, 1])

    await open_tab(page, 1)
    await page.see("document.querySelectorAll('li[data-id] img').length === 2")
    await says(page, "from Grace <3")
    await open_tab(page, 3)
    await page.see("document.querySelectorAll('section li').length === 2")
    await look(page, "manage-contributions")
    await push(page, "Remove Grace <3")
    await look(page, "manage-remove-contributor")
    await push(page, "Remove the person and all their items")
    await page.see("document.querySelectorAll('section li').length === 1")
    await push(page, "Remove Without a name")
    await push(page, "Remove the person, keep the items")
    await says(page, "No one has added anything by the link yet.")
    await open_tab(page, 1)
    await page.see("document.querySelectorAll('li[data-id]').length === 1")

    async def one_is_left() -> None:
        assert await names(phone, gallery) == "b"

    await eventually(one_is_left, EFFECT_S)
    assert page.complaints == []


async def contribute(
    stack: StackUnderTest, phone: Phone, gallery: Gallery, *, name: str | None, file: File
) -> None:
    """Adds a file as a new contributor."""
    body = {} if name is None else {"name": name}
    joined = (await phone.ask("POST", f"/v1/g/{gallery.code}/contributors", json=body)).ok(201)
    stack.secrets.add(joined["contributor_key"])
    posted = await phone.ask(
        "POST",
        f"/v1/galleries/{gallery.id}/media",
        json={"filename": file.name, "content_base64": base64.b64encode(file.body).decode()},
        headers={"X-Contributor-Key": joined["contributor_key"]},
    )
    posted.ok(201)


async def counted(phone: Phone, gallery: Gallery, counts: list[int]) -> None:
    """Waits until the contributors of a gallery have these numbers of items."""

    async def are() -> None:
        listed = await phone.ask("GET", f"/v1/galleries/{gallery.id}/contributors", headers=gallery.key)
        assert [one["item_count"] for one in listed.ok()["items"]] == counts

    await eventually(are, EFFECT_S)
