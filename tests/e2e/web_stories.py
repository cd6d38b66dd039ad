"""What the stories in the browser share: states that are looked at, buttons, and fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tests.e2e.accessibility import accessibility_findings
from tests.e2e.browser import Page

SIZES = (("phone", 390, 844), ("desktop", 1280, 900))


async def look(page: Page, name: str) -> None:
    """Checks a state of a page on a phone and a desktop, light and dark, and keeps pictures of it."""
    await page.to_front()
    for device, width, height in SIZES:
        await page.resize(width, height, is_phone=device == "phone")
        for scheme in ("light", "dark"):
            await page.prefer(scheme)
            findings = await accessibility_findings(page)
            assert not findings, (name, device, scheme, findings)
            assert await page.ask("document.documentElement.scrollWidth <= innerWidth"), (name, device)
            await page.photograph(f"web-{name}-{device}-{scheme}")
    await page.prefer("light")


async def push(page: Page, text: str) -> None:
    """Pushes the visible button with this text or this name, once it is enabled."""
    button = (
        "[...document.querySelectorAll('button')].findLast(one => one.checkVisibility() && !one.disabled && "
        f"[one.textContent.trim(), one.ariaLabel].includes({json.dumps(text)}))"
    )
    await page.see(f"!!({button})")
    await page.ask(f"({button}).click()")


async def fill(page: Page, fields: Mapping[str, str]) -> None:
    """Writes into the fields of these names, except hidden ones."""
    for name, text in fields.items():
        await page.write(f"form input[name='{name}']:not([hidden])", text)


def unexpected(page: Page) -> Sequence[str]:
    """Returns the complaints, without refusals of the API, which the browser reports as failed loads."""
    return [text for text in page.complaints if "responded with a status of 4" not in text]
