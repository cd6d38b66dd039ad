"""Capture facts in a movie's metadata: QuickTime keys (phones) and user data atoms (Android, cameras).

A tag that cannot be read is an absent one; nothing here raises.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from kappi_media.probing.exif import camera_of, plausible_instant, plausible_place
from kappi_media.probing.facts import CaptureFacts, Coordinates

MAX_TAG_BYTES: Final = 64 << 10

_MAKE: Final = ("com.apple.quicktime.make", "com.android.manufacturer", "\xa9mak")
_MODEL: Final = ("com.apple.quicktime.model", "com.android.model", "\xa9mod")
_PLACE: Final = ("com.apple.quicktime.location.ISO6709", "\xa9xyz")
_DATE: Final = ("com.apple.quicktime.creationdate", "\xa9day")
# ISO 6709: +48.8577+002.2950+035.4/ , altitude and CRS optional.
_ISO_6709: Final = re.compile(
    r"([+-]\d{1,3}(?:\.\d{1,12})?)([+-]\d{1,3}(?:\.\d{1,12})?)([+-]\d{1,6}(?:\.\d{1,6})?)?"
)


def user_data_tags(body: bytes) -> dict[str, str]:
    """Text atoms of a `udta` body (QuickTime `©xyz` and its kin), and those of a `meta` within."""
    tags: dict[str, str] = {}
    for name, value in _atoms(body):
        if name == b"meta":
            tags |= keyed_tags(value)
        elif name.startswith(b"\xa9") and len(value) > 4:
            (length,) = struct.unpack_from(">H", value)
            tags[name.decode("latin-1")] = value[4 : 4 + length].decode("utf-8", "replace")
    return tags


def keyed_tags(body: bytes) -> dict[str, str]:
    """Text values of a `meta` body that lists its `keys` (mdta)."""
    # ISO `meta` starts with four bytes of version and flags, QuickTime's with its first atom.
    atoms = dict(_atoms(body if body[4:8] == b"hdlr" else body[4:]))
    keys = [name for _, name in _atoms(atoms.get(b"keys", b"")[8:])]
    tags: dict[str, str] = {}
    for item, value in _atoms(atoms.get(b"ilst", b"")):
        number = int.from_bytes(item, "big")
        data = dict(_atoms(value)).get(b"data", b"")
        if 1 <= number <= len(keys) and data[:4] == b"\x00\x00\x00\x01":  # well-known type 1: UTF-8
            tags[keys[number - 1].decode("utf-8", "replace")] = data[8:].decode("utf-8", "replace")
    return tags


def capture_of(tags: Mapping[str, str], *, orientation: int, created_at: datetime | None) -> CaptureFacts:
    """created_at: the movie header's time, UTC by the specification; a date tag with an offset beats it."""
    written = _first(tags, _DATE)
    taken_at = _instant(written) if written else None
    facts = CaptureFacts(
        orientation=orientation,
        camera=camera_of(_first(tags, _MAKE), _first(tags, _MODEL)),
        location=_place(_first(tags, _PLACE)),
    )
    instant = taken_at or created_at
    return facts if instant is None else replace(facts, taken_at=instant, taken_offset_known=True)


def _atoms(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(body):
        size, name = struct.unpack_from(">I4s", body, position)
        if size < 8 or position + size > len(body):
            return
        yield name, body[position + 8 : position + size]
        position += size


def _first(tags: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((tags[name] for name in names if name in tags), None)


def _instant(written: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(written.strip())
    except ValueError:
        return None
    if instant.tzinfo is None:
        return None
    try:
        return plausible_instant(instant.astimezone(UTC))
    except OverflowError:
        return None


def _place(written: str | None) -> Coordinates | None:
    match = _ISO_6709.match(written.strip()) if written else None
    if match is None:
        return None
    altitude = match.group(3)
    return plausible_place(
        float(match.group(1)), float(match.group(2)), float(altitude) if altitude else None
    )
