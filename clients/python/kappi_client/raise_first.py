"""Several coroutines at the same time, with the first failure as the failure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def raise_first(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs all. The first that fails cancels the others, and its exception is raised as it was."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in coroutines:
                group.create_task(each)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
