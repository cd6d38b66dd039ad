"""An HTTP client that sends bytes unchanged, also bytes that no library would send."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it was received.

    headers: names in lower case. body: without chunk headers. complete: False if the connection ended before
    the declared end of the body.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    @property
    def code(self) -> str:
        return str(msgspec.json.decode(self.body)["code"])


async def exchange(port: int, request: bytes) -> RawAnswer:
    """Sends the bytes unchanged and reads one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(DEADLINE_S):
            return await read_answer(reader, head_only=request.startswith(b"HEAD "))
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> RawAnswer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    headers: dict[str, str] = {}
    for line in filter(None, head[1:]):
        name, _, value = line.partition(": ")
        headers[name.lower()] = value if name.lower() not in headers else f"{headers[name.lower()]},{value}"
    if head_only or status in (100, 204, 304):
        return RawAnswer(status, headers, b"", complete=True)
    try:
        if headers.get("transfer-encoding") == "chunked":
            return RawAnswer(status, headers, await _dechunked(reader), complete=True)
        body = await reader.readexactly(int(headers["content-length"]))
    except asyncio.IncompleteReadError as short:
        return RawAnswer(status, headers, short.partial, complete=False)
    return RawAnswer(status, headers, body, complete=True)


async def _dechunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).strip() or b"0", 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if not size:
            return body


def request(method: str, target: str, *lines: str, body: bytes = b"") -> bytes:
    """Returns the bytes of a request. lines: header lines, unchanged. A body adds a Content-Length."""
    length = (f"Content-Length: {len(body)}",) if body else ()
    head = "\r\n".join((f"{method} {target} HTTP/1.1", "Host: kappi.example", *length, *lines, "", ""))
    return head.encode("latin-1") + body
