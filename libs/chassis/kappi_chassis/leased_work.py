"""Works on the due rows of a table, which are leased, several at once, in any number of processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Generic, TypeVar

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.idle_pause import IdlePause
from kappi_chassis.observability.logs import get_logger

Lease = TypeVar("Lease")

_log = get_logger(__name__)


class LeasedWork(Generic[Lease]):
    """A loop that leases and processes rows.

    take: leases up to a number of due rows; a temporary database failure is retried later. work: processes
    one row; its exception ends the loop. page: while there is work, rows are taken when so many places are
    free. poll: time between looks without a wake-up; it grows while nothing
    is due. wanted: set after a commit that makes a row due; None if `wake` is called instead.
    """

    def __init__(
        self,
        name: str,
        *,
        take: Callable[[int], Awaitable[Sequence[Lease]]],
        work: Callable[[Lease], Coroutine[Any, Any, None]],
        at_once: int,
        poll: timedelta,
        page: int = 1,
        wanted: asyncio.Event | None = None,
    ) -> None:
        self._name = name
        self._take = take
        self._work = work
        self._at_once = at_once
        self._page = page
        self._pause = IdlePause(poll.total_seconds())
        self._wanted = wanted or asyncio.Event()
        self._at_work: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Looks for due rows at once. Call it after the commit; polling makes up for a missed call."""
        self._wanted.set()

    async def run(self) -> None:
        """Runs until cancelled. Another process takes up the unfinished rows after their lease."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wanted.clear()
                leases = await self._due()
                for lease in leases:
                    task = group.create_task(self._work(lease), name=self._name)
                    self._at_work.add(task)
                    task.add_done_callback(self._free_place)
                pause_s = self._pause.after(found=bool(leases or self._at_work))
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._wanted.wait()

    def _free_place(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        self._pause.reset()
        self._wanted.set()

    async def _due(self) -> Sequence[Lease]:
        free = self._at_once - len(self._at_work)
        if free < self._page and self._at_work:
            return ()
        try:
            return await self._take(free)
        except Exception as error:
            if not is_transient(error):
                raise
            _log.warning("leased_work.lost_database", work=self._name, error=str(error))
            return ()
