"""Fake services behind a gateway. They answer as a test wants, and record their requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import uvicorn
from kappi_chassis.http.edge import App, Receive, Scope, Send
from kappi_chassis.http.protocol import BoundedHttpProtocol
from uvicorn.server import ServerState

GALLERY_ID = UUID("019c0000-0000-7000-8000-000000000001")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as a service received it. headers: names in lower case; repeated ones are joined."""

    method: str
    raw_path: bytes
    query: bytes
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(slots=True)
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"application/json"),)


Answer = Callable[[Seen], Awaitable[Reply]]


@dataclass(slots=True)
class FakeService:
    """An ASGI app that records its requests.

    answer: returns the reply. takes_over: an ASGI app that handles the requests instead.
    """

    answer: Answer | None = None
    takes_over: App | None = None
    seen: list[Seen] = field(default_factory=list)
    url: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.takes_over is not None:
            await self.takes_over(scope, receive, send)
            return
        request = await self._read(scope, receive)
        self.seen.append(request)
        reply = await self.answer(request) if self.answer is not None else Reply()
        headers, body = list(reply.headers), reply.body
        if reply.status in (204, 304):
            body = b""
        else:
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def always(self, reply: Reply) -> None:
        async def answer(_: Seen) -> Reply:
            return reply

        self.answer = answer

    async def _read(self, scope: Scope, receive: Receive) -> Seen:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            known = headers.get(name.decode())
            headers[name.decode()] = value.decode() if known is None else f"{known},{value.decode()}"
        return Seen(scope["method"], scope["raw_path"], scope["query_string"], headers, body)


def grant_reply(
    *, grant: str = "grant-1", expires_in: float = 60, gallery_id: UUID = GALLERY_ID, **more: Any
) -> Reply:
    """Returns what the galleries service answers to a valid credential. more: further fields."""
    document = {"grant": grant, "expires_in": expires_in, "gallery_id": gallery_id, **more}
    return Reply(body=msgspec.json.encode(document))


def problem_reply(status: int, code: str) -> Reply:
    body = msgspec.json.encode({"status": status, "code": code, "title": code, "detail": code})
    return Reply(status=status, body=body, headers=((b"content-type", b"application/problem+json"),))


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[int]:
    """Serves the app while the context lasts. Yields its loopback port.

    uvicorn's own loop is not used, because it notices a stop only at its next tick.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttpProtocol(config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        running = list(state.tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()
