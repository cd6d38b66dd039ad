"""The formats of renditions: their file extensions, their content types, and which one is preferred.

The media service has an encoder for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

RenditionFormat = Literal["jpeg", "webp", "avif"]
StoredFormat = RenditionFormat | Literal["mp4"]
"""The format of a picture, or of a film that browsers play."""


class OutputFormat(NamedTuple):
    extension: str
    content_type: str


FALLBACK_FORMAT: Final[RenditionFormat] = "jpeg"
"""The format that every client shows, and that a request gets that names no other."""
OUTPUT_FORMATS: Final[Mapping[RenditionFormat, OutputFormat]] = MappingProxyType(
    {
        "jpeg": OutputFormat("jpg", "image/jpeg"),
        "webp": OutputFormat("webp", "image/webp"),
        "avif": OutputFormat("avif", "image/avif"),
    }
)
"""The largest files first: of two formats that a client likes the same, it gets the later one."""
STORED_FORMATS: Final[Mapping[StoredFormat, OutputFormat]] = MappingProxyType(
    dict[StoredFormat, OutputFormat](OUTPUT_FORMATS.items()) | {"mp4": OutputFormat("mp4", "video/mp4")}
)
PLAYBACK_SIZE: Final = "playback"
"""The name of the rendition of a film that browsers play, in place of a size."""
SMALL_PLAYBACK_SIZE: Final = "playback-480"
"""The name of the same in a small size, of a long film."""
