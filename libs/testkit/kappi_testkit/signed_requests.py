"""Sends signed requests over plain HTTP, as a client without credentials does."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from kappi_chassis.storage.contract import SignedRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """A plain HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def call(
    request: SignedRequest,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    http_method: str | None = None,
) -> Answer:
    """Sends a signed request. headers: added to the signed ones. http_method: replaces the signed one."""
    return await asyncio.to_thread(
        _call, request, body, {**request.headers, **(headers or {})}, http_method or request.http_method
    )


def _call(request: SignedRequest, body: bytes | None, headers: Mapping[str, str], http_method: str) -> Answer:
    url = urlsplit(request.url)
    connection_type = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connection_type(url.hostname or "", url.port, timeout=20)
    try:
        connection.request(http_method, f"{url.path}?{url.query}", body, dict(headers))
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, answer.read())
    finally:
        connection.close()


def without(request: SignedRequest, header: str) -> SignedRequest:
    """Returns the same request without one header."""
    return request._replace(headers={k: v for k, v in request.headers.items() if k != header})


def begun(request: SignedRequest, **headers: str) -> socket.socket:
    """Opens a connection and sends the head of the request, but no body; the caller closes it."""
    url = urlsplit(request.url)
    connection = socket.create_connection((url.hostname or "", url.port or 80), timeout=10)
    lines = [f"{request.http_method} {url.path}?{url.query} HTTP/1.1", f"host: {url.netloc}"]
    lines += [f"{name}: {value}" for name, value in (request.headers | headers).items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def answer_to(connection: socket.socket) -> http.client.HTTPResponse:
    """Reads the answer. Blocks."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer
