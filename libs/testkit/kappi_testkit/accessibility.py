"""Findings of axe-core on a page in a browser."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kappi_testkit.servers.plan import REQUIRE_REAL

_AXE = Path(__file__).parents[3] / "services/gateway/web/node_modules/axe-core/axe.min.js"
# What is fading has not its own colours yet.
_RUN = """
Promise.allSettled(document.getAnimations().flatMap((one) =>
  one.effect.getComputedTiming().endTime === Infinity ? [] : one.finished)
).then(() => axe.run()).then(({violations}) => violations.flatMap(({id, help, nodes}) => nodes.map(
  ({target, failureSummary}) => `${id}: ${help}: ${target.join(" ")}: ${failureSummary}`)))
"""


async def findings_of_axe(evaluate: Callable[[str], Awaitable[Any]]) -> list[str]:
    """Returns what axe-core finds wrong with the page as it is now, one line for each element.

    evaluate: runs a JavaScript expression in the page and waits for its promise. The test is skipped if the
    tools of the pages are not installed (`make web` installs them).
    """
    # The page's policy forbids foreign scripts, so the debugger evaluates it.
    await evaluate(_axe() + "; true")
    findings: list[str] = await evaluate(_RUN)
    return findings


@cache
def _axe() -> str:
    if not _AXE.is_file():
        assert not os.environ.get(REQUIRE_REAL), f"{_AXE} is missing: make web"
        pytest.skip("axe-core is not installed: make web")
    return _AXE.read_text("utf-8")
