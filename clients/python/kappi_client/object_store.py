"""One PUT of a file, or of a slice of it, into the object store: constant memory, no endless silence."""

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

from kappi_client.api import UNREACHABLE
from kappi_client.files import FileChanged, LocalFile

STALLED_S = 30.0
# When the body is handed over, its last bytes are still on their way, and the store has to write them.
ANSWERED_S = 75.0
_CHUNK_BYTES = 128 * 1024
# A stalled connection is noticed when bytes wait to be sent. A system that buffers megabytes would hide the
# stall, and the count of bytes on their way would be wrong.
_SOCKET_OPTIONS: Final = {
    "TCP_NOTSENT_LOWAT": _CHUNK_BYTES,
    "TCP_USER_TIMEOUT": round(STALLED_S * 1000),
    "TCP_NODELAY": 1,
}
BUFFERED_BYTES = 512 * 1024
"""Buffers on the way take less than this of a body that no server receives. More bytes than this do move."""
_CODE = re.compile(r"<Code>([^<]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,200})</Message>")
_ANSWER_BYTES = 16 * 1024
# S3 answers with this code, and status 400, when the body does not arrive in time.
_BODY_STALLED = "RequestTimeout"


@dataclass(frozen=True, slots=True)
class SignedPut:
    """A signed request, with exactly these headers. The URL is a secret."""

    url: str
    headers: Mapping[str, str]
    http_method: str = "PUT"


@dataclass(frozen=True, slots=True)
class Slice:
    """`size_bytes` bytes of a file, from offset `start`."""

    file: LocalFile
    start: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the store. code: of an S3 error, else empty. message: that of the error, or the status.

    etag: without quotes; empty if there is none.
    """

    status: int
    code: str
    message: str
    etag: str


class ConnectionCut(Exception):
    """A request without an answer: the connection was refused, was lost or stalled.

    connected: whether the connection had been made.
    """

    def __init__(self, reason: str, *, connected: bool) -> None:
        self.connected = connected
        super().__init__(reason)


class ObjectStore:
    """Connections to the object store, as an async context."""

    def __init__(self, *, stalled_s: float = STALLED_S) -> None:
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
        self, request: SignedPut, body: Slice, *, moved: Callable[[int], None], fresh_connection: bool
    ) -> Reply:
        """Sends it once. moved: called with the bytes of each chunk that leaves.

        Raises ConnectionCut; FileChanged and OSError when the file cannot be sent as it was declared.
        """
        session = self._fresh if fresh_connection else self._kept
        if session is None:
            raise RuntimeError("ObjectStore is an async context")
        sent = _Body(body, moved)
        try:
            async with asyncio.timeout(self._stalled_s) as silence:
                sent.on_chunk = lambda: _extend(silence, self._stalled_s)
                sent.on_end = lambda: _extend(silence, ANSWERED_S)
                async with session.request(
                    request.http_method,
                    request.url,
                    data=sent.chunks(),
                    headers={**request.headers, "Content-Length": str(body.size_bytes)},
                    allow_redirects=False,
                ) as answer:
                    reply = await _reply(answer)
        except UNREACHABLE as failure:
            if sent.failure is not None:
                raise sent.failure from failure
            if isinstance(failure, TimeoutError):
                reason = "the connection stood still"
            else:
                reason = str(failure) or type(failure).__name__
            connected = not isinstance(failure, aiohttp.ClientConnectorError)
            raise ConnectionCut(reason, connected=connected) from failure
        if reply.code == _BODY_STALLED:
            raise ConnectionCut(reply.message, connected=True)
        return reply


class _Body:
    """failure: of reading the file. aiohttp reports it as a failure of the connection."""

    def __init__(self, body: Slice, moved: Callable[[int], None]) -> None:
        self._slice = body
        self._moved = moved
        self.on_chunk: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None
        self.failure: OSError | FileChanged | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            descriptor = await asyncio.to_thread(os.open, self._slice.file.path, os.O_RDONLY)
            try:
                async for chunk in self._read(descriptor):
                    self.on_chunk()
                    self._moved(len(chunk))
                    yield chunk
                self.on_end()
            finally:
                os.close(descriptor)
        except (OSError, FileChanged) as error:
            self.failure = error
            raise

    async def _read(self, descriptor: int) -> AsyncIterator[bytes]:
        start, left = self._slice.start, self._slice.size_bytes
        while left:
            chunk = await asyncio.to_thread(os.pread, descriptor, min(_CHUNK_BYTES, left), start)
            self._slice.file.must_be_unchanged(os.fstat(descriptor))
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
        connector=aiohttp.TCPConnector(limit=0, force_close=force_close, socket_factory=_small_buffer_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        headers={"User-Agent": "kappi"},
    )


def _small_buffer_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    for name, value in _SOCKET_OPTIONS.items():
        option = getattr(socket, name, None)  # some systems lack some of them
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
