"""A service that closes a kept connection: what the gateway repeats, and what it must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from kappi_testkit.gateway.fake_services import GALLERY_ID
from kappi_testkit.gateway.stack import Stack, StackFactory

GALLERY = f"/v1/galleries/{GALLERY_ID}"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Forgetful:
    """Answers the first request of each connection, and closes it at the second.

    last_words: sent before it closes. requests, connections: that it had.
    """

    def __init__(self, last_words: bytes = b"") -> None:
        self._last_words = last_words
        self.requests = 0
        self.connections = 0
        self.ends: list[asyncio.Future[None]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ends.append(end)
        try:
            await self._request(reader)
            writer.write(ANSWER)
            await self._request(reader)
            writer.write(self._last_words)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])
            end.set_result(None)

    async def _request(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or b"0"))
        self.requests += 1


@asynccontextmanager
async def in_front_of(service: Forgetful, make_stack: StackFactory) -> AsyncIterator[Stack]:
    """Yields a gateway that has a kept connection to the service."""
    server = await asyncio.start_server(service, "127.0.0.1", 0)
    async with server:
        stack = await make_stack(galleries_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert (await stack.ask("GET", GALLERY)).status == 200
        yield stack
        await stack.upstreams.close()
        await asyncio.gather(*service.ends)


async def test_a_read_is_repeated_on_a_new_connection(make_stack: StackFactory) -> None:
    service = Forgetful()
    async with in_front_of(service, make_stack) as stack:
        assert (await stack.ask("GET", GALLERY)).status == 200
    assert (service.requests, service.connections) == (3, 2), "it was sent twice, the first time in vain"


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_a_change_is_not_repeated(make_stack: StackFactory, method: str) -> None:
    service = Forgetful()
    body = b"" if method == "DELETE" else b"{}"
    path = "/v1/galleries" if method == "POST" else GALLERY
    async with in_front_of(service, make_stack) as stack:
        answer = await stack.ask(method, path, body=body)
    assert (answer.status, answer.code) == (503, "upstream_unavailable")
    assert (service.requests, service.connections) == (2, 1)


async def test_a_read_is_not_repeated_once_its_answer_has_begun(make_stack: StackFactory) -> None:
    service = Forgetful(last_words=b"HTTP/1.1 2")
    async with in_front_of(service, make_stack) as stack:
        assert (await stack.ask("GET", GALLERY)).status == 503
    assert (service.requests, service.connections) == (2, 1)
