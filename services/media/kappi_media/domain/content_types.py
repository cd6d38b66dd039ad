"""The declared type of a file, and which declared types are accepted."""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final

from kappi_chassis.storage.content_type import header_content_type
from kappi_mediameta.probing import MediaFormat, format_of, is_supported

_MORE_EXTENSIONS: Final = {
    ".jpeg": MediaFormat.JPEG,
    ".jpe": MediaFormat.JPEG,
    ".heif": MediaFormat.HEIC,
    ".hif": MediaFormat.HEIC,
    ".tiff": MediaFormat.TIFF,
    ".qt": MediaFormat.MOV,
    ".3g2": MediaFormat.THREE_GP,
    ".mts": MediaFormat.MPEG_TS,
    ".m2ts": MediaFormat.MPEG_TS,
    ".asf": MediaFormat.WMV,
}
_CAMERA_RAW: Final = [fmt.content_type for fmt in MediaFormat if fmt.is_camera_raw]
_BESIDE_RAW: Final = ["image/jpeg", "image/heic"]
_BY_EXTENSION: Final = {fmt.value.extension: fmt for fmt in MediaFormat} | _MORE_EXTENSIONS


def content_type_of(declared: str | None, *, filename: str, found: MediaFormat | None) -> str:
    """Returns the declared type, else the type of the name's extension, else of the content; empty when none
    is known.
    """
    if declared is not None:
        return declared
    named = _BY_EXTENSION.get(PurePosixPath(filename).suffix.lower()) or found
    return named.content_type if named is not None else ""


def is_camera_raw_type(content_type: str) -> bool:
    """Returns whether files of a type are camera RAW. content_type: as it was found."""
    return content_type in _CAMERA_RAW


def is_camera_raw_name(filename: str) -> bool:
    """Returns whether a file is camera RAW by the ending of its name."""
    named = _BY_EXTENSION.get(PurePosixPath(filename).suffix.lower())
    return named is not None and named.is_camera_raw


def partner_types_of(content_type: str) -> list[str]:
    """Returns the types of what a camera stores for the same shot beside a file of this type."""
    if is_camera_raw_type(content_type):
        return _BESIDE_RAW
    return _CAMERA_RAW if content_type in _BESIDE_RAW else []


@lru_cache(maxsize=256)
def is_taken(content_type: str) -> bool:
    """Returns whether files of a declared type are accepted."""
    fmt = format_of(content_type)
    if fmt is None or not is_supported(fmt):
        return False
    try:
        header_content_type(content_type)
    except ValueError:
        return False
    return True
