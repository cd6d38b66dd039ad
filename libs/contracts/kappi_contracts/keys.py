"""Where things lie in the object store: a gallery, an item or a post is one prefix (ADR-0005, ADR-0022)."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal
from uuid import UUID

RenditionFormat = Literal["jpeg", "webp", "avif"]

_EXTENSIONS: dict[RenditionFormat, str] = {"jpeg": "jpg", "webp": "webp", "avif": "avif"}


@lru_cache(maxsize=1024)  # keys of one gallery are made by the hundred, and a UUID's text is slow
def gallery_prefix(gallery_id: UUID) -> str:
    return f"galleries/{gallery_id}/"


def media_prefix(gallery_id: UUID, media_id: UUID) -> str:
    """Of every folder an item ever had in a gallery. No other item's begins with it: ids have one length."""
    return f"{gallery_prefix(gallery_id)}{media_id}"


def folder_prefix(gallery_id: UUID, media_id: UUID, folder: int | None = None) -> str:
    """Of an item's objects. folder: None until it is moved; each move has a new number (ADR-0025)."""
    name = "" if folder is None else f".{folder}"
    return f"{gallery_prefix(gallery_id)}{media_id}{name}/"


def original_key(gallery_id: UUID, media_id: UUID, folder: int | None = None) -> str:
    return folder_prefix(gallery_id, media_id, folder) + "original"


def gps_free_key(gallery_id: UUID, media_id: UUID, folder: int | None = None) -> str:
    """Of the copy that does not tell where the original was made."""
    return folder_prefix(gallery_id, media_id, folder) + "location-free"


def rendition_key(
    gallery_id: UUID,
    media_id: UUID,
    size: str,
    fmt: RenditionFormat = "jpeg",
    *,
    folder: int | None = None,
) -> str:
    """size: `400` (height) or `600x600` (cover), as in the public API."""
    return f"{folder_prefix(gallery_id, media_id, folder)}renditions/{size}.{_EXTENSIONS[fmt]}"


POST_PICTURE_SIZE = "600x600"
"""The one size a post is shown in: the picture's middle, as a JPEG."""


def post_prefix(post_id: UUID) -> str:
    return f"posts/{post_id}/"


def post_original_key(post_id: UUID) -> str:
    return f"{post_prefix(post_id)}original"


def post_picture_key(post_id: UUID) -> str:
    """Of the JPEG that the post is shown as."""
    return f"{post_prefix(post_id)}{POST_PICTURE_SIZE}.jpg"
