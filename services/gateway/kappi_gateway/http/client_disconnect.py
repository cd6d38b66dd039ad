"""Detection of a client that has left, so that no work continues for it."""

from __future__ import annotations

import asyncio
from types import TracebackType

from kappi_chassis.http.edge import Scope

from kappi_gateway import metrics


class ClientDisconnect:
    """Cancels the running task within the context when the client leaves; the context then ends normally.

    Arm it after the request's body has been read: a client that leaves before is noticed by reading.
    """

    def __init__(self, scope: Scope) -> None:
        self._when_lost = scope["kappi.when_lost"]
        self._working: asyncio.Task[object] | None = None
        self.happened = False

    def arm(self) -> None:
        self._when_lost(self._leave)

    def _leave(self) -> None:
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
        if not self.happened or working is None:
            return False
        metrics.CLIENTS_LEFT.inc()
        # A cancellation from elsewhere (the process stops) that came on top of this one must still count.
        return working.uncancel() == 0 and kind is asyncio.CancelledError
