"""The HTTP/1.1 server of a connection, with the limits that a public port needs.

The head of a request is bounded in size and time, a connection has one request at a time, and input that is
not HTTP is refused with a problem document. A client may send requests without waiting for answers
(pipelining): the bytes after a request wait until it is answered, those already read in a buffer, the rest
unread. uvicorn's server runs it in place of its own protocol, which costs more and has none of these limits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast
from urllib.parse import unquote

from uvicorn import Config
from uvicorn.server import ServerState

from kappi_chassis.http.connections import ConnectionLimits, Connections
from kappi_chassis.http.deadline import Deadline
from kappi_chassis.http.direct_bytes import DIRECT, DirectSocket, TakenBody
from kappi_chassis.http.edge import App, CutOff, Receive, Scope, Send
from kappi_chassis.http.exchange import Exchange
from kappi_chassis.http.refusals import refusal
from kappi_chassis.http.request_parser import MAX_HEAD_BYTES as MAX_HEAD_BYTES
from kappi_chassis.http.request_parser import RequestHead, RequestParser
from kappi_chassis.http.write_coalescing import CoalescingTransport
from kappi_chassis.problems import Problem, RequestTimeout

HEAD_TIMEOUT_S = 20.0
CROWDED_HEAD_TIMEOUT_S = 5.0  # limit while many connections wait
# A refused client that is still sending gets time to read the refusal: closing at once resets the connection,
# and the refusal may be lost with it.
LINGER_S = 1.0
LINGER_BYTES = 4 * 1024 * 1024

_ASGI = {"version": "3.0", "spec_version": "2.3"}


class BoundedHttpProtocol(asyncio.Protocol):
    """config: uvicorn's; app and keep-alive time are taken from it. connections: those of this port."""

    transport: CoalescingTransport
    peer: str | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._app = cast("App", config.loaded_app)
        self._keep_alive_s = config.timeout_keep_alive
        self._state = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._connections = connections or Connections(ConnectionLimits())
        self._deadline = Deadline(self._loop, self._on_deadline)
        self._requests = RequestParser(self)
        self._server: tuple[str, int] | None = None
        self._client: tuple[str, int] | None = None
        self._exchange: Exchange | None = None
        self._waiting: deque[Exchange] = deque()  # requests that arrived in one piece with the end of another
        self._drained: asyncio.Event | None = None
        self._head_is_timed = False
        self._body_paused = False
        self._refused = False
        self._ignored_bytes = 0
        self._unparsed = b""
        self._on_lost: Callable[[], None] | None = None
        self._direct: DirectSocket | None = None
        self.is_blocked = False

    # Called by the loop and by uvicorn's server.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = CoalescingTransport(cast("asyncio.Transport", transport), self._loop)
        self._server, self._client = _address(transport, "sockname"), _address(transport, "peername")
        self.peer = self._client[0] if self._client else None
        self._state.connections.add(self)  # type: ignore[arg-type]  # it only calls `shutdown`
        problem = self._connections.open(self)
        if problem is None:
            self._expect_head()
            return
        # It is closed at once, even if the client then cannot read the refusal: no place is left.
        self._refused = True
        self.transport.write(refusal(problem, client=self.peer or ""))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._connections.close(self)
        self._deadline.end()
        self._unparsed = b""
        self._waiting.clear()
        if self._exchange is not None:
            self._exchange.disconnect()
        if self._direct is not None:
            self._direct.shut_down()
        self.resume_writing()
        self.transport.close()
        if self._on_lost is not None:
            self._on_lost()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > LINGER_BYTES:
                self.transport.close()
        elif self._unparsed:
            self._unparsed += data
        else:
            self._parse(data)

    def pause_writing(self) -> None:
        self.is_blocked = True
        self._drained = asyncio.Event()

    def resume_writing(self) -> None:
        self.is_blocked = False
        if self._drained is not None:
            self._drained.set()

    def shutdown(self) -> None:
        """Closes the connection, after the answer to the request that it has, if any."""
        if self._exchange is None or self._exchange.answer_complete:
            self.transport.close()
        else:
            self._exchange.keep_alive = False

    def evict(self) -> None:
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # a client that does not read would keep it open

    # Called by the exchange.

    @property
    def drains(self) -> bool:
        return self._connections.drains

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def write_last(self, data: bytes) -> None:
        self.transport.write_at_once(data)

    def close(self) -> None:
        self.transport.close()

    def pause_body(self) -> None:
        if not self._body_paused:
            self._body_paused = True
            self.transport.pause_reading()

    def resume_body(self) -> None:
        if self._body_paused:
            self._body_paused = False
            self.transport.resume_reading()

    async def until_writable(self) -> None:
        if self._drained is not None:
            await self._drained.wait()

    def answered(self) -> None:
        self._on_lost = self._direct = None
        self._state.total_requests += 1
        if self.transport.is_closing():
            return
        self.resume_body()
        following = self._waiting.popleft() if self._waiting else None
        if following is not None:
            self._start(following)
        if self._unparsed:
            self._loop.call_soon(self._parse_on)
        elif following is None:
            self._deadline.move_to(self._keep_alive_s)
            self._connections.waits(self)

    # Called by an app.

    def take_body(self) -> TakenBody:
        """See `Direct.take_body`."""
        exchange, left = self._exchange, self._requests.body_left
        assert exchange is not None
        received, more = exchange.take_body()
        if not more:
            return TakenBody(received, 0, None, finish=lambda _: None)
        direct = self._take_socket()
        self.transport.hold_reading()
        finish = partial(self._end_taken_body, exchange, keep_alive=exchange.keep_alive)
        exchange.keep_alive = False  # until the whole body was read
        return TakenBody(received, left, direct, finish, endless=not left)

    def _end_taken_body(self, exchange: Exchange, left: int, *, keep_alive: bool) -> None:
        if not self._requests.body_left or self.transport.is_closing():
            return
        self._direct = None
        exchange.keep_alive = keep_alive
        self._requests.skip_body(but=left)
        self.transport.release_reading()

    async def take_answer(self, length: int) -> DirectSocket:
        """See `Direct.take_answer`."""
        assert self._exchange is not None
        direct = self._take_socket()
        self._exchange.take_answer(length)
        self.transport.flush()
        if not self.transport.is_closing():
            self.transport.set_write_buffer_limits(high=0)
            try:
                await self.until_writable()
            finally:
                if not self.transport.is_closing():
                    self.transport.set_write_buffer_limits()
        if self.transport.is_closing():
            direct.shut_down()
        return direct

    def _take_socket(self) -> DirectSocket:
        if self.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._direct = direct = DirectSocket(self.transport, self._loop)
        return direct

    def cut(self) -> None:
        """Closes the connection in the middle of an answer, whether its client reads or not."""
        if self._exchange is not None:
            self._exchange.disconnected = True
        self.transport.abort()

    def _when_lost(self, callback: Callable[[], None]) -> None:
        """Calls back when the client is gone.

        An answer that mostly waits then needs no task that waits in `receive`.
        """
        self._on_lost = callback
        if self.transport.is_closing():
            self._loop.call_soon(callback)

    def _blocked(self) -> bool:
        """Whether the next `send` would wait for the client."""
        return self.is_blocked

    # Called by the parser.

    def on_head(self, head: RequestHead) -> None:
        self._deadline.clear()
        self._head_is_timed = False
        self._connections.works(self)
        exchange = Exchange(
            self,
            self._scope(head),
            keep_alive=head.keeps,
            expects_continue=head.expects_continue,
            may_chunk=head.version == "1.1",
        )
        if self._exchange is None or self._exchange.answer_complete:
            self._start(exchange)
        else:
            self.pause_body()
            self._waiting.append(exchange)

    def on_body(self, body: bytes) -> None:
        self._latest().add(body)

    def on_end(self) -> None:
        self._latest().end_body()

    def _latest(self) -> Exchange:
        """Returns the exchange whose request is being read."""
        exchange = self._waiting[-1] if self._waiting else self._exchange
        assert exchange is not None
        return exchange

    def _scope(self, head: RequestHead) -> Scope:
        path = head.raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "server": self._server,
            "client": self._client,
            "scheme": "http",
            "root_path": "",
            "headers": head.headers,
            "method": head.method,
            "path": unquote(path) if "%" in path else path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "kappi.cut": self.cut,  # see `cutting`
            DIRECT: self,
            "kappi.when_lost": self._when_lost,
            "kappi.blocked": self._blocked,
        }

    def _start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        task = self._loop.create_task(self._run(exchange))
        self._state.tasks.add(task)  # uvicorn's server waits for these

    async def _run(self, exchange: Exchange) -> None:
        try:
            await exchange.run(self._app)
        finally:
            # A callback of the task would cost the loop another turn.
            self._state.tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _parse(self, data: bytes) -> None:
        """Parses up to the end of one request; the rest follows after its answer."""
        while data:
            if self._is_busy():
                self._unparsed = data
                self.transport.hold_reading()
                return
            try:
                taken = self._requests.feed(data)
            except Problem as problem:
                self._refuse(problem)
                return
            if self._refused or self.transport.is_closing():
                return
            data = data[taken:]
        if self._requests.in_head and not self._head_is_timed:
            self._expect_head()

    def _parse_on(self) -> None:
        if self._refused or self.transport.is_closing():
            return
        data, self._unparsed = self._unparsed, b""
        self._parse(data)
        if not self._unparsed and not self.transport.is_closing():
            self.transport.release_reading()

    def _is_busy(self) -> bool:
        """Whether a request has arrived completely and is not answered."""
        if self._waiting:
            return True
        if self._requests.in_head or self._requests.in_body or self._exchange is None:
            return False
        return not self._exchange.answer_complete

    def _expect_head(self) -> None:
        crowded = self._connections.is_crowded(self)
        self._deadline.move_to(CROWDED_HEAD_TIMEOUT_S if crowded else HEAD_TIMEOUT_S)
        self._head_is_timed = True

    def _on_deadline(self) -> None:
        if self._requests.in_head:
            self._refuse(RequestTimeout("The headers did not arrive in time; send it again."))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        exchange = self._exchange
        if exchange is not None and not exchange.answer_complete:
            if exchange.answer_begun:
                # A begun answer must not be interrupted by other bytes: the connection ends after it.
                exchange.keep_alive = False
                return
            exchange.disconnect()
        self.transport.write(refusal(problem, client=self.peer or ""))
        self._loop.call_later(LINGER_S, self.transport.close)


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


def _address(transport: asyncio.BaseTransport, name: str) -> tuple[str, int] | None:
    found = transport.get_extra_info(name)
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) else None
