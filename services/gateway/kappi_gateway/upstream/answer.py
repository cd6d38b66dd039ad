"""The answer of a service: its head, and its body while it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kappi_chassis.http.direct_bytes import DirectSocket
from kappi_chassis.http.splice import LEAST_BYTES, Pace

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Source(Protocol):
    """The connection that an answer comes from."""

    def resume(self) -> None:
        """Reads on after a pause."""

    def abort(self) -> None: ...

    def take(self) -> tuple[DirectSocket, Pace] | None:
        """Returns the socket for the rest of the answer, and the service's pace; None if it is encrypted."""

    def end_taken(self) -> None:
        """Ends an answer whose rest was read from the socket."""


@dataclass(slots=True)
class Rest:
    """The rest of an answer's body. received: what is here. left: bytes that follow on the socket.

    finish: called when they were read. The socket's owner closes it.
    """

    received: bytes
    left: int
    socket: DirectSocket
    pace: Pace
    finish: Callable[[], None]


class Answer:
    """head_only: it answers a HEAD. read_ahead_bytes: of the body, before the service has to wait.

    begun: done when the head is there, or a failure instead. status: 0 until then. headers: in the service's
    order, names in lower case. touched: whether a byte of it has come. pauses: whether reading is paused
    because of it.
    """

    __slots__ = (
        "_arrival",
        "_failure",
        "_left",
        "_pieces",
        "_read_ahead_bytes",
        "_size",
        "_source",
        "_whole",
        "begun",
        "head_only",
        "headers",
        "is_complete",
        "pauses",
        "status",
        "touched",
    )

    def __init__(self, source: Source, *, head_only: bool, read_ahead_bytes: int) -> None:
        self._source = source
        self._read_ahead_bytes = read_ahead_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._left = 0  # of a body of known length
        self._whole: bytes | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.head_only = head_only
        self.headers: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.is_complete = False
        self.touched = False
        self.pauses = False

    def header(self, wanted: bytes) -> bytes | None:
        """Returns the value of the first header of that (lower-case) name, None without one."""
        for name, value in self.headers:
            if name == wanted:
                return value
        return None

    async def head(self) -> None:
        """Waits for the head. Raises Lost, Silent, and the failure of a streamed request body."""
        await self.begun
        self._check()

    async def piece(self) -> bytes:
        """Returns what has arrived of the body since the last call; waits if that is nothing.

        Empty only at the end. Raises Lost, Silent.
        """
        while not self._pieces and not self.is_complete:
            self._check()
            self._arrival = self.begun.get_loop().create_future()
            await self._arrival
        return self._taken()

    async def read(self) -> bytes:
        """Returns the whole body, also repeatedly. Raises Lost, Silent."""
        if self._whole is None:
            pieces = []
            while not self.is_complete:
                pieces.append(await self.piece())
            pieces.append(self._taken())
            self._whole = b"".join(pieces)
        return self._whole

    def take_rest(self) -> Rest | None:
        """Takes the rest of a long body off the connection. Returns None, without an effect, if that is short
        or its length unknown.
        """
        if self._left < LEAST_BYTES or self._failure is not None or (taken := self._source.take()) is None:
            return None
        socket, pace = taken
        received = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        return Rest(received, self._left, socket, pace, finish=self._source.end_taken)

    def release(self) -> None:
        """Ends the call of the service if its answer is not complete."""
        if not self.is_complete and self._failure is None:
            self._source.abort()

    @property
    def at_end(self) -> bool:
        """Whether the whole body was returned by `piece`."""
        return self.is_complete and not self._pieces

    # Called by the connection.

    @property
    def is_full(self) -> bool:
        return self._size > self._read_ahead_bytes

    @property
    def lasts_until_close(self) -> bool:
        """Whether only the end of the connection ends the body."""
        return not any(name in _FRAMING for name, _ in self.headers)

    def begin(self, status: int) -> None:
        self.status = status
        length = self.header(b"content-length")
        self._left = int(length) if length is not None and not self.head_only else 0
        if not self.begun.done():
            self.begun.set_result(None)

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        self._left -= len(piece)
        self._wake()

    def end(self) -> None:
        self.is_complete = True
        self._wake()

    def fail(self, failure: Exception) -> None:
        self._failure = failure
        if not self.begun.done():
            self.begun.set_result(None)
        self._wake()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _taken(self) -> bytes:
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self.pauses and not self.is_complete:
            self.pauses = False
            self._source.resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
