"""The connections to one service, and the number of calls that all services get at once."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from urllib.parse import SplitResult

from kappi_gateway.upstream.connection import Connection


class Places:
    """Limits the calls at once. A call that finds no place waits for one."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Takes a place if one is free."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Takes the next place that becomes free."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give_back()
            else:
                with suppress(ValueError):
                    self._waiting.remove(place)
            raise

    def give_back(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


class Pool:
    """The connections to one service. keep_s: seconds for which an unused one is kept."""

    def __init__(self, address: SplitResult, *, places: Places, keep_s: float) -> None:
        self._host = address.hostname or ""
        self._tls = ssl.create_default_context() if address.scheme == "https" else None
        self._port = address.port or (443 if self._tls else 80)
        self._places = places
        self._keep_s = keep_s
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()

    def take(self) -> Connection | None:
        """Returns the connection that was used last, if there is one and a place for a call."""
        if self._idle and self._places.take():
            return self._idle.popitem()[0]
        return None

    async def connect(self) -> Connection:
        """Waits for a place, and returns a connection for a call, mostly a new one. Raises OSError."""
        if not self._places.take():
            await self._places.wait()
            if self._idle:
                return self._idle.popitem()[0]
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self, keep_s=self._keep_s), self._host, self._port, ssl=self._tls
            )
        except BaseException:
            self._places.give_back()
            raise
        self._open.add(connection)
        return connection

    def close(self) -> None:
        for connection in list(self._open):
            connection.abort()

    def ended(self, connection: Connection) -> None:
        if connection.is_open:
            self._idle[connection] = None
        self._places.give_back()

    def closed(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._open.discard(connection)
