"""What the causes of alerts act upon: the system, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpg
from kappi_chassis.observability.context import continue_trace
from kappi_embedded.ticking import send_tick
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.chaos.alert_watch import Labels
from tests.chaos.load import Load
from tests.chaos.system import Replica, System
from tests.e2e.phone import File, Gallery, Phone

_AWAY = (aiohttp.ClientError, OSError, TimeoutError)
_READY_S = 180.0
_PAUSE_S = 0.2


@dataclass(slots=True)
class Scene:
    """load: the clients that view galleries meanwhile. phone: a further one. gallery: one of its galleries,
    with an item.
    """

    system: System
    load: Load
    phone: Phone
    gallery: Gallery
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def picture(self) -> File:
        """Returns a picture that differs from all others."""
        body = encode(quadrants(40 + next(self._numbers), 30), "JPEG")
        return File("a.jpg", "image/jpeg", body)

    async def tick(self) -> None:
        """Sends a tick, as an operator does."""
        await send_tick(self.system.events, datetime.now(UTC), trace=continue_trace(None))

    async def rename_gallery(self) -> int:
        """Changes the gallery once. Returns the status."""
        answer = await self.phone.ask(
            "PATCH",
            f"/v1/galleries/{self.gallery.id}",
            json={"title": f"Title {next(self._numbers)}"},
            headers=self.gallery.key,
        )
        return answer.status

    @asynccontextmanager
    async def repeated(
        self, call: Callable[[], Awaitable[Any]], *, clients: int, pause_s: float = _PAUSE_S
    ) -> AsyncIterator[None]:
        """Clients that repeat a call within the context, whatever the answer is."""

        async def client() -> None:
            while True:
                with contextlib.suppress(*_AWAY):
                    await call()
                await asyncio.sleep(pause_s)

        tasks = [asyncio.create_task(client()) for _ in range(clients)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[Any]:
        """Yields an operator's own connection to the database of a service."""
        connection = await asyncpg.connect(self.system.database_url(service), timeout=10)
        try:
            yield connection
        finally:
            await connection.close()

    async def restarted(self, *replicas: Replica) -> None:
        """Waits until processes that were ended are ready again."""

        def are_ready() -> None:
            others = [each.name for each in replicas if not each.is_ready]
            assert not others

        for each in replicas:
            each.is_ready, each.is_kept = False, True
        await eventually(are_ready, _READY_S)


@dataclass(frozen=True, slots=True)
class Cause:
    """A fault that an operator may have. what: in the words of docs/reliability.md. alerts: those that it
    raises, with labels that they have. begin: a context in which it lasts.
    """

    what: str
    alerts: Mapping[str, Labels]
    begin: Callable[[Scene], AbstractAsyncContextManager[None]]
    seen_within_s: float = 120.0
