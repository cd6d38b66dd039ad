"""The responses of the local store's server: ASGI message types, fixed headers, errors in the form of S3."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from xml.sax.saxutils import escape

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

CORS: Headers = [
    # No cookies are involved: the bearer of the URL has the right, from any origin.
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        (
            b"accept-ranges, content-disposition, content-length, content-range, date, etag, last-modified, "
            b"x-amz-checksum-sha256"
        ),
    ),
]
PREFLIGHT: Headers = [
    *CORS,
    (b"access-control-allow-methods", b"GET, HEAD, PUT"),
    (
        b"access-control-allow-headers",
        (
            b"content-md5, content-type, if-match, if-modified-since, if-none-match, if-range, "
            b"if-unmodified-since, range, x-amz-checksum-sha256"
        ),
    ),
    (b"access-control-max-age", b"86400"),
]
CONTENT_SAFETY: Headers = [
    # Untrusted files are served from Kappi's own origin here: they must never run as a page of it.
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'; img-src 'self'; media-src 'self'"),
]
PRIVATE: Headers = [(b"cache-control", b"private")]
"""The browser may cache the content of a signed URL; shared caches may not."""
ERROR_HEADERS: Headers = [*CORS, *PRIVATE, (b"content-type", b"application/xml")]
HANG_UP: Headers = [(b"connection", b"close")]


class Refused(Exception):
    """A refusal. code: S3's name for it."""

    def __init__(self, status: int, code: str, message: str, headers: Headers | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.headers = status, code, message, headers or []


class Abandoned(Exception):
    """The exchange ends without an answer: the client left, or the bytes ran out after the headers
    were sent.
    """


async def send_whole(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    """Sends an answer in one piece."""
    length: Headers = [] if status in {204, 304} else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def send_refusal(send: Send, refused: Refused) -> None:
    """Sends an error document in S3's form; it contains nothing of the request or the machine."""
    await send_whole(send, refused.status, _refusal_headers(refused), _refusal_body(refused))


async def send_last_refusal(send: Send, refused: Refused, *, linger: Callable[[], Awaitable[None]]) -> None:
    """As `send_refusal`, to a client that is still sending: the whole refusal is sent, then `linger` runs,
    then the connection is closed.
    """
    body = _refusal_body(refused)
    headers = [*_refusal_headers(refused), *HANG_UP, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await linger()
    await send({"type": "http.response.body", "body": b""})


def error_document(code: str, message: str) -> bytes:
    """Returns the body of an error. code: S3's name for it."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    ).encode()


def _refusal_headers(refused: Refused) -> Headers:
    return [*ERROR_HEADERS, *refused.headers]


def _refusal_body(refused: Refused) -> bytes:
    return error_document(refused.code, refused.message)
