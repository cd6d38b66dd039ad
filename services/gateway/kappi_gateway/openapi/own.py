"""The operations that the gateway answers itself, as an OpenAPI document like those of the services."""

from __future__ import annotations

from typing import Any

from kappi_chassis.http.app import problems

from kappi_gateway.errors import LiveUnavailable, TooManyStreams, TooManyViewers
from kappi_gateway.openapi.document import Document

_CODE: Document = {
    "name": "code",
    "in": "path",
    "required": True,
    "description": "The short code of the gallery; case does not matter.",
    "schema": {"type": "string"},
}


def _qr_code(kind: str, content_type: str, schema: Document) -> Document:
    operation: Document = {
        "operationId": f"getGalleryQr{kind.capitalize()}",
        "summary": f"The link as a QR code, {kind.upper()}",
        "description": "A picture of the gallery's link, for a screen or a printed card. The gallery's "
        "password is not needed, because the picture shows the link and no more. It may be cached for an "
        "hour, and is revalidated by its ETag.",
        "parameters": [_CODE],
        "responses": {
            "200": {"description": "The picture", "content": {content_type: {"schema": schema}}},
            "304": {"description": "The picture has not changed"},
        },
    }
    return {"get": operation}


_EVENTS = """\
Server-Sent Events (WHATWG HTML) of one gallery. The answer lasts until one side ends it.

`item_ready`: an item is ready, or was moved here. Data: `{"id": …, "kind": "image" | "video" | null}`; null \
for a moved item. `GET /v1/media/{id}` returns the item.

`item_deleted`: an item was deleted, moved away or rejected. Data: `{"id": …}`.

`gallery_updated`: title, visibility, deadline or another detail changed. Data: `{"id": …}`.

`gallery_deleted`: the gallery was deleted, it expired, or a cap is reached; the stream ends. Data: \
`{"id": …}`.

`reset`: load the gallery now, with `GET /v1/g/{code}`. Data: `{}`. A new stream begins with it, so nothing \
is missed between the view and the stream. A stream that continues an earlier one begins with it if changes \
may be missing. It also stands for more than 500 changes at once.

Send the last `id` in `Last-Event-ID` to continue after an interruption, at any gateway; browsers do so by \
themselves, after the time in `retry`. An `id` stands for all events before it, and may come without an \
event. Comments are heartbeats, about four a minute. Ignore events that you do not know.

A stream ends when its client may not see the gallery any more: another code or password, private, taken \
down, expired, used up, deleted. The next request is then refused as a view is. After a change of the \
gallery, a stream that came with a password ends as well, and may be continued at once.

`EventSource` of browsers continues after an end or a broken connection, and stops for good at any answer \
but 200: its `readyState` is then `CLOSED`. Ask with `HEAD` before a new one is made: 404 and 401 are final, \
and 429 and 503 say in `Retry-After` how long to wait. It cannot send `X-Gallery-Password`: for a gallery \
with a password, read the answer of `fetch`."""


def _live() -> Document:
    operation: Document = {
        "operationId": "watchGallery",
        "summary": "What happens in a gallery, as it happens",
        "description": _EVENTS,
        "parameters": [
            _CODE,
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The last `id` of an interrupted stream of this gallery.",
                "schema": {"type": "string"},
            },
        ],
        "responses": {
            "200": {
                "description": "The stream",
                "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
            },
            **{
                str(status): answer
                for status, answer in problems(TooManyStreams, TooManyViewers, LiveUnavailable).items()
            },
        },
    }
    return {"get": operation}


_EXAMPLE = """\
retry: 2817
event: reset
data: {}
id: Zm9vYmFyAAEC

event: item_ready
data: {"id":"0199e1a4-5b7c-7d10-8c41-5f2f0f3a9b01","kind":"image"}
id: Zm9vYmFyAAED

:
id: Zm9vYmFyAAED

"""
_SVG: dict[str, Any] = {"type": "string"}
_PNG: dict[str, Any] = {"type": "string", "format": "binary"}

OWN_OPERATIONS: Document = {
    "paths": {
        "/v1/g/{code}/live": _live(),
        "/v1/g/{code}/qr.svg": _qr_code("svg", "image/svg+xml", _SVG),
        "/v1/g/{code}/qr.png": _qr_code("png", "image/png", _PNG),
    },
    "components": {"schemas": {}},
}
