"""Working through a ledger whose rows are leased: several at once, by as many processes as there are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Generic, TypeVar

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.observability.logs import get_logger

Lease = TypeVar("Lease")

_log = get_logger(__name__)


class LeasedWork(Generic[Lease]):
    """take: leases up to so many rows that are due; a database that is away is asked again later. work: on
    one of them; what it raises ends everything. poll: how often it looks when it is not woken."""

    def __init__(
        self,
        name: str,
        *,
        take: Callable[[int], Awaitable[Sequence[Lease]]],
        work: Callable[[Lease], Coroutine[Any, Any, None]],
        at_once: int,
        poll: timedelta,
    ) -> None:
        self._name = name
        self._take = take
        self._work = work
        self._at_once = at_once
        self._poll_s = poll.total_seconds()
        self._wanted = asyncio.Event()
        self._at_work: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """The ledger may hold something due. Call after the commit; polling forgives a miss."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled. What is under way then is taken up by another process once its lease is over."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wanted.clear()
                for lease in await self._due():
                    task = group.create_task(self._work(lease), name=self._name)
                    self._at_work.add(task)
                    task.add_done_callback(self._free_place)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._wanted.wait()

    def _free_place(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        self._wanted.set()

    async def _due(self) -> Sequence[Lease]:
        free = self._at_once - len(self._at_work)
        if free <= 0:
            return ()
        try:
            return await self._take(free)
        except Exception as error:
            if not is_transient(error):
                raise
            _log.warning("leased_work.lost_database", work=self._name, error=str(error))
            return ()
