"""Noticing that the client left, so that nobody works for it any more."""

from __future__ import annotations

import asyncio
from types import TracebackType

from kappi_chassis.http.edge import Receive

from kappi_gateway import metrics

WATCH_AFTER_S = 0.01
"""Watching costs a task, most answers take less than this: they never pay for it."""


class ClientDisconnect:
    """Within it, the running task is cancelled when the client goes; outside, that looks like a normal end.

    Arm it once the request's body has been read: only one may call `receive` at a time.
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
        # Someone else's cancellation (the process stops) that came on top of ours still counts.
        return working.uncancel() == 0 and kind is asyncio.CancelledError
