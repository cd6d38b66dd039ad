"""Queries a service's operations port, without an HTTP library."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from kappi_chassis.embedded.ports import LOOPBACK

_TIMEOUT_S = 3.0
_LONGEST_BODY_BYTES = 64 * 1024


async def ask(ops_port: int, path: str) -> tuple[int, bytes]:
    """Returns (status, body) of a GET; status 0 without a proper answer."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, ops_port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                answer = b""
                while len(answer) < _LONGEST_BODY_BYTES and (part := await reader.read(_LONGEST_BODY_BYTES)):
                    answer += part
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return 0, b""
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 0), body


async def is_ready(ops_port: int) -> bool:
    """Whether the service reports that it may get work."""
    status, _ = await ask(ops_port, "/readyz")
    return status == 200
