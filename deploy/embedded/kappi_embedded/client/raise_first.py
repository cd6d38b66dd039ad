"""Several things at once, of which the first failure is the failure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def raise_first(parts: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run them all. The first that fails cancels the others, and its exception is raised as it was."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
