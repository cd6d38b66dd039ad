"""A small HTTP/1.1 load generator with keep-alive connections, in a closed loop or at a fixed rate.

It is written on asyncio protocols, because a general client costs more than the measured server.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

MakeRequest = Callable[[int], bytes]
"""Returns a request's bytes from its number."""


@dataclass
class Outcome:
    """The result of a measurement: latencies in seconds, and counted statuses."""

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    elapsed_s: float = 0.0
    late: int = 0
    """Requests at a fixed rate that found no free connection in time."""

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.elapsed_s if self.elapsed_s else 0.0

    def percentile_ms(self, percent: float) -> float:
        if not self.latencies_s:
            return float("nan")
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time.

    It parses only enough to find the answer's end.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._status = 0
        self._missing = -1
        self._chunked = False
        self.body = b""
        self.keep_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed in the middle"))

    async def ask(self, request: bytes) -> int:
        """Sends a request and waits for the whole answer. Returns its status."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._buffer.clear()
        self._missing = -1
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._missing < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[: end + 2]).lower()
            self._status = int(head[9:12])
            at = head.find(b"\r\ncontent-length: ")
            self._chunked = at < 0 and b"\r\ntransfer-encoding: chunked" in head
            length = int(head[at + 18 : head.index(b"\r\n", at + 18)]) if at >= 0 else 0
            self._head_size = end + 4
            self._missing = self._head_size + length
        done = self._buffer.endswith(b"0\r\n\r\n") if self._chunked else len(self._buffer) >= self._missing
        if done and self._answer is not None and not self._answer.done():
            if self.keep_body:
                self.body = bytes(self._buffer[self._head_size :])
            self._answer.set_result(self._status)


async def connect(host: str, port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)
    return connection


async def closed_loop(
    host: str,
    port: int,
    make_request: MakeRequest,
    *,
    connections: int,
    seconds: float,
    warmup_s: float = 0.5,
) -> Outcome:
    """Measures a closed loop: every connection sends its next request as soon as it was answered."""
    outcome = Outcome()
    clients = [await connect(host, port) for _ in range(connections)]
    numbers = iter(range(1 << 60))
    begin = time.perf_counter() + warmup_s
    end = begin + seconds

    async def client_loop(client: Connection) -> None:
        while (started := time.perf_counter()) < end:
            status = await client.ask(make_request(next(numbers)))
            finished = time.perf_counter()
            if started >= begin:
                outcome.statuses[status] += 1
                outcome.latencies_s.append(finished - started)

    await asyncio.gather(*map(client_loop, clients))
    outcome.elapsed_s = time.perf_counter() - begin
    for client in clients:
        client.close()
    return outcome


async def counted(host: str, port: int, requests: list[bytes], *, connections: int) -> Outcome:
    """Measures each of the given requests once, spread over the connections."""
    outcome = Outcome()
    waiting = iter(requests)
    clients = [await connect(host, port) for _ in range(connections)]
    begin = time.perf_counter()

    async def client_loop(client: Connection) -> None:
        for request in waiting:
            started = time.perf_counter()
            outcome.statuses[await client.ask(request)] += 1
            outcome.latencies_s.append(time.perf_counter() - started)

    await asyncio.gather(*map(client_loop, clients))
    outcome.elapsed_s = time.perf_counter() - begin
    for client in clients:
        client.close()
    return outcome


async def fixed_rate(
    host: str,
    port: int,
    make_request: MakeRequest,
    *,
    per_second: float,
    seconds: float,
    connections: int = 64,
) -> Outcome:
    """Measures requests that are sent on a schedule, whether or not earlier ones were answered.

    Latency counts from the scheduled instant, so that a stall is not hidden by fewer requests during it.
    """
    outcome = Outcome()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await connect(host, port))
    begin = time.perf_counter()

    async def one(number: int, due: float) -> None:
        client = await free.get()
        if time.perf_counter() - due > 0.01:
            outcome.late += 1
        outcome.statuses[await client.ask(make_request(number))] += 1
        outcome.latencies_s.append(time.perf_counter() - due)
        free.put_nowait(client)

    async with asyncio.TaskGroup() as group:
        for number in range(int(per_second * seconds)):
            due = begin + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(number, due))
    outcome.elapsed_s = time.perf_counter() - begin
    while not free.empty():
        free.get_nowait().close()
    return outcome


def request(
    method: str, path: str, *, host: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    """Returns the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
