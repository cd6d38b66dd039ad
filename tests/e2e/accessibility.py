"""Findings of axe-core on a page in the browser."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from kappi_testkit.servers.plan import REQUIRE_REAL

from .browser import Page

_AXE = Path(__file__).parents[2] / "services/gateway/web/node_modules/axe-core/axe.min.js"
# What is fading has not its own colours yet.
_RUN = """
Promise.allSettled(document.getAnimations().flatMap((one) =>
  one.effect.getComputedTiming().endTime === Infinity ? [] : one.finished)
).then(() => axe.run()).then(({violations}) => violations.flatMap(({id, help, nodes}) => nodes.map(
  ({target, failureSummary}) => `${id}: ${help}: ${target.join(" ")}: ${failureSummary}`)))
"""


async def accessibility_findings(page: Page) -> list[str]:
    """Returns what axe-core finds wrong with the page as it is now, one line for each element.

    The test is skipped if the tools of the pages are not installed (`make web` installs them).
    """
    # The page's policy forbids foreign scripts, so the debugger evaluates it.
    await page.ask(_axe() + "; true")
    findings: list[str] = await page.ask(_RUN)
    return findings


@cache
def _axe() -> str:
    if not _AXE.is_file():
        assert not os.environ.get(REQUIRE_REAL), f"{_AXE} is missing: make web"
        pytest.skip("axe-core is not installed: make web")
    return _AXE.read_text("utf-8")
