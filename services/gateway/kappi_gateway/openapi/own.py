"""The operations that the gateway answers itself, as an OpenAPI document like those of the services."""

from __future__ import annotations

from typing import Any

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


_SVG: dict[str, Any] = {"type": "string"}
_PNG: dict[str, Any] = {"type": "string", "format": "binary"}

OWN_OPERATIONS: Document = {
    "paths": {
        "/v1/g/{code}/qr.svg": _qr_code("svg", "image/svg+xml", _SVG),
        "/v1/g/{code}/qr.png": _qr_code("png", "image/png", _PNG),
    },
    "components": {"schemas": {}},
}
