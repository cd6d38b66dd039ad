"""Detection of a client that has left, so that no work continues for it."""

from __future__ import annotations

import asyncio
from types import TracebackType

from kappi_chassis.http.edge import Receive

from kappi_gateway import metrics

WATCH_AFTER_S = 0.01
"""Seconds before watching starts.

Watching costs a task, and most answers take less, so they never pay for it.
"""


class ClientDisconnect:
    """Cancels the running task within the context when the client leaves; the context then ends normally.

    Arm it after the request's body has been read, because only one task may call `receive` at a time.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._working: asyncio.Task[object] | None = None
        self.happened = False

    def arm(self) -> None:
        if self._timer is None and self._working is not None:
            self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._start)

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch(), name="departure")

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._working is not None:
            self.happened = True
            self._working.cancel()

    def __enter__(self) -> ClientDisconnect:
        self._working = asyncio.current_task()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        working, self._working = self._working, None
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if not self.happened or working is None:
            return False
        metrics.CLIENTS_LEFT.inc()
        # A cancellation from elsewhere (the process stops) that came on top of this one must still count.
        return working.uncancel() == 0 and kind is asyncio.CancelledError
