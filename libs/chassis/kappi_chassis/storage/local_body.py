"""The body of an upload: bounded in silence, moved to the file by threads, and not read further when refused.

A thread receives, hashes and writes what has arrived, with one buffer that it keeps. So hundreds of slow
uploads need no memory of their own, and a fast one passes the event loop once for some MiB.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from kappi_chassis.http.direct_bytes import DIRECT, Direct, DirectSocket, TakenBody
from kappi_chassis.storage.local_responses import Abandoned, Refused, Scope

Write = Callable[[memoryview], None]

_SILENCE_S = 60.0
_DRAINED_BYTES, _DRAINED_S = 256 * 1024, 0.5
# More than the socket buffers on the way hold, and much less than the upload.
_LINGER_BYTES, _LINGER_S = 16 << 20, 2.0

_BUFFER_BYTES: Final = 256 << 10
"""A buffer that stays in the processor's cache between receiving, hashing and writing."""
_TURN_BYTES: Final = 4 << 20
"""The bytes after which a thread goes to the next upload, however fast this one arrives."""
_PAUSE_BELOW_BYTES: Final = 256 << 10
_PAUSE_S: Final = 0.002
"""The pause after a turn that moved little: several packets then need one turn."""
_SLOW_BELOW_BYTES: Final = 16 << 10
_LONGEST_PAUSE_S: Final = 0.256
"""Each turn that moved hardly anything doubles the pause, up to this: hundreds of slow senders then need
some turns a second each, not one for each packet.
"""

_buffers = threading.local()


class UploadBody:
    """The body of one request, read once. It must be closed."""

    def __init__(self, scope: Scope) -> None:
        self._direct: Direct = scope[DIRECT]
        self._body: TakenBody | None = None
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

    async def pass_to(self, write: Write, *, blocking: Callable[[Callable[[], int]], Awaitable[int]]) -> None:
        """Passes all of it to `write`, in order, through one buffer for each thread.

        blocking: runs a call on a thread. Raises Refused after a long silence, Abandoned when the client
        left, and what `write` raises.
        """
        body = self._taken()
        if body.received:
            await blocking(partial(_written, body.received, write))
        pause_s = _PAUSE_S
        while body.left and body.socket is not None:
            await self._arrival(body.socket)
            moved = await blocking(partial(_moved, body.socket, body.left, write))
            body.left -= moved
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S) if moved < _SLOW_BELOW_BYTES else _PAUSE_S
            if body.left and moved < _PAUSE_BELOW_BYTES:
                await asyncio.sleep(pause_s)
        body.finish(0)

    async def drained(self) -> bool:
        """Reads and drops a short rest of the body. Returns False when the rest is long or does not arrive at
        once.

        A connection closed with unread bytes is reset, and the client may not see the refusal. For a small
        body reading on is cheaper than that; for a large one the refusal exists to avoid reading it.
        """
        body = self._taken()
        if body.endless or body.left > _DRAINED_BYTES:
            return False
        with suppress(Refused, TimeoutError):
            async with asyncio.timeout(_DRAINED_S):
                await self._drop(_DRAINED_BYTES)
        if body.left:
            return False
        body.finish(0)
        return True

    async def linger(self) -> None:
        """Drops what was on its way when the refusal was sent, so that a reset does not lose the refusal.

        A client that reads the refusal stops sending; others are disconnected after a while.
        """
        with suppress(Refused, Abandoned, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self._drop(_LINGER_BYTES)

    def close(self) -> None:
        """Frees the connection's second descriptor."""
        if self._body is not None and self._body.socket is not None:
            self._body.socket.close()

    def _taken(self) -> TakenBody:
        """Raises Abandoned when the client left."""
        if self._body is None:
            try:
                self._body = self._direct.take_body()
            except ConnectionResetError as error:
                raise Abandoned from error
        return self._body

    async def _drop(self, limit_bytes: int) -> None:
        """Reads to the end, or until `limit_bytes` were dropped."""
        body = self._taken()
        dropped = 0
        while body.socket is not None and (body.left or body.endless) and dropped < limit_bytes:
            await self._arrival(body.socket)
            received = _fill(body.socket, _buffer()[: body.left or None])
            body.left = max(0, body.left - received)
            dropped += received

    async def _arrival(self, of: DirectSocket) -> None:
        self._waiting_since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(0.0 if self._given_up else _SILENCE_S) as self._waiting:
                await of.readable()
        except TimeoutError as error:
            raise Refused(408, "RequestTimeout", "The body stopped coming.") from error
        finally:
            self._waiting = None


def _written(body: bytes, write: Write) -> int:
    write(memoryview(body))
    return len(body)


def _moved(source: DirectSocket, left: int, write: Write) -> int:
    """Passes what has arrived to `write`, at most a turn's bytes. Returns their number."""
    buffer = _buffer()
    moved = 0
    while moved < min(left, _TURN_BYTES):
        wanted = buffer[: left - moved]
        received = _fill(source, wanted)
        if received:
            write(wanted[:received])
        moved += received
        if received < len(wanted):
            break
    return moved


def _fill(source: DirectSocket, buffer: memoryview) -> int:
    """Receives until the buffer is full or nothing more is there. Raises Abandoned at the end of the
    connection.
    """
    filled = 0
    try:
        while filled < len(buffer):
            received = source.socket.recv_into(buffer[filled:])
            if not received:
                raise Abandoned
            filled += received
    except BlockingIOError:
        pass
    except OSError as error:
        raise Abandoned from error
    return filled


def _buffer() -> memoryview:
    """Returns this thread's buffer."""
    try:
        found: memoryview = _buffers.view
    except AttributeError:
        found = _buffers.view = memoryview(bytearray(_BUFFER_BYTES))
    return found
