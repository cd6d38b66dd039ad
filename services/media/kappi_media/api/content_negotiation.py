"""Chooses the picture format by the request's `Accept` header (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from typing import Final

from kappi_contracts.keys import RenditionFormat

# Smallest first. A wildcard means JPEG, which every client shows: browsers and libraries send `*/*` for any
# picture, whether or not they can show the newer formats.
_BY_NAME: Final[tuple[tuple[str, RenditionFormat], ...]] = (("image/avif", "avif"), ("image/webp", "webp"))
_JPEG_NAMES: Final = ("image/jpeg", "image/*", "*/*")
_QUALITY: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def rendition_format(accept: str) -> RenditionFormat:
    """Returns the format for an `Accept` header: JPEG unless another is named with at least the same
    quality.
    """
    if "image/webp" not in accept.lower() and "image/avif" not in accept.lower():
        return "jpeg"
    liked = _qualities(accept)
    best: RenditionFormat = "jpeg"
    best_quality = next((liked[name] for name in _JPEG_NAMES if name in liked), 0.0)
    for name, fmt in reversed(_BY_NAME):
        quality = liked.get(name, 0.0)
        if quality > 0 and quality >= best_quality:
            best, best_quality = fmt, quality
    return best


def _qualities(accept: str) -> dict[str, float]:
    """Returns the quality of each named range; 0 when it cannot be parsed."""
    found: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
        found[name] = quality
    return found
