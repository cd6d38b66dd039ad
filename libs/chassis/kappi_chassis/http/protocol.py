"""uvicorn's HTTP protocol with the limits that a public port needs.

The head of a request is bounded in size and time, a connection has one request at a time, and input that is
not HTTP is refused with a problem document. uvicorn itself accepts and keeps all requests that a client sends
without waiting for answers (pipelining). Here the bytes after a request wait until it is answered: those
already read in a buffer, the rest unread.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kappi_chassis.http.connections import ConnectionLimits, Connections
from kappi_chassis.http.date_header import date_now
from kappi_chassis.http.direct_bytes import DIRECT, DirectSocket, TakenBody
from kappi_chassis.http.edge import App, CutOff, Receive, Scope, Send
from kappi_chassis.http.write_coalescing import CoalescingTransport
from kappi_chassis.observability.access_log import access_log
from kappi_chassis.problems import PROBLEM_JSON, BadRequest, Problem, RequestTimeout, problem_body

MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 20.0
CROWDED_HEAD_TIMEOUT_S = 5.0  # limit while many connections wait
# A refused client that is still sending gets time to read the refusal: closing at once resets the connection,
# and the refusal may be lost with it.
LINGER_S = 1.0
LINGER_BYTES = 4 * 1024 * 1024


_END = b"\r\n\r\n"
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
# A chunked body ends with `_END`, which it may also contain: searching for it repeatedly costs more than the
# few requests that follow an end in one piece.
_CHUNKED_PIECE_BYTES = 1024


class HeadTooLarge(Problem):
    status, code, title = 431, "head_too_large", "The headers are too large"


class BoundedHttpProtocol(HttpToolsProtocol):
    """connections: the connections of this port."""

    transport: CoalescingTransport
    _head_bytes = 0
    _head_tail = b""  # the end of a head in several pieces may be in two of them
    _in_head = False
    _in_body = False
    _in_new_body = False  # the length of the body is not known yet
    _body_left = 0  # of a body with a known length
    _head_timer: asyncio.TimerHandle | None = None
    _refused = False
    _ignored_bytes = 0
    _unparsed = b""
    _on_lost: Callable[[], None] | None = None
    _direct: DirectSocket | None = None
    _body_after_upgrade = False  # the parser then considers the request complete before its body

    def __init__(self, *args: Any, connections: Connections | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = connections or Connections(ConnectionLimits())
        self.access_log = False  # uvicorn decides by its logger's handlers; a signed URL must not be logged

    @property
    def peer(self) -> str | None:
        return self.client[0] if self.client else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(CoalescingTransport(transport, self.loop))
        refusal = self._connections.open(self)
        if refusal is None:
            self._start_head_timer()
            return
        # It is closed at once, even if the client then cannot read the refusal: no place is left.
        self._refused = True
        self.transport.write(_refusal(refusal, client=self.peer or ""))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.close(self)
        self._stop_head_timer()
        self._unparsed = b""
        super().connection_lost(exc)
        if self._direct is not None:
            self._direct.shut_down()
        if self._on_lost is not None:
            self._on_lost()

    def take_body(self) -> TakenBody:
        """See `Direct.take_body`."""
        cycle = self.cycle
        received = bytes(cycle.body)
        cycle.body = bytearray()
        if not cycle.more_body:
            return TakenBody(received, 0, None, finish=lambda: None)
        self.transport.hold_reading()
        finish = partial(self._end_taken_body, keep_alive=cycle.keep_alive)
        cycle.keep_alive = False  # until the whole body was read
        if cycle.waiting_for_100_continue and not self.transport.is_closing():
            cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._direct = DirectSocket(self.transport, self.loop)
        if self.transport.is_closing():
            self._direct.shut_down()
        return TakenBody(received, self._body_left, self._direct, finish, endless=not self._body_left)

    def _end_taken_body(self, *, keep_alive: bool) -> None:
        if not self._body_left or self.transport.is_closing():
            return
        self._direct = None
        self.cycle.keep_alive = keep_alive
        # The parser did not see the body, so it cannot see its end.
        self._renew_parser(self)
        self.on_message_complete()
        self.transport.release_reading()

    async def take_answer(self, length: int) -> DirectSocket:
        """See `Direct.take_answer`."""
        self._direct = direct = DirectSocket(self.transport, self.loop)
        self.cycle.expected_content_length -= length
        self.transport.flush()
        if not self.transport.is_closing():
            self.transport.set_write_buffer_limits(high=0)
            try:
                await self.flow.drain()
            finally:
                if not self.transport.is_closing():
                    self.transport.set_write_buffer_limits()
        if self.transport.is_closing():
            direct.shut_down()
        return direct

    def cut(self) -> None:
        """Closes the connection in the middle of an answer, whether its client reads or not."""
        self.cycle.disconnected = True
        self.transport.abort()

    def _when_lost(self, callback: Callable[[], None]) -> None:
        """Calls back when the client is gone.

        An answer that mostly waits then needs no task that waits in `receive`.
        """
        self._on_lost = callback
        if self.transport.is_closing():
            self.loop.call_soon(callback)

    def evict(self) -> None:
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # a client that does not read would keep it open

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > LINGER_BYTES:
                self.transport.close()
        elif self._unparsed:
            self._unparsed += data
        else:
            self._unset_keepalive_if_required()
            self._parse(data)

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_body = self._in_new_body = True
        self._head_bytes, self._head_tail = 0, b""
        self._stop_head_timer()
        self._connections.works(self)
        self.scope["kappi.cut"] = self.cut  # type: ignore[typeddict-unknown-key]  # see `cutting`
        self.scope["kappi.when_lost"] = self._when_lost  # type: ignore[typeddict-unknown-key]
        self.scope[DIRECT] = self  # type: ignore[typeddict-unknown-key]
        if self.parser.should_upgrade():
            self._body_after_upgrade = any(name in _FRAMING for name, _ in self.headers)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._body_after_upgrade:
            return
        self._in_body = self._in_new_body = False
        self._body_left = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._on_lost = self._direct = None
        super().on_response_complete()
        if self._unparsed:
            self.loop.call_soon(self._parse_on)
        elif not self.pipeline:
            self._connections.waits(self)

    def _parse(self, data: bytes) -> None:
        """Parses up to the end of one request; the rest follows after its answer."""
        while data:
            if self._is_busy():
                self._unparsed = data
                self.transport.hold_reading()
                return
            end = self._end_of_piece(data)
            taken = self._feed(data if end >= len(data) else data[:end])
            if self._refused or self.transport.is_closing():
                return
            data = data[taken:]

    def _parse_on(self) -> None:
        if self._refused or self.transport.is_closing():
            return
        data, self._unparsed = self._unparsed, b""
        self._unset_keepalive_if_required()
        self._parse(data)
        if not self._unparsed and not self.transport.is_closing():
            self.transport.release_reading()

    def _is_busy(self) -> bool:
        """Whether a request has arrived completely and is not answered."""
        if self.pipeline:
            return True
        return not (self._in_head or self._in_body or self.cycle is None or self.cycle.response_complete)

    def _end_of_piece(self, data: bytes) -> int:
        """Returns the number of bytes to parse at once, so that hardly more than one request ends in them."""
        if self._body_left:
            return self._body_left
        tail, start = (b"", _CHUNKED_PIECE_BYTES) if self._in_body else (self._head_tail, 0)
        found = (tail + data).find(_END, start)
        return len(data) if found < 0 else found + len(_END) - len(tail)

    def _feed(self, piece: bytes) -> int:
        """Returns the number of bytes that were parsed."""
        taken = len(piece)
        if self._body_left:
            self._body_left -= taken
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            # Other protocols are not supported: the request is answered as if it had asked for none.
            taken = upgrade.args[0] or taken
            if self._body_after_upgrade:
                self._body_after_upgrade = False
                self._parse_body()
        except httptools.HttpParserError:
            self._refuse(BadRequest("Invalid HTTP request received."))
            return taken
        if self._in_new_body:
            self._in_new_body = False
            self._body_left = next(
                (int(value) for name, value in self.headers if name == b"content-length"), 0
            )
        elif self._in_head and not self.transport.is_closing():
            # Only heads in several pieces get here; a single piece is bounded by the read buffer.
            self._head_tail = (self._head_tail + piece)[1 - len(_END) :]
            self._head_bytes += len(piece)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge(f"At most {MAX_HEAD_BYTES} bytes are taken."))
            elif self._head_timer is None:
                self._start_head_timer()
        return taken

    def _parse_body(self) -> None:
        """Continues with a parser that did not see the upgrade request.

        Java's HTTP client asks for h2c with every request, also with those that have a body.
        """
        head = b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] in _FRAMING)
        self._renew_parser(_AfterHead(self))
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % head)

    def _renew_parser(self, callbacks: BoundedHttpProtocol | _AfterHead) -> None:
        self.parser = httptools.HttpRequestParser(callbacks)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own

    def _start_head_timer(self) -> None:
        timeout_s = CROWDED_HEAD_TIMEOUT_S if self._connections.is_crowded(self) else HEAD_TIMEOUT_S
        self._head_timer = self.loop.call_later(timeout_s, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(RequestTimeout("The headers did not arrive in time; send it again."))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                # A begun answer must not be interrupted by other bytes: the connection ends after it.
                self.cycle.keep_alive = False
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_refusal(problem, client=self.peer or ""))
        self.loop.call_later(LINGER_S, self.transport.close)


class _AfterHead:
    """Callbacks of a parser that pass all calls to the protocol, except those of the invented first head."""

    def __init__(self, protocol: BoundedHttpProtocol) -> None:
        self._protocol = protocol
        self._made_up = True
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if not self._made_up:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._made_up:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._made_up:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._made_up:
            self._protocol.on_headers_complete()
        self._made_up = False


def cutting(app: App) -> App:
    """Returns the app with a CutOff closing the connection.

    Otherwise uvicorn would log it as a failure of the app, and wait for a client that does not read.
    """

    async def cut_where_it_must(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except CutOff:
            scope["kappi.cut"]()

    return cut_where_it_must


def _refusal(problem: Problem, *, client: str) -> bytes:
    """Returns a whole answer to what is no request yet. client: the address, for the limit of log lines."""
    request_id = secrets.token_hex(16)
    access_log.note(
        client=client,
        level="info",
        route="refused",
        status=problem.status,
        request_id=request_id,
        code=problem.code,
    )
    body = problem_body(problem, request_id)
    more = "".join(f"{name.lower()}: {value}\r\n" for name, value in problem.headers.items())
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
        f"content-type: {PROBLEM_JSON}\r\n"
        f"content-length: {len(body)}\r\n"
        f"date: {date_now().decode()}\r\n"
        f"x-request-id: {request_id}\r\n"
        f"{more}connection: close\r\n\r\n"
    )
    return head.encode() + body
