"""A proxy in front of librdkafka's mock cluster, which lacks long polling: it answers a fetch that found
nothing at the end of its wait, even if a record arrives earlier.

Here a fetch waits until a record is appended to one of its topics. Each empty answer doubles the next wait on
its connection, up to what the client asked for: busy clients, whose requests differ, wait briefly, idle ones
long.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import uvloop

from kappi_chassis.embedded.kafka_frames import (
    DESCRIBE_CLUSTER,
    FETCH,
    FIND_COORDINATOR,
    METADATA,
    PRODUCE,
    Fetch,
    Frames,
    Produce,
    address,
    fetch_of,
    is_empty,
    kind_of,
    produce_of,
)
from kappi_chassis.embedded.ports import LOOPBACK

_FIRST_WAIT_S: Final = 0.05
_END_TIMEOUT_S: Final = 5.0
_WITH_ADDRESSES: Final = (METADATA, FIND_COORDINATOR, DESCRIBE_CLUSTER)


class BrokerProxy:
    """The proxy, in a thread with an event loop, from `start` to `close`.

    upstream_port: of the mock cluster, on the loopback interface.
    """

    def __init__(self, upstream_port: int) -> None:
        self.port = 0
        self._upstream_port = upstream_port
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker-proxy", daemon=True)
        self._server: asyncio.AbstractServer | None = None
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._appended: defaultdict[str, int] = defaultdict(int)
        self._unknown_appended = 0
        self._waiting: defaultdict[str, set[_Connection]] = defaultdict(set)

    @property
    def waiting_fetches(self) -> int:
        return sum(connection.waits for connection in list(self._connections))

    def start(self) -> None:
        """Listens on a free port, `port`. Raises OSError."""
        self._thread.start()
        self._call(self._listen())

    def interrupt(self) -> None:
        """Drops every connection and accepts none until `resume()`."""
        self._call(self._refuse())

    def resume(self) -> None:
        self._call(self._listen())

    def close(self) -> None:
        """Ends the connections and the thread."""
        self._call(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_TIMEOUT_S)
        self._loop.close()

    def readdressed(self, answer: bytes) -> bytes:
        """Returns the answer with this proxy's address in place of the mock cluster's."""
        return answer.replace(address(LOOPBACK, self._upstream_port), address(LOOPBACK, self.port))

    def appended_to(self, topics: Iterable[str]) -> int:
        """Returns a number that grows when a record is appended to one of the topics."""
        return self._unknown_appended + sum(self._appended[topic] for topic in topics)

    def append(self, produce: Produce) -> None:
        """Wakes the fetches of the topics."""
        if produce.topics is None:
            self._unknown_appended += 1
        for topic in produce.topics or ():
            self._appended[topic] += 1
        woken = {each for topic in produce.topics or self._waiting for each in self._waiting.get(topic, ())}
        for connection in woken:
            connection.fetch_again()

    def wait(self, connection: _Connection, topics: Iterable[str]) -> None:
        for topic in topics:
            self._waiting[topic].add(connection)

    def stop_waiting(self, connection: _Connection, topics: Iterable[str]) -> None:
        for topic in topics:
            self._waiting[topic].discard(connection)

    def add(self, connection: _Connection, task: asyncio.Task[None]) -> None:
        """Keeps the connection until its task ends."""
        self._connections[connection] = task
        task.add_done_callback(lambda _: self._connections.pop(connection))
        if self._server is None:
            connection.abort()

    def _accept(self) -> _Connection:
        return _Connection(self, self._loop, upstream_port=self._upstream_port)

    async def _listen(self) -> None:
        listening = socket.create_server((LOOPBACK, self.port))
        self.port = listening.getsockname()[1]
        self._server = await self._loop.create_server(self._accept, sock=listening)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.abort()
        if self._connections:
            await asyncio.wait(list(self._connections.values()))

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_END_TIMEOUT_S)


@dataclass(slots=True)
class _Request:
    """A request that the mock cluster has not answered yet.

    until: when a fetch that finds nothing is answered; None before its first answer. appended: see
    `BrokerProxy.appended_to`, at the time of sending.
    """

    key: int
    fetch: Fetch | None = None
    produce: Produce | None = None
    until: float | None = None
    appended: int = 0


class _Connection(asyncio.Protocol):
    """A client's connection, and the one to the mock cluster that belongs to it."""

    def __init__(self, proxy: BrokerProxy, loop: asyncio.AbstractEventLoop, *, upstream_port: int) -> None:
        self._proxy = proxy
        self._loop = loop
        self._upstream_port = upstream_port
        self._lost: asyncio.Future[None] = loop.create_future()
        self._client: asyncio.Transport
        self._upstream: asyncio.Transport | None = None
        self._early = b""
        self._frames = Frames()
        self._asked: deque[_Request] = deque()
        self._held: tuple[_Request, bytes, asyncio.TimerHandle] | None = None
        self._next_wait_s = _FIRST_WAIT_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._proxy.add(self, self._loop.create_task(self._run()))

    async def _run(self) -> None:
        """Runs until both connections have ended."""
        try:
            self._upstream, upstream = await self._loop.create_connection(
                lambda: _Upstream(self, self._client), LOOPBACK, self._upstream_port
            )
        except OSError:
            self.abort()
            return
        self._client.resume_reading()
        self.data_received(self._early)
        await self._lost
        self._upstream.close()
        await upstream.lost

    def data_received(self, data: bytes) -> None:
        if self._upstream is None:
            self._early += data
            self._client.pause_reading()
            return
        try:
            for frame in self._frames.feed(data):
                self._ask(frame)
        except (ValueError, struct.error):
            self.abort()

    @property
    def waits(self) -> bool:
        return self._held is not None

    def pause_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._release()
        self._lost.set_result(None)

    def abort(self) -> None:
        self._client.abort()

    def _ask(self, frame: bytes) -> None:
        self._answer_held()  # the answers of a connection have the order of its requests
        key, version = kind_of(frame)
        request = _Request(key)
        if key == FETCH and (fetch := fetch_of(frame, version)) is not None:
            request.fetch, frame = fetch, fetch.frame
            request.appended = self._proxy.appended_to(fetch.topics)
        elif key == PRODUCE:
            request.produce = produce_of(frame, version)
        if request.produce is None or request.produce.is_answered:
            self._asked.append(request)
        self._send(frame)

    def _send(self, frame: bytes) -> None:
        assert self._upstream is not None  # nothing is read before
        self._upstream.write(frame)

    def answered(self, answer: bytes) -> None:
        """Takes an answer of the mock cluster."""
        request = self._asked.popleft()
        if request.fetch is not None:
            if is_empty(answer, request.fetch.version):
                self._hold(request, request.fetch, answer)
                return
            self._next_wait_s = _FIRST_WAIT_S
        elif request.key in _WITH_ADDRESSES:
            answer = self._proxy.readdressed(answer)
        self._client.write(answer)
        if request.produce is not None:
            self._proxy.append(request.produce)

    def _hold(self, request: _Request, fetch: Fetch, answer: bytes) -> None:
        now = self._loop.time()
        if request.until is None:
            request.until = now + min(self._next_wait_s, fetch.wait_s)
            self._next_wait_s = min(2 * self._next_wait_s, max(fetch.wait_s, _FIRST_WAIT_S))
        if self._asked or now >= request.until:
            self._client.write(answer)
            return
        self._held = request, answer, self._loop.call_at(request.until, self._answer_held)
        self._proxy.wait(self, fetch.topics)
        if self._proxy.appended_to(fetch.topics) != request.appended:
            self.fetch_again()

    def _answer_held(self) -> None:
        if (held := self._release()) is not None:
            self._client.write(held[1])

    def fetch_again(self) -> None:
        """Sends the waiting fetch to the mock cluster again: there is a record."""
        if (held := self._release()) is None:
            return
        request, _ = held
        assert request.fetch is not None
        request.appended = self._proxy.appended_to(request.fetch.topics)
        self._asked.append(request)
        self._send(request.fetch.frame)

    def _release(self) -> tuple[_Request, bytes] | None:
        if self._held is None:
            return None
        request, answer, timer = self._held
        self._held = None
        timer.cancel()
        assert request.fetch is not None
        self._proxy.stop_waiting(self, request.fetch.topics)
        return request, answer


class _Upstream(asyncio.Protocol):
    """The connection to the mock cluster."""

    def __init__(self, owner: _Connection, client: asyncio.Transport) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._client = client
        self._frames = Frames()

    def data_received(self, data: bytes) -> None:
        if self._client.is_closing():
            return
        for frame in self._frames.feed(data):
            self._owner.answered(frame)

    def pause_writing(self) -> None:
        self._client.pause_reading()

    def resume_writing(self) -> None:
        self._client.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)
        self._client.abort()
