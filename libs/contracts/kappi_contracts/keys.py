"""Keys of the object store: a gallery, an item or a post is one prefix (ADR-0005, ADR-0022)."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from kappi_contracts.rendition_formats import FALLBACK_FORMAT, PLAYBACK_SIZE, STORED_FORMATS, StoredFormat


@lru_cache(maxsize=1024)  # keys of one gallery are made by the hundred, and formatting a UUID is slow
def gallery_prefix(gallery_id: UUID) -> str:
    return f"galleries/{gallery_id}/"


def media_prefix(gallery_id: UUID, media_id: UUID) -> str:
    """Returns the prefix of all folders of an item in a gallery.

    Ids have one length, so no other item matches.
    """
    return f"{gallery_prefix(gallery_id)}{media_id}"


def folder_prefix(gallery_id: UUID, media_id: UUID, folder: int | None = None) -> str:
    """Returns the prefix of an item's objects.

    folder: None until the item is moved; each move has a new number (ADR-0025).
    """
    name = "" if folder is None else f".{folder}"
    return f"{gallery_prefix(gallery_id)}{media_id}{name}/"


def original_key(gallery_id: UUID, media_id: UUID, folder: int | None = None) -> str:
    return folder_prefix(gallery_id, media_id, folder) + "original"


def gps_free_key(gallery_id: UUID, media_id: UUID, folder: int | None = None) -> str:
    """Returns the key of the copy without the place of capture."""
    return folder_prefix(gallery_id, media_id, folder) + "location-free"


def sidecar_key(gallery_id: UUID, media_id: UUID, folder: int | None = None) -> str:
    """Returns the key of the XMP sidecar that was uploaded with a picture."""
    return folder_prefix(gallery_id, media_id, folder) + "sidecar.xmp"


def rendition_key(
    gallery_id: UUID,
    media_id: UUID,
    size: str,
    fmt: StoredFormat = FALLBACK_FORMAT,
    *,
    folder: int | None = None,
) -> str:
    """Returns the key of a rendition. size: `400` (height) or `600x600` (cover), as in the public API."""
    return f"{folder_prefix(gallery_id, media_id, folder)}renditions/{size}.{STORED_FORMATS[fmt].extension}"


def playback_pieces_prefix(gallery_id: UUID, media_id: UUID, folder: int | None = None) -> str:
    """Returns the prefix of the pieces of a film that is being made playable."""
    return f"{folder_prefix(gallery_id, media_id, folder)}renditions/{PLAYBACK_SIZE}/"


def small_piece(name: str) -> str:
    """Returns the name of a piece in the small size. name: of the piece in the first one."""
    return f"{name}-480"


POST_PICTURE_SIZE = "600x600"
"""The one size in which a post is shown: the middle of the picture, as a JPEG."""


def post_prefix(post_id: UUID) -> str:
    return f"posts/{post_id}/"


def post_original_key(post_id: UUID) -> str:
    return f"{post_prefix(post_id)}original"


def post_picture_key(post_id: UUID) -> str:
    """Returns the key of the JPEG that the post shows."""
    return f"{post_prefix(post_id)}{POST_PICTURE_SIZE}.jpg"
