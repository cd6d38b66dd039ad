"""What Apple's devices write: the identifier that binds the two halves of a Live Photo, in the maker note of
the picture and in the film, and how bright the brightest part of a picture was.

Source: ExifTool's Apple tag names (0x0011, ContentIdentifier; 0x0021, HDRHeadroom; 0x0030, HDRGain); Apple's
AVFoundation metadata keys; Apple, "Applying Apple HDR effect to your photos".
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Final

from kappi_mediameta.containers.tiff_directories import Layout
from kappi_mediameta.probing.tiff_fields import Tags, directory, numbers, text

LIVE_KEY: Final = "com.apple.quicktime.content.identifier"
_MAKER_NOTE_START: Final = b"Apple iOS\x00"
_ORDERS: Final = {b"MM": Layout(">"), b"II": Layout("<")}
CONTENT_IDENTIFIER: Final = 0x0011
_HEADROOM, _GAIN = 0x0021, 0x0030
_MOST_STOPS: Final = 8
_IDENTIFIER: Final = re.compile(r"[0-9A-Za-z_-]{8,64}")


def live_id_of(maker_note: bytes) -> str | None:
    """Returns the identifier in a maker note, or None for other devices and pictures without a film."""
    return clean_live_id(text(_tags(maker_note), CONTENT_IDENTIFIER))


def headroom_of(maker_note: bytes) -> float | None:
    """Returns how much brighter than white the brightest part of a picture was, or None."""
    tags = _tags(maker_note)
    found = (*numbers(tags, _HEADROOM)[:1], *numbers(tags, _GAIN)[:1])
    if len(found) < 2 or not all(map(isfinite, found)):
        return None
    headroom, gain = found
    if headroom < 1:
        stops = 1.8 - 20 * gain if gain <= 0.01 else 1.601 - 0.101 * gain
    else:
        stops = 3.0 - 70 * gain if gain <= 0.01 else 2.303 - 0.303 * gain
    return float(2 ** min(max(stops, 0), _MOST_STOPS))


def _tags(maker_note: bytes) -> Tags:
    layout = _ORDERS.get(maker_note[12:14])
    if not maker_note.startswith(_MAKER_NOTE_START) or layout is None:
        return {}
    return directory(maker_note, layout, at=14)


def clean_live_id(written: str | None) -> str | None:
    """Returns the identifier in upper case, as it is compared and stored, or None for other texts."""
    if written is None or _IDENTIFIER.fullmatch(written.strip()) is None:
        return None
    return written.strip().upper()
