"""One PUT of a file, or of a slice of it, into the store: constant memory, never silent for long."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from kappi_embedded.client.api import UNREACHABLE
from kappi_embedded.client.files import FileChanged, LocalFile

STALLED_S = 30.0
# The last bytes are on their way when the body is handed over, and the store has to keep it.
ANSWERED_S = 75.0
_CHUNK_BYTES = 128 * 1024
# A stalled connection is noticed where bytes wait to be sent. If the system took megabytes and let them wait
# in buffers of its own, it would be noticed late, and what is on its way would be told wrong.
_SOCKET_OPTIONS: Final = {
    "TCP_NOTSENT_LOWAT": _CHUNK_BYTES,
    "TCP_USER_TIMEOUT": round(STALLED_S * 1000),
    "TCP_NODELAY": 1,
}
BUFFERED_BYTES = 512 * 1024
"""More than buffers on the way take of a body that nobody receives: what goes beyond gets through."""
_CODE = re.compile(r"<Code>([^<]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,200})</Message>")
_ANSWER_BYTES = 16 * 1024
# S3 calls it the client's fault, status 400, when the body it waits for does not come.
_BODY_STALLED = "RequestTimeout"


@dataclass(frozen=True, slots=True)
class SignedPut:
    """Where the bytes go, with exactly these headers. The URL is a secret."""

    url: str
    headers: Mapping[str, str]
    http_method: str = "PUT"


@dataclass(frozen=True, slots=True)
class Slice:
    """size_bytes of a file from `start`."""

    file: LocalFile
    start: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What the store said. code: S3's, of an error; empty without one. message: its own words, or the status.

    etag: without quotes, empty without one.
    """

    status: int
    code: str
    message: str
    etag: str


class LinkBroke(Exception):
    """No answer: the connection was refused, lost, or stood still. connected: whether there had been one."""

    def __init__(self, reason: str, *, after_s: float, connected: bool) -> None:
        self.after_s = after_s
        self.connected = connected
        super().__init__(reason)


class Store:
    """Connections to the store; an async context. clock: monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float], stalled_s: float = STALLED_S) -> None:
        self._clock = clock
        self._stalled_s = stalled_s
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._kept = _session(force_close=False)
        self._fresh = _session(force_close=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._kept, self._fresh):
            if session is not None:
                await session.close()

    async def put(
        self, request: SignedPut, piece: Slice, *, moved: Callable[[int], None], fresh_connection: bool
    ) -> Reply:
        """Send it once. moved: told the bytes of each chunk as it leaves.

        Raises LinkBroke; FileChanged and OSError when the file cannot be sent as it was promised.
        """
        session = self._fresh if fresh_connection else self._kept
        if session is None:
            raise RuntimeError("Store is an async context")
        body = _Body(piece, moved)
        began = self._clock()
        try:
            async with asyncio.timeout(self._stalled_s) as silence:
                body.alive = lambda: _extend(silence, self._stalled_s)
                body.sent = lambda: _extend(silence, ANSWERED_S)
                async with session.request(
                    request.http_method,
                    request.url,
                    data=body.chunks(),
                    headers={**request.headers, "Content-Length": str(piece.size_bytes)},
                    allow_redirects=False,
                ) as answer:
                    reply = await _reply(answer)
        except UNREACHABLE as failure:
            if body.failure is not None:
                raise body.failure from failure
            if isinstance(failure, TimeoutError):
                reason = "the connection stood still"
            else:
                reason = str(failure) or type(failure).__name__
            after_s = self._clock() - began
            connected = not isinstance(failure, aiohttp.ClientConnectorError)
            raise LinkBroke(reason, after_s=after_s, connected=connected) from failure
        if reply.code == _BODY_STALLED:
            raise LinkBroke(reply.message, after_s=self._clock() - began, connected=True)
        return reply


class _Body:
    """failure: of reading; aiohttp makes a failure of the connection of it."""

    def __init__(self, piece: Slice, moved: Callable[[int], None]) -> None:
        self._piece = piece
        self._moved = moved
        self.alive: Callable[[], None] = lambda: None
        self.sent: Callable[[], None] = lambda: None
        self.failure: OSError | FileChanged | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            descriptor = await asyncio.to_thread(os.open, self._piece.file.path, os.O_RDONLY)
            try:
                async for chunk in self._read(descriptor):
                    self.alive()
                    self._moved(len(chunk))
                    yield chunk
                self.sent()
            finally:
                os.close(descriptor)
        except (OSError, FileChanged) as error:
            self.failure = error
            raise

    async def _read(self, descriptor: int) -> AsyncIterator[bytes]:
        start, left = self._piece.start, self._piece.size_bytes
        while left:
            chunk = await asyncio.to_thread(os.pread, descriptor, min(_CHUNK_BYTES, left), start)
            self._piece.file.must_be_unchanged(os.fstat(descriptor))
            if not chunk:
                raise FileChanged("it became shorter")
            start += len(chunk)
            left -= len(chunk)
            yield chunk


def _extend(silence: asyncio.Timeout, by_s: float) -> None:
    if not silence.expired():
        silence.reschedule(asyncio.get_running_loop().time() + by_s)


def _session(*, force_close: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=force_close, socket_factory=_attentive_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        headers={"User-Agent": "kappi"},
    )


def _attentive_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    for name, value in _SOCKET_OPTIONS.items():
        option = getattr(socket, name, None)  # not every system has them all
        if option is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


async def _reply(answer: aiohttp.ClientResponse) -> Reply:
    body = b""
    while len(body) < _ANSWER_BYTES and (chunk := await answer.content.read(_ANSWER_BYTES - len(body))):
        body += chunk
    xml = body.decode(errors="replace")
    return Reply(
        status=answer.status,
        code=_first(_CODE, xml),
        message=_first(_MESSAGE, xml) or f"HTTP status {answer.status}",
        etag=answer.headers.get("ETag", "").strip('"'),
    )


def _first(pattern: re.Pattern[str], xml: str) -> str:
    found = pattern.search(xml)
    return found[1] if found is not None else ""
