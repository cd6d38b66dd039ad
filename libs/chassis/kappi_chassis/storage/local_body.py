"""The body of an upload: bounded in size and in silence, and left alone when it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from kappi_chassis.storage.local_responses import Abandoned, Receive, Refused

_CHUNK_BYTES = 1 << 20
_SILENCE_S = 60.0
_DRAINED_BYTES = 256 * 1024


class UploadBody:
    """One request's body, read once."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._finished = False

    async def chunks(self, *, size_bytes: int) -> AsyncIterator[bytes]:
        """Pieces of about 1 MiB, `size_bytes` in all. Raises Refused as soon as there is more, or less."""
        buffered = bytearray()
        received = 0
        while not self._finished:
            piece = await self._next()
            received += len(piece)
            if received > size_bytes:
                raise Refused(400, "EntityTooLarge", "The body is longer than was signed.")
            buffered += piece
            if len(buffered) >= _CHUNK_BYTES:
                yield bytes(buffered)
                buffered.clear()
        if received != size_bytes:
            raise Refused(400, "IncompleteBody", "The body is shorter than was signed.")
        if buffered:
            yield bytes(buffered)

    async def drained(self) -> bool:
        """Read and drop what is left, if it is little; False when it is not.

        A connection closed with bytes unread is reset, and the client may never see why it was refused:
        for a small body reading on is cheaper than that, for a large one it is what the refusal avoids.
        """
        dropped = 0
        while not self._finished:
            try:
                dropped += len(await self._next())
            except Refused:
                return False
            if dropped > _DRAINED_BYTES:
                return False
        return True

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(_SILENCE_S):
                message = await self._receive()
        except TimeoutError as error:
            raise Refused(408, "RequestTimeout", "The body stopped coming.") from error
        if message["type"] == "http.disconnect":
            raise Abandoned
        self._finished = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece
