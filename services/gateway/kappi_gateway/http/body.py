"""The body of a request on its way to a service: whole if it came in one piece, else streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext

from kappi_chassis.http.edge import Message, Receive
from kappi_chassis.problems import BadRequest, PayloadTooLarge

from kappi_gateway.errors import RequestTimeout
from kappi_gateway.http.headers import CONTENT_LENGTH, TRANSFER_ENCODING, RawHeaders
from kappi_gateway.limits.minimum_rate import MinimumRate, RateAllowance

GRACE_S = 0.5
"""Seconds that any client may fall behind. A client further behind needs a slow place of its address."""

Slow = Callable[[], AbstractContextManager[None]]
"""Returns a context that is held while the gateway waits for a slow client.

Raises the problem to answer with.
"""


class ClientLeft(Exception):
    """The client went away in the middle of its body."""


class RequestBody:
    """The body that a client sends. After `open`, iterate over its pieces or call `read_whole`.

    length: declared length in bytes, None if chunked. limit_bytes: None for no limit. rate: minimum rate of
    the client; time in which the gateway does not read does not count. slow: see `Slow`.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        length: int | None,
        limit_bytes: int | None,
        rate: MinimumRate,
        slow: Slow = nullcontext,
        too_large: type[PayloadTooLarge] = PayloadTooLarge,
    ) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._leeway = RateAllowance(rate)
        self._slow = slow
        self._too_large = too_large
        self._on_end: Callable[[], None] | None = None
        self._head = b""
        self.length = length
        self.whole: bytes | None = None

    async def open(self, on_end: Callable[[], None]) -> None:
        """Reads the first piece, often the whole body. on_end: called when the body is complete.

        Raises ClientLeft, PayloadTooLarge, RequestTimeout, and what `slow` raises.
        """
        self._head, more = await self._next()
        self._check(len(self._head))
        if more:
            self._on_end = on_end
        else:
            self.whole = self._head
            on_end()

    async def read_whole(self) -> bytes:
        """Returns the whole body, after `open`; for small bodies. Raises as `open` does."""
        if self.whole is None:
            self.whole = b"".join([piece async for piece in self])
        return self.whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises as `open` does."""
        total, more = len(self._head), True
        if self._head:
            yield self._head
        while more:
            piece, more = await self._next()
            total += len(piece)
            self._check(total)
            if piece:
                yield piece
        if self._on_end is not None:
            self._on_end()

    async def _next(self) -> tuple[bytes, bool]:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        try:
            message = await self._message()
        except TimeoutError as error:
            raise RequestTimeout("Too little came for too long; send it again.") from error
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece: bytes = message.get("body", b"")
        self._leeway.moved(len(piece), waited_s=clock() - asked_at)
        return piece, message.get("more_body", False)

    async def _message(self) -> Message:
        """Raises TimeoutError, and what `slow` raises."""
        left_s = self._leeway.left_s
        grace_s = max(0.0, GRACE_S - self._leeway.behind_s)
        try:
            async with asyncio.timeout(min(grace_s, left_s)):
                return await self._receive()
        except TimeoutError:
            with self._slow():
                async with asyncio.timeout(left_s - grace_s):
                    return await self._receive()

    def _check(self, total: int) -> None:
        if self._limit_bytes is not None and total > self._limit_bytes:
            raise self._too_large(_too_large(self._limit_bytes))


def declared_body(
    headers: RawHeaders,
    receive: Receive,
    *,
    limit_bytes: int | None,
    rate: MinimumRate,
    slow: Slow = nullcontext,
    too_large: type[PayloadTooLarge] = PayloadTooLarge,
) -> RequestBody | None:
    """Returns the body that the headers announce, None if there is none.

    too_large: error class for a body over the limit. Raises PayloadTooLarge before a byte is read, and
    BadRequest for a length that is not a number.
    """
    length: int | None = None
    chunked = False
    for name, value in headers:
        if name == CONTENT_LENGTH:
            if not value.isdigit():
                raise BadRequest("Content-Length is not a number.")
            length = int(value)
        elif name == TRANSFER_ENCODING:
            chunked = True
    if not chunked and not length:
        return None
    if length is not None and limit_bytes is not None and length > limit_bytes:
        raise too_large(_too_large(limit_bytes))
    return RequestBody(
        receive,
        length=None if chunked else length,
        limit_bytes=limit_bytes,
        rate=rate,
        slow=slow,
        too_large=too_large,
    )


def _too_large(limit_bytes: int) -> str:
    return f"At most {limit_bytes} bytes are taken here."
