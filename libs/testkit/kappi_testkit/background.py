"""Tasks that run beside a test."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Runs tasks during a test. Leaving the context cancels them, and a failed task fails the test."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Background:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failures:
            raise ExceptionGroup("background tasks failed", failures)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.append(task)
        return task

    async def stop(self, task: asyncio.Task[None]) -> None:
        """Cancels one task early, without its own cleanup, as a crash does."""
        self._tasks.remove(task)
        task.cancel()
        await asyncio.wait([task])
