"""Refusals on the way to the object store in S3's format, as S3 clients do not read problem documents."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from kappi_chassis.http.edge import App, Message, Receive, Scope, Send
from kappi_chassis.problems import PROBLEM_JSON
from kappi_chassis.storage.local_responses import ERROR_HEADERS, error_document

_CONTENT_TYPE = (b"content-type", PROBLEM_JSON.encode())
_REPLACED = frozenset({b"content-type", b"content-length"})
_CODES: Mapping[str, str] = {
    "method_not_allowed": "MethodNotAllowed",
    "overloaded": "SlowDown",
    "request_timeout": "RequestTimeout",
    "too_many_transfers": "SlowDown",
    "upstream_timeout": "ServiceUnavailable",
    "upstream_unavailable": "ServiceUnavailable",
}


class _Problem(msgspec.Struct):
    code: str
    detail: str


def in_s3_form(app: App) -> App:
    """Returns the app with its problem documents as S3 errors; status and other headers stay."""

    async def translating(scope: Scope, receive: Receive, send: Send) -> None:
        refused: Message | None = None

        async def translate(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and _CONTENT_TYPE in message["headers"]:
                refused = message
            elif refused is None:
                await send(message)
            else:
                start, refused = refused, None
                document = _document(start["status"], message["body"])
                kept = [header for header in start["headers"] if header[0] not in _REPLACED]
                length = (b"content-length", str(len(document)).encode())
                await send({**start, "headers": [*kept, *ERROR_HEADERS, length]})
                await send({"type": "http.response.body", "body": document})

        await app(scope, receive, translate)

    return translating


def _document(status: int, body: bytes) -> bytes:
    problem = msgspec.json.decode(body, type=_Problem)
    other = "InternalError" if status >= 500 else "InvalidRequest"
    return error_document(_CODES.get(problem.code, other), problem.detail)
