"""Contributing in the browser: by the QR code, under a name; own items; a drop; closed contributions."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import qr_modules
from tests.e2e.browser import Page
from tests.e2e.phone import Gallery, Phone
from tests.e2e.web_stories import look, push, unexpected

FILES = "[data-choose=files]"
_HEADLINE = "document.querySelector('.progress strong')?.textContent"
_OWN = "document.querySelectorAll('section[aria-labelledby=contribute] li button[aria-label^=Delete]').length"
_TILES = "document.querySelectorAll('main > ul li[data-id] img').length"


@pytest.fixture(params=["open", "drop"])
async def gallery(request: pytest.FixtureRequest, phone: Phone) -> Gallery:
    return await phone.create_gallery(title="Wedding", contributions=request.param)


@pytest.mark.timeout(300)
async def test_a_guest_contributes_by_the_qr_code(
    phone: Phone, page: Page, gallery: Gallery, request: pytest.FixtureRequest, photos: list[Path]
) -> None:
    kind = request.node.callspec.params["gallery"]
    posted = {
        "filename": "host.png",
        "content_base64": b64encode(encode(quadrants(320, 240), "PNG")).decode(),
    }
    media = f"/v1/galleries/{gallery.id}/media"
    (await phone.ask("POST", media, json=posted, headers=gallery.key)).ok(201)
    modules = qr_modules.of_link(gallery.url)
    drawn = await phone.ask("GET", f"/v1/g/{gallery.code}/qr.png")
    assert qr_modules.of_picture(drawn.body, count=len(modules)) == modules
    await page.go(gallery.url)  # the address in the code
    await page.see(f"{_TILES} === {0 if kind == 'drop' else 1}")
    await push(page, "Add photos")
    await page.see("document.querySelector('section h2')?.textContent === 'Add your photos and films'")
    await page.see("document.activeElement.id === 'contribute'")
    await look(page, f"contribute-{kind}-name")
    await page.write("section[aria-labelledby=contribute] form input", "Zoë & Max")
    await push(page, "Add photos and films")
    await page.see(f"!!document.querySelector('{FILES}')")
    await page.put(FILES, *photos[:3])
    await page.see(f"{_HEADLINE} === 'All 3 files are in the gallery.'")
    await page.see(f"{_OWN} === 3")
    await look(page, f"contribute-{kind}-done")
    items = await _all_items(phone, gallery)
    assert sorted(str(item["contributor"] and item["contributor"]["name"]) for item in items) == [
        "None",
        *["Zoë & Max"] * 3,
    ]

    # The browser remembers the contributor. In a drop it shows own items, and another browser shows none.
    await page.go(gallery.url)
    await push(page, "Add photos")
    await page.see("document.body.innerText.includes('You add as Zoë & Max')")
    await page.see(f"{_OWN} === 3 && {_TILES} === {3 if kind == 'drop' else 4}")
    others = (await phone.ask("GET", f"/v1/g/{gallery.code}")).ok()["items"]
    assert len(others) == (0 if kind == "drop" else 4)

    await push(page, f"Delete {photos[0].name}")
    await look(page, f"contribute-{kind}-delete")
    await push(page, "Delete")
    await page.see(f"{_OWN} === 2")
    await eventually(lambda: _has(phone, gallery, 3))

    # The owner removes the contributor. The page asks for a name again, and then adds the refused file.
    kept = f"localStorage.getItem('kappi.contributor-of.{gallery.code}')"
    assert bool(await page.ask(kept)) == (kind == "drop")
    path = f"/v1/galleries/{gallery.id}/contributors"
    (removed,) = (await phone.ask("GET", path, headers=gallery.key)).ok()["items"]
    (await phone.ask("DELETE", f"{path}/{removed['id']}", headers=gallery.key)).ok(204)
    await page.put(FILES, photos[3])
    await page.see("document.body.innerText.includes('You were removed from the contributors')")
    assert await page.ask(kept) is None
    await look(page, f"contribute-{kind}-removed")
    await page.write("section[aria-labelledby=contribute] form input", "Zoë")
    await push(page, "Add photos and films")
    await page.see(f"{_HEADLINE} === 'The file is in the gallery.'")
    await page.see(f"{_OWN} === 1")

    await phone.ask(
        "PATCH", f"/v1/galleries/{gallery.id}", json={"contributions": "closed"}, headers=gallery.key
    )
    await page.put(FILES, photos[4])
    await page.see("document.body.innerText.includes('takes no more contributions')")
    assert list(unexpected(page)) == []


async def _all_items(phone: Phone, gallery: Gallery) -> list[dict[str, Any]]:
    answer = await phone.ask("GET", f"/v1/g/{gallery.code}", headers=gallery.key)
    items: list[dict[str, Any]] = answer.ok()["items"]
    return items


async def _has(phone: Phone, gallery: Gallery, count: int) -> None:
    assert len(await _all_items(phone, gallery)) == count
