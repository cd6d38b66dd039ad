"""Findings of axe-core on a page in the browser."""

from __future__ import annotations

from kappi_testkit.accessibility import findings_of_axe

from .browser import Page


async def accessibility_findings(page: Page) -> list[str]:
    """Returns what axe-core finds wrong with the page as it is now, one line for each element."""
    return await findings_of_axe(page.ask)
