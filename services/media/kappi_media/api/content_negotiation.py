"""Chooses the picture format by the request's `Accept` header (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from typing import Final

from kappi_contracts.rendition_formats import FALLBACK_FORMAT, OUTPUT_FORMATS, RenditionFormat

# A wildcard means the fallback: browsers and libraries send `*/*` for any picture, whether they could show
# the newer formats or not.
_FALLBACK_NAMES: Final = (OUTPUT_FORMATS[FALLBACK_FORMAT].content_type, "image/*", "*/*")
_BY_NAME: Final = {form.content_type: fmt for fmt, form in OUTPUT_FORMATS.items() if fmt != FALLBACK_FORMAT}
PREFERRED: Final = " or ".join(f"`{name}`" for name in reversed(_BY_NAME))
"""The content types that a client may name, in words."""
_QUALITY: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def rendition_format(accept: str) -> RenditionFormat:
    """Returns the format that answers an `Accept`.

    That is the fallback, unless another one is named, and liked no less than the fallback.
    """
    lowered = accept.lower()
    if not any(name in lowered for name in _BY_NAME):
        return FALLBACK_FORMAT
    liked = _qualities(lowered)
    best = FALLBACK_FORMAT
    best_quality = next((liked[name] for name in _FALLBACK_NAMES if name in liked), 0.0)
    for name, fmt in _BY_NAME.items():
        quality = liked.get(name, 0.0)
        if quality > 0 and quality >= best_quality:
            best, best_quality = fmt, quality
    return best


def _qualities(lowered: str) -> dict[str, float]:
    """Returns the quality of each range that is named; 0 where it cannot be read."""
    found: dict[str, float] = {}
    for part in lowered.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
        found[name] = quality
    return found
