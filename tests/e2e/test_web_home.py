"""The frame of the home page: a gallery by its code, and the ways between the pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.browser import Page
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.web_stories import look, push, unexpected

_IS_CHOSEN = "(document.querySelector('.progress strong')?.textContent === '1 file chosen')"


@pytest.mark.timeout(180)
async def test_a_gallery_is_opened_by_its_code_and_pages_lead_to_each_other(
    stack: StackUnderTest, phone: Phone, page: Page, tmp_path: Path
) -> None:
    gallery = await phone.create_gallery(title="Lisbon")
    await page.go(f"{stack.base_url}/nope")
    await look(page, "missing")
    await page.follow("main a.button")
    await page.see("!!document.querySelector('header form input')")
    await page.see("!!document.querySelector('main h1')")
    await look(page, "home")

    await page.write("header form input", "no code")
    await push(page, "Open")
    await page.see("document.querySelector('#code-hint').textContent.startsWith('A code has letters')")
    await look(page, "home-code-refused")
    await page.click("header nav a")
    await page.see("location.pathname === '/account' && !!document.querySelector('main form')")
    await page.ask("history.back()")
    await page.see("location.pathname === '/' && !!document.querySelector('main h1')")
    await page.see("document.title === 'Kappi: photos and films by a short link'")

    # Files that are chosen and not shared are not lost without a question, by the history or by a link.
    photo = tmp_path / "tram.png"
    photo.write_bytes(encode(quadrants(320, 240), "PNG"))
    await page.put("[data-choose=files]", photo)
    await page.see(_IS_CHOSEN)
    await page.ask("history.forward()")
    await page.see("!!document.querySelector('dialog[open]')")
    await look(page, "home-leave")
    await push(page, "Stay")
    await page.click("header nav a")
    await push(page, "Stay")
    await page.see(f"{_IS_CHOSEN} && location.pathname === '/' && !document.querySelector('dialog')")
    await page.ask("history.back()")
    await push(page, "Leave")
    await page.see("location.pathname === '/account' && !!document.querySelector('main form')")
    await page.click("header a.brand")
    await page.see(f"location.pathname === '/' && !!document.querySelector('main h1') && !{_IS_CHOSEN}")

    await page.follow("footer a")
    await page.see("location.pathname === '/docs' && document.querySelectorAll('article').length > 50")
    await page.follow("nav a.home")
    await page.see("!!document.querySelector('header form input')")
    await page.write("header form input", f" {gallery.url.upper()}#x ")
    await page.press("Enter")
    await page.see(f"location.pathname === '/g/{gallery.code}'")
    assert unexpected(page) == []
