"""JSON Schemas of the bodies, from the structs themselves, as components of the OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from kappi_media import schemas

_PREFIX = "#/components/schemas/"
_BODIES = (
    schemas.BatchDeclaration,
    schemas.GalleryPage,
    schemas.ItemChanges,
    schemas.ItemView,
    schemas.PromisedBatch,
    schemas.SignedUrl,
    schemas.UploadStatus,
)


def answer(schema: str, description: str, example: Any) -> dict[str, Any]:
    """A JSON response. schema: name of a struct in `schemas.py`."""
    return {"description": description, "content": _content(schema, example)}


def json_body(schema: str, example: Any) -> dict[str, Any]:
    """A required JSON request body."""
    return {"required": True, "content": _content(schema, example)}


def add_components(app: FastAPI) -> None:
    """Put every body's schema where `answer` and `json_body` point."""
    original = app.openapi
    _, components = msgspec.json.schema_components(_BODIES, ref_template=_PREFIX + "{name}")

    def with_components() -> dict[str, Any]:
        document = original()
        document.setdefault("components", {}).setdefault("schemas", {}).update(components)
        return document

    app.openapi = with_components  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _content(schema: str, example: Any) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _PREFIX + schema}, "example": example}}
