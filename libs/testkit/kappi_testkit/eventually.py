"""Waiting for an outcome without guessing how long it takes."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.2

T = TypeVar("T")


@overload
async def eventually(assertion: Callable[[], Coroutine[Any, Any, T]], deadline_s: float = 10.0) -> T: ...
@overload
async def eventually(assertion: Callable[[], T], deadline_s: float = 10.0) -> T: ...
async def eventually(assertion: Callable[[], Any], deadline_s: float = 10.0) -> Any:
    """Calls `assertion` until it raises no AssertionError, and returns its result.

    assertion: a function or coroutine function that asserts. After deadline_s seconds its last AssertionError
    is raised; any other exception at once.
    """
    deadline = time.monotonic() + deadline_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            outcome = assertion()
            return await outcome if inspect.isawaitable(outcome) else outcome
        except AssertionError as failure:
            if time.monotonic() >= deadline:
                failure.add_note(f"still so after {deadline_s:g} s")
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
