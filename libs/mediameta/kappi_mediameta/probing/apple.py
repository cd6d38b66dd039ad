"""The identifier that binds the two halves of a Live Photo, in the maker note of the picture and in the film.

Source: ExifTool's Apple tag names (0x0011, ContentIdentifier); Apple's AVFoundation metadata keys.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_mediameta.containers.tiff_directories import Layout
from kappi_mediameta.probing.tiff_fields import directory, text

LIVE_KEY: Final = "com.apple.quicktime.content.identifier"
_MAKER_NOTE_START: Final = b"Apple iOS\x00"
_ORDERS: Final = {b"MM": Layout(">"), b"II": Layout("<")}
CONTENT_IDENTIFIER: Final = 0x0011
_IDENTIFIER: Final = re.compile(r"[0-9A-Za-z_-]{8,64}")


def live_id_of(maker_note: bytes) -> str | None:
    """Returns the identifier in a maker note, or None for other devices and pictures without a film."""
    layout = _ORDERS.get(maker_note[12:14])
    if not maker_note.startswith(_MAKER_NOTE_START) or layout is None:
        return None
    return clean_live_id(text(directory(maker_note, layout, at=14), CONTENT_IDENTIFIER))


def clean_live_id(written: str | None) -> str | None:
    """Returns the identifier in upper case, as it is compared and stored, or None for other texts."""
    if written is None or _IDENTIFIER.fullmatch(written.strip()) is None:
        return None
    return written.strip().upper()
