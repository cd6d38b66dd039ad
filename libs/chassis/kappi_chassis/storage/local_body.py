"""The body of an upload: bounded in size and in silence, and left alone when it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from kappi_chassis.storage.local_responses import Abandoned, Receive, Refused

# Of each of hundreds of uploads so much may be in memory.
_CHUNK_BYTES = 256 << 10
_SILENCE_S = 60.0
_DRAINED_BYTES, _DRAINED_S = 256 * 1024, 0.5
# More than lies in socket buffers on the way, less than anyone could call reading the upload.
_LINGER_BYTES, _LINGER_S = 16 << 20, 2.0


class UploadBody:
    """One request's body, read once."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._finished = False
        self._given_up = False
        self._waiting: asyncio.Timeout | None = None
        self._waiting_since = 0.0

    @property
    def silent_s(self) -> float:
        """How long the sender has been waited for."""
        return 0.0 if self._waiting is None else asyncio.get_running_loop().time() - self._waiting_since

    def give_up(self) -> None:
        """Wait for the sender no longer: reading is refused as after too long a silence."""
        self._given_up = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0.0)

    async def chunks(self, *, size_bytes: int) -> AsyncIterator[bytearray]:
        """Pieces of about 256 KiB, `size_bytes` in all. Raises Refused as soon as there is more, or less."""
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
        """Read and drop what is left, if it is little and comes at once; False when it is not.

        A connection closed with bytes unread is reset, and the client may never see why it was refused:
        for a small body reading on is cheaper than that, for a large one it is what the refusal avoids.
        """
        with suppress(Refused, TimeoutError):
            async with asyncio.timeout(_DRAINED_S):
                await self._drop(_DRAINED_BYTES)
        return self._finished

    async def linger(self) -> None:
        """Drop what was on its way when the refusal was sent, so that the refusal is not lost to a reset.

        Whoever hears that it was refused stops sending; the others are cut off after a while.
        """
        with suppress(Refused, Abandoned, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self._drop(_LINGER_BYTES)

    async def _drop(self, limit_bytes: int) -> None:
        """Read on to the end, or until more than `limit_bytes` were dropped."""
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
