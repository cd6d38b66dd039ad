"""A load generator on epoll for many small calls.

It costs less for each call than the servers that it measures, so that it is not the limit. It reads only
enough of an answer to find its end.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple

from benchmarks.world import Endpoint

_RECEIVED_BYTES = 256 << 10
_WAIT_S = 60.0


class Answer(NamedTuple):
    """An answer. head: status line and headers."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """Returns the value of a header, whose name is given in lower case. Raises ValueError without one."""
        mark = f"\r\n{name}: ".encode()
        start = self.head.lower().index(mark) + len(mark)
        return self.head[start : self.head.index(b"\r\n", start)].decode("latin-1")


Journey = Generator[bytes, Answer, None]
"""Yields requests and receives their answers, one after the other, on one connection."""


def repeated(request: bytes, *, count: int, expected: int) -> Journey:
    """Sends one request again and again. Raises RuntimeError for an answer of another status."""
    for _ in range(count):
        accepted((yield request), expected)


def accepted(answer: Answer, *expected: int) -> Answer:
    """Returns the answer. Raises RuntimeError when it has another status."""
    if answer.status not in expected:
        raise RuntimeError(f"answered {answer.status}: {answer.body[:300]!r}")
    return answer


def send(at: Endpoint, journeys: Iterable[Journey], *, connections: int) -> None:
    """Blocks until all journeys have ended. A connection takes the next one when its last one has ended."""
    waiting = iter(journeys)
    with select.epoll() as poll:
        opened = [_Connection(at, waiting, poll) for _ in range(connections)]
        try:
            busy = {each.number: each for each in opened if each.begin()}
            while busy:
                ready = poll.poll(_WAIT_S)
                if not ready:
                    raise TimeoutError(f"no answer for {_WAIT_S:.0f} s")
                for number, what in ready:
                    if not busy[number].continued(what):
                        del busy[number]
        finally:
            for each in opened:
                each.close()


class _Connection:
    """One keep-alive connection with one request at a time."""

    def __init__(self, at: Endpoint, journeys: Iterator[Journey], poll: select.epoll) -> None:
        self._socket = socket.create_connection((at.host, at.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self.number = self._socket.fileno()
        self._poll = poll
        self._script = _one_after_another(journeys)
        self._unsent = memoryview(b"")
        self._received = bytearray()

    def begin(self) -> bool:
        """Sends the first request. Returns whether there is one."""
        request = next(self._script, None)
        if request is None:
            return False
        self._poll.register(self.number, select.EPOLLIN)
        self._send(memoryview(request))
        return True

    def continued(self, what: int) -> bool:
        """Sends and receives what it can. Returns whether an answer is still to come."""
        if what & select.EPOLLOUT:
            self._send(self._unsent)
        if not what & ~select.EPOLLOUT:
            return True
        data = self._socket.recv(_RECEIVED_BYTES)
        if not data:
            raise RuntimeError(f"closed after {bytes(self._received[:300])!r}")
        self._received += data
        answer = _parsed(self._received)
        if answer is None:
            return True
        self._received.clear()
        try:
            request = self._script.send(answer)
        except StopIteration:
            self._poll.unregister(self.number)
            return False
        self._send(memoryview(request))
        return True

    def close(self) -> None:
        self._socket.close()

    def _send(self, request: memoryview) -> None:
        waited = bool(self._unsent)
        try:
            self._unsent = request[self._socket.send(request) :]
        except BlockingIOError:
            self._unsent = request
        if bool(self._unsent) != waited:
            wanted = select.EPOLLIN | select.EPOLLOUT if self._unsent else select.EPOLLIN
            self._poll.modify(self.number, wanted)


def _one_after_another(journeys: Iterator[Journey]) -> Journey:
    for journey in journeys:
        yield from journey


def _parsed(received: bytearray) -> Answer | None:
    """Returns the answer, or None while its end is missing."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[: end + 2])
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length: ")
    if at >= 0:
        whole = len(received) >= end + 4 + int(head[at + 18 : head.index(b"\r\n", at + 18)])
    else:
        whole = b"\r\ntransfer-encoding: chunked" not in lower or received.endswith(b"0\r\n\r\n")
    return Answer(int(head[9:12]), head, bytes(received[end + 4 :])) if whole else None
