"""Where things lie in the object store: a gallery or an item is one prefix (ADR-0005)."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

RenditionFormat = Literal["jpeg", "webp", "avif"]

_EXTENSIONS: dict[RenditionFormat, str] = {"jpeg": "jpg", "webp": "webp", "avif": "avif"}


def gallery_prefix(gallery_id: UUID) -> str:
    return f"galleries/{gallery_id}/"


def media_prefix(gallery_id: UUID, media_id: UUID) -> str:
    return f"galleries/{gallery_id}/{media_id}/"


def original_key(gallery_id: UUID, media_id: UUID) -> str:
    return f"galleries/{gallery_id}/{media_id}/original"


def rendition_key(gallery_id: UUID, media_id: UUID, size: str, fmt: RenditionFormat = "jpeg") -> str:
    """size: `400` (height) or `600x600` (cover), as in the public API."""
    return f"galleries/{gallery_id}/{media_id}/renditions/{size}.{_EXTENSIONS[fmt]}"
