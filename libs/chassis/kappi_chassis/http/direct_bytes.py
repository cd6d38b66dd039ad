"""The socket of a connection, for an app that moves large bodies itself, on threads.

The usual way copies each piece of a body several times, and each passes the event loop. An app takes what
follows from the scope of a request, under `DIRECT`; the server must be `HttpServer`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

DIRECT: Final = "kappi.direct"


class DirectSocket:
    """A second descriptor of a connection's socket, which is non-blocking. Its owner closes it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # The event loop refuses callbacks for the descriptor of a transport.
        self.socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))

    async def readable(self) -> None:
        """Waits for bytes, or for the end of the connection."""
        await self._until(self._loop.add_reader, self._loop.remove_reader)

    async def writable(self) -> None:
        """Waits for room, or for the end of the connection."""
        await self._until(self._loop.add_writer, self._loop.remove_writer)

    async def _until(self, add: Callable[..., Any], remove: Callable[..., Any]) -> None:
        ready = self._loop.create_future()
        descriptor = self.socket.fileno()  # with the object itself, uvloop could postpone its closing
        add(descriptor, _resolve, ready)
        try:
            await ready
        finally:
            remove(descriptor)

    def shut_down(self) -> None:
        """Ends the connection for both sides; who waits or reads notices it."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended, or is closed

    def close(self) -> None:
        self.socket.close()


@dataclass(slots=True)
class TakenBody:
    """The body of a request.

    received: the bytes that arrived with the head. left: how many follow on `socket`, None if none do.
    finish: called when they were read, so that the connection can be used for another request; otherwise it
    ends with the answer. Its argument: how many were not read; the connection reads and drops these. endless:
    the body has no known length, and `finish` has no effect.
    """

    received: bytes
    left: int
    socket: DirectSocket | None
    finish: Callable[[int], None]
    endless: bool = False


class Direct(Protocol):
    """The value of `DIRECT` in the scope of a request."""

    def take_body(self) -> TakenBody:
        """Returns the body. `receive` returns nothing of it any more. Called once.

        Raises ConnectionResetError when more of it should follow and the connection has ended.
        """
        ...

    async def take_answer(self, length: int) -> DirectSocket:
        """Returns the socket when all that was sent before is on its way.

        The caller writes `length` bytes of the answer's body to it. Raises ConnectionResetError when the
        connection has ended.
        """
        ...

    def cut(self) -> None:
        """Closes the connection at once, whether its client reads or not."""
        ...


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
