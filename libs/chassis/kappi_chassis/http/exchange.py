"""One request and its answer on a connection, as ASGI sees them."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Protocol

from kappi_chassis.http.edge import BODY_FOLLOWS, App, Message, Scope
from kappi_chassis.observability.logs import get_logger

BODY_AHEAD_BYTES = 64 * 1024
"""Bytes of a request's body that are read before the app asks for them, plus one read of the system."""

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})
_WITHOUT_BODY = frozenset({204, 304})
_UNSAFE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FAILED = {
    "type": "http.response.start",
    "status": 500,
    "headers": [(b"content-length", b"0"), (b"connection", b"close")],
}

_log = get_logger(__name__)


class Line(Protocol):
    """The connection that an exchange uses.

    drains: whether it ends after the next answer, because the process is about to stop.
    """

    is_blocked: bool

    @property
    def drains(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    def write_last(self, data: bytes) -> None:
        """Writes the end of an answer."""

    def close(self) -> None: ...

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...

    async def until_writable(self) -> None: ...

    def answered(self) -> None:
        """Is called after the last byte of the answer was written."""


class Exchange:
    """keep_alive: whether the client keeps the connection. expects_continue: whether it waits for `100
    Continue` before it sends its body. may_chunk: whether it understands a chunked answer (HTTP/1.1).
    """

    __slots__ = (
        "_arrival",
        "_body",
        "_chunked",
        "_expects_continue",
        "_head_only",
        "_held_head",
        "_is_new",
        "_left",
        "_line",
        "_may_chunk",
        "_more_body",
        "answer_begun",
        "answer_complete",
        "disconnected",
        "keep_alive",
        "scope",
    )

    def __init__(
        self, line: Line, scope: Scope, *, keep_alive: bool, expects_continue: bool, may_chunk: bool
    ) -> None:
        self._line = line
        self._head_only = scope["method"] == "HEAD"
        self._expects_continue = expects_continue
        self._may_chunk = may_chunk
        self._body = bytearray()
        self._more_body = True
        self._is_new = False  # whether there is something that `receive` has not returned
        self._arrival: asyncio.Future[None] | None = None
        self._chunked = False
        self._left = 0
        self._held_head = b""
        self.scope = scope
        self.keep_alive = keep_alive
        self.answer_begun = self.answer_complete = self.disconnected = False

    async def run(self, app: App) -> None:
        """Runs the app. A failure ends the connection, with a bare 500 if nothing was answered."""
        try:
            await app(self.scope, self.receive, self.send)
            if self.answer_complete or self.disconnected:
                return
            _log.error("http.unanswered", begun=self.answer_begun)
        except asyncio.CancelledError:
            self._line.close()  # the server stops, and has waited long enough
            raise
        except Exception as error:  # noqa: BLE001 - the HTTP edge: a failure ends this connection alone
            _log.error("http.app_failed", error_type=type(error).__name__, exc_info=error)
        if self.answer_begun:
            self._line.close()
        else:
            await self.send(_FAILED)
            await self.send({"type": "http.response.body"})

    async def receive(self) -> Message:
        self._ask_for_body()
        while not (self._is_new or self.disconnected or self.answer_complete):
            self._line.resume_body()
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        if self.disconnected or self.answer_complete:
            return {"type": "http.disconnect"}
        self._is_new = False
        body = bytes(self._body)
        self._body.clear()
        return {"type": "http.request", "body": body, "more_body": self._more_body}

    def take_body(self) -> tuple[bytes, bool]:
        """Returns what has arrived of the body, and whether more follows, which the caller reads."""
        received = bytes(self._body)
        self._body.clear()
        if self._more_body:
            self._ask_for_body()
        return received, self._more_body

    def take_answer(self, length: int) -> None:
        """Lets the caller write `length` bytes of the answer's body behind what was sent."""
        held, self._held_head = self._held_head, b""
        if held:
            self._line.write(held)
        self._left -= length

    def _ask_for_body(self) -> None:
        if self._expects_continue:
            self._expects_continue = False
            self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def send(self, message: Message) -> None:
        if self._line.is_blocked and not self.disconnected:
            await self._line.until_writable()
        if self.disconnected:
            return
        if self.answer_complete:
            raise RuntimeError("a message after the end of the answer")
        if self.answer_begun:
            self._write_body(message.get("body", b""), last=not message.get("more_body", False))
        else:
            if message["type"] != "http.response.start":
                raise RuntimeError("an answer begins with http.response.start")
            self._write_head(message)

    def _write_head(self, message: Message) -> None:
        """Raises RuntimeError for a header that could end itself and begin another."""
        self.answer_begun = True
        self._expects_continue = False
        status = message["status"]
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        length: int | None = None
        for name, value in message.get("headers", ()):
            if name in _FRAMING:
                if name == b"content-length":
                    length = int(value)
                elif name == b"connection":
                    self.keep_alive = self.keep_alive and b"close" not in value.lower()
                    continue
                else:
                    continue  # the framing is decided here
            lines.append(b"%b: %b\r\n" % (name, value))
        if length is not None:
            self._left = length
        elif not self._head_only and status not in _WITHOUT_BODY:
            if self._may_chunk:
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self._left = -1  # the end of the connection ends the body
                self.keep_alive = False
        if not self.keep_alive or self._line.drains:
            self.keep_alive = False
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if _UNSAFE.search(head) or not head.count(b"\r") == head.count(b"\n") == len(lines):
            raise RuntimeError("a header of the answer holds a control character")
        if BODY_FOLLOWS in message:
            self._held_head = head + b"\r\n"
        else:
            self._line.write(head + b"\r\n")

    def _write_body(self, body: bytes, *, last: bool) -> None:
        data, self._held_head = self._held_head + self._framed(body, last=last), b""
        if last:
            if self._left > 0:
                raise RuntimeError("the body of the answer is shorter than its Content-Length")
            if data:
                self._line.write_last(data)
            self.answer_complete = True
            self._wake()
            if not self.keep_alive:
                self._line.close()
            self._line.answered()
        elif data:
            self._line.write(data)

    def _framed(self, body: bytes, *, last: bool) -> bytes:
        """Returns the bytes of a piece on the line. Raises RuntimeError for more than the declared length."""
        if self._head_only:
            self._left = 0
            return b""
        if self._chunked:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return piece + b"0\r\n\r\n" if last else piece
        if self._left >= 0:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the body of the answer is longer than its Content-Length")
        return body

    # Called by the connection.

    def add(self, body: bytes) -> None:
        """Adds a piece of the request's body."""
        if self.answer_complete:
            return
        self._body += body
        if len(self._body) > BODY_AHEAD_BYTES:
            self._line.pause_body()
        self._is_new = True
        self._wake()

    def end_body(self) -> None:
        self._more_body = False
        self._is_new = True
        self._wake()

    def disconnect(self) -> None:
        """Ends the exchange, because its client is gone."""
        self.disconnected = True
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
