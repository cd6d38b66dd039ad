"""The frame of the home page: a gallery by its code, and the ways between the pages."""

from __future__ import annotations

import pytest

from tests.e2e.browser import Page
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.web_stories import look, push, unexpected


@pytest.mark.timeout(180)
async def test_a_gallery_is_opened_by_its_code_and_pages_lead_to_each_other(
    stack: StackUnderTest, phone: Phone, page: Page
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

    await page.follow("footer a")
    await page.see("location.pathname === '/docs' && document.querySelectorAll('article').length > 50")
    await page.follow("nav a.home")
    await page.see("!!document.querySelector('header form input')")
    await page.write("header form input", f" {gallery.url.upper()}#x ")
    await page.press("Enter")
    await page.see(f"location.pathname === '/g/{gallery.code}'")
    assert unexpected(page) == []
