"""One supervised service: started, watched until ready, restarted when it ends, drained."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from kappi_chassis.embedded.child import tail

from kappi_embedded.children import Child, Ended
from kappi_embedded.plan import ServiceSpec
from kappi_embedded.readiness import is_ready

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 10.0
STEADY_AFTER_S = 30.0
GIVE_UP_AFTER = 3
_READY_POLL_S = 0.03

StartChild = Callable[[ServiceSpec], Awaitable[Child]]
Say = Callable[[str], None]


class ServiceFailed(RuntimeError):
    """A service ended repeatedly before it was ever ready; the message ends with its last output."""


class SupervisedService:
    """Supervises one service. start: starts the process. changed: called when pid or readiness changed.

    ops_port: None where the process has none; it then counts as ready as soon as it runs.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        *,
        ops_port: int | None,
        start: StartChild,
        log: Path,
        warn: Say,
        changed: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.pid = 0
        self.ready = asyncio.Event()
        self._ops_port = ops_port
        self._start = start
        self._log = log
        self._warn = warn
        self._changed = changed
        self._ended: asyncio.Future[Ended] | None = None
        self._stopping = False
        self._wanted_again = False

    async def run(self) -> None:
        """Runs the service until `stop`.

        Raises ServiceFailed when it never became ready, since further attempts would not help.
        """
        backoff_s, failures, ever_ready = FIRST_BACKOFF_S, 0, False
        while not self._asked_to_stop():
            began = time.monotonic()
            end = await self._live_once(again=ever_ready)
            ever_ready = ever_ready or self.ready.is_set()
            self.ready.clear()
            if self._asked_to_stop():
                return
            if self._wanted_again:
                self._wanted_again = False
                continue
            failures += 1
            if not ever_ready and failures >= GIVE_UP_AFTER:
                raise ServiceFailed(f"{self.spec.name} {end} before it was ready\n{tail(self._log)}")
            if time.monotonic() - began > STEADY_AFTER_S:
                backoff_s = FIRST_BACKOFF_S
            self._warn(f"{self.spec.name} {end}; starting it again in {backoff_s:.1f} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    async def stop(self, *, grace_s: float) -> None:
        """Drains for good: SIGTERM, then SIGKILL after grace_s seconds."""
        self._stopping = True
        await self._end(grace_s)

    async def restart(self, *, grace_s: float) -> None:
        """Drains and starts again at once, with the environment current at that time."""
        self._wanted_again = True
        await self._end(grace_s)

    def _asked_to_stop(self) -> bool:
        return self._stopping

    def kill(self) -> None:
        """Sends SIGKILL; the service is not restarted."""
        self._stopping = True
        self._signal(signal.SIGKILL)

    async def _live_once(self, *, again: bool) -> Ended:
        child = await self._start(self.spec)
        self.pid, self._ended = child.pid, child.ended
        self._changed()
        readiness = asyncio.create_task(self._await_ready(again=again), name=f"ready-{self.spec.name}")
        if self._stopping:  # `stop` was called during the start
            self._signal(signal.SIGTERM)
        try:
            return await child.ended
        finally:
            readiness.cancel()
            with suppress(asyncio.CancelledError):
                await readiness
            self.pid = 0
            self._changed()

    async def _await_ready(self, *, again: bool) -> None:
        if self._ops_port is not None:
            while not await is_ready(self._ops_port):  # noqa: ASYNC110 - readiness is in another process
                await asyncio.sleep(_READY_POLL_S)
        self.ready.set()
        self._changed()
        if again:
            self._warn(f"{self.spec.name} is ready again")

    async def _end(self, grace_s: float) -> None:
        ended = self._ended
        if ended is None or ended.done():
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await asyncio.shield(ended)
        except TimeoutError:
            self._warn(f"{self.spec.name} did not drain within {grace_s:.0f} s: killing it")
            self._signal(signal.SIGKILL)
            await asyncio.shield(ended)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
