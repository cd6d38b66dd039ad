"""The body of an upload: bounded in size and in silence, and not read further when it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from kappi_chassis.storage.local_responses import Abandoned, Receive, Refused

# Hundreds of uploads may hold this much in memory each.
_CHUNK_BYTES = 256 << 10
_SILENCE_S = 60.0
_DRAINED_BYTES, _DRAINED_S = 256 * 1024, 0.5
# More than the socket buffers on the way hold, and much less than the upload.
_LINGER_BYTES, _LINGER_S = 16 << 20, 2.0


class UploadBody:
    """The body of one request, read once."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._finished = False
        self._given_up = False
        self._waiting: asyncio.Timeout | None = None
        self._waiting_since = 0.0

    @property
    def silent_s(self) -> float:
        """Returns for how long the sender has been silent."""
        return 0.0 if self._waiting is None else asyncio.get_running_loop().time() - self._waiting_since

    def give_up(self) -> None:
        """Stops waiting for the sender: reading is refused as after too long a silence."""
        self._given_up = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0.0)

    async def chunks(self, *, size_bytes: int) -> AsyncIterator[bytearray]:
        """Yields pieces of about 256 KiB, `size_bytes` in all. Raises Refused as soon as there are more or
        fewer bytes.
        """
        buffered = bytearray()
        received = 0
        while not self._finished:
            piece = await self._next()
            received += len(piece)
            if received > size_bytes:
                raise Refused(400, "EntityTooLarge", "The body is longer than was signed.")
            buffered += piece
            if len(buffered) >= _CHUNK_BYTES:
                yield buffered
                buffered = bytearray()
        if received != size_bytes:
            raise Refused(400, "IncompleteBody", "The body is shorter than was signed.")
        if buffered:
            yield buffered

    async def drained(self) -> bool:
        """Reads and drops a short rest of the body. Returns False when the rest is long or does not arrive at
        once.

        A connection closed with unread bytes is reset, and the client may not see the refusal. For a small
        body reading on is cheaper than that; for a large one the refusal exists to avoid reading it.
        """
        with suppress(Refused, TimeoutError):
            async with asyncio.timeout(_DRAINED_S):
                await self._drop(_DRAINED_BYTES)
        return self._finished

    async def linger(self) -> None:
        """Drops what was on its way when the refusal was sent, so that a reset does not lose the refusal.

        A client that reads the refusal stops sending; others are disconnected after a while.
        """
        with suppress(Refused, Abandoned, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self._drop(_LINGER_BYTES)

    async def _drop(self, limit_bytes: int) -> None:
        """Reads to the end, or until more than `limit_bytes` were dropped."""
        dropped = 0
        while not self._finished and dropped <= limit_bytes:
            dropped += len(await self._next())

    async def _next(self) -> bytes:
        self._waiting_since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(0.0 if self._given_up else _SILENCE_S) as self._waiting:
                message = await self._receive()
        except TimeoutError as error:
            raise Refused(408, "RequestTimeout", "The body stopped coming.") from error
        finally:
            self._waiting = None
        if message["type"] == "http.disconnect":
            raise Abandoned
        self._finished = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece
