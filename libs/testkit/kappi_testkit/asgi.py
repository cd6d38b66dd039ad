"""Calls an ASGI app without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.datastructures import Headers


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """Returns the code of a problem document."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        assert self.json["status"] == self.status
        assert self.json["request_id"] == self.headers["x-request-id"]
        return str(self.json["code"])


class AsgiClient:
    """Calls an ASGI app. Subclasses add the headers of their service."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        raw: bytes = b"",
        pieces: Iterable[bytes | None] | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends a request. The status is 499 if the client disconnected before the answer.

        path: may have a query. body: sent as JSON. form: sent as a form. raw: sent unchanged, as JSON unless
        `headers` say otherwise. pieces: sent one after another; the client disconnects at None. token: sent
        as a bearer token.
        """
        named = {name.lower(): value for name, value in (headers or {}).items()}
        if form is not None:
            raw = urlencode(form).encode()
            named["content-type"] = "application/x-www-form-urlencoded"
        elif body is not None:
            raw = msgspec.json.encode(body)
        if raw:
            named.setdefault("content-type", "application/json")
        if token is not None:
            named["authorization"] = f"Bearer {token}"
        return await self._exchange(_scope(method, path, named), _request_messages(raw, pieces))

    async def _exchange(self, scope: dict[str, Any], requested: Iterator[dict[str, Any]]) -> Answer:
        answered: list[Any] = []

        async def receive() -> Any:
            message = next(requested, None)
            if message is None:
                await asyncio.Event().wait()  # the client stays connected for its answer
            return message

        async def send(message: Any) -> None:
            answered.append(message)

        await self._app(scope, receive, send)
        if not answered:
            return Answer(499, Headers(), b"")
        return Answer(
            status=answered[0]["status"],
            headers=Headers(raw=list(answered[0]["headers"])),
            body=b"".join(message.get("body", b"") for message in answered[1:]),
        )


def _scope(method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def _request_messages(content: bytes, pieces: Iterable[bytes | None] | None) -> Iterator[dict[str, Any]]:
    """Yields the ASGI messages of a body: `content` in one, or one for each of `pieces`."""
    if pieces is None:
        yield {"type": "http.request", "body": content, "more_body": False}
        return
    for piece in pieces:
        if piece is None:
            yield {"type": "http.disconnect"}
        elif piece:
            yield {"type": "http.request", "body": piece, "more_body": True}
        else:
            break
    yield {"type": "http.request", "body": b"", "more_body": False}
