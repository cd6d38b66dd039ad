"""Capture facts in a movie's metadata: QuickTime keys (phones) and user data atoms (Android, cameras).

A tag that cannot be read counts as absent. Nothing here raises.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from kappi_mediameta.containers.iso_boxes import boxes_of
from kappi_mediameta.probing.apple import LIVE_KEY, clean_live_id
from kappi_mediameta.probing.details import details_of_film
from kappi_mediameta.probing.exif import (
    NO_EXIF,
    camera_of,
    facts_of,
    offset_minutes,
    plausible_instant,
    plausible_place,
)
from kappi_mediameta.probing.facts import CaptureFacts, Coordinates
from kappi_mediameta.probing.written import decoded, written_time
from kappi_mediameta.probing.xmp import read_xmp

MAX_TAG_BYTES: Final = 256 << 10

# Well-known types of whole numbers: of any length, and of 8 to 64 bits.
_SIGNED: Final = frozenset({21, 65, 66, 67, 74})
_WHOLE_NUMBERS: Final = _SIGNED | {22, 75, 76, 77, 78}
LOCI: Final = "loci"
XMP: Final = "XMP_"
# In the order of trust. Names are compared in lower case. Names without a prefix are Matroska's.
MAKE: Final = ("com.apple.quicktime.make", "com.android.manufacturer", "\xa9mak", "@mak", "make")
MODEL: Final = ("com.apple.quicktime.model", "com.android.model", "\xa9mod", "@mod", "model")
_PLACE: Final = ("com.apple.quicktime.location.iso6709", "\xa9xyz", "@xyz", LOCI, "location")
DATE: Final = ("com.apple.quicktime.creationdate", "\xa9day", "date_recorded", "creation_time")
# ISO 6709: +48.8577+002.2950+035.4/ , altitude and CRS optional.
_ISO_6709: Final = re.compile(
    r"([+-]\d{1,3}(?:\.\d{1,12})?)([+-]\d{1,3}(?:\.\d{1,12})?)([+-]\d{1,6}(?:\.\d{1,6})?)?"
)


def user_data_tags(body: bytes) -> dict[str, str]:
    """Returns the text atoms of a `udta` body (QuickTime `©xyz` and others), and those of its `meta`."""
    tags: dict[str, str] = {}
    for name, value in boxes_of(body):
        if name == b"meta":
            tags |= keyed_tags(value)
        elif name.startswith(b"\xa9") and len(value) > 4:
            (length,) = struct.unpack_from(">H", value)
            tags[name.decode("latin-1")] = decoded(value[4 : 4 + length])
        elif name.startswith(b"@"):  # some devices write this for the sign, then a text without a header
            tags[name.decode("latin-1")] = decoded(value).rstrip("\0")
        elif name == b"loci":
            tags[LOCI] = _loci(value)
        elif name == b"XMP_":
            tags[XMP] = xmp_text(value)
    return tags


def xmp_text(packet: bytes) -> str:
    """Returns XMP as a tag. In films it is UTF-8."""
    return packet.decode("utf-8", "replace")


def _loci(value: bytes) -> str:
    """Returns a 3GPP location atom in the form of ISO 6709, or nothing for a damaged one."""
    # Version and flags, packed language, a name in UTF-8 or, with a mark, in UTF-16, and the role.
    wide = value[6:8] in (b"\xfe\xff", b"\xff\xfe")
    if wide:
        after = next((i + 2 for i in range(6, len(value) - 1, 2) if value[i : i + 2] == b"\x00\x00"), 0)
    else:
        after = value.find(b"\x00", 6) + 1
    if not after or len(value) < after + 13:
        return ""
    longitude, latitude, altitude = struct.unpack_from(">iii", value, after + 1)
    return f"{latitude / 65536:+.6f}{longitude / 65536:+.6f}{altitude / 65536:+.3f}/"


def keyed_tags(body: bytes) -> dict[str, str]:
    """Returns the text values of a `meta` body, named by its `keys` (mdta) or, as iTunes does, by atoms."""
    # ISO `meta` starts with four bytes of version and flags, QuickTime's with its first atom.
    atoms = dict(boxes_of(body if body[4:8] == b"hdlr" else body[4:]))
    keys = [name for _, name in boxes_of(atoms.get(b"keys", b"")[8:])]
    tags: dict[str, str] = {}
    for item, value in boxes_of(atoms.get(b"ilst", b"")):
        number = int.from_bytes(item, "big")
        data = dict(boxes_of(value)).get(b"data", b"")
        text = _well_known(int.from_bytes(data[:4], "big"), data[8:])
        if text is None:
            continue
        if 1 <= number <= len(keys):
            tags[keys[number - 1].decode("utf-8", "replace").lower()] = text
        elif item.startswith(b"\xa9"):
            tags[item.decode("latin-1")] = text
    return tags


def _well_known(kind: int, value: bytes) -> str | None:
    """Returns a text, or a whole number as a text, by the well-known types of QuickTime."""
    if kind == 1:  # UTF-8
        return value.decode("utf-8", "replace")
    if kind in _WHOLE_NUMBERS and 1 <= len(value) <= 8:
        return str(int.from_bytes(value, "big", signed=kind in _SIGNED))
    return None


def capture_of(tags: Mapping[str, str], *, orientation: int, created_at: datetime | None) -> CaptureFacts:
    """Returns the capture facts of tags. XMP counts where other tags have nothing.

    created_at: of the movie header, UTC by the specification. A date tag with an offset counts before it.
    """
    written = next((at for at in map(_instant, _all(tags, DATE)) if at is not None), None)
    place = next((at for at in map(_place, _all(tags, _PLACE)) if at is not None), None)
    described = facts_of(NO_EXIF, read_xmp([tags.get(XMP, "").encode()]))
    facts = replace(
        described,
        orientation=orientation,
        camera=camera_of(next(_all(tags, MAKE), None), next(_all(tags, MODEL), None)),
        location=place or described.location,
        live_id=clean_live_id(tags.get(LIVE_KEY)),
        details=details_of_film(tags).or_else(described.details),
    )
    if written is not None:
        instant, minutes = written
        return replace(facts, taken_at=instant, taken_offset_known=True, taken_offset_minutes=minutes)
    if created_at is not None:
        return replace(facts, taken_at=created_at, taken_offset_known=True, taken_offset_minutes=None)
    return facts


def _all(tags: Mapping[str, str], names: tuple[str, ...]) -> Iterator[str]:
    return (tags[name] for name in names if name in tags)


def _instant(written: str) -> tuple[datetime, int | None] | None:
    """Returns the instant in UTC, and the offset in minutes or None for a `Z`, which is no zone."""
    time = written_time(written)
    if time is None or time.zone is None:
        return None
    instant = plausible_instant(time.local.replace(tzinfo=time.zone))
    if instant is None:
        return None
    return instant, None if written.rstrip().endswith("Z") else offset_minutes(time.zone)


def _place(written: str) -> Coordinates | None:
    match = _ISO_6709.match(written.strip())
    if match is None:
        return None
    altitude = match.group(3)
    return plausible_place(
        float(match.group(1)), float(match.group(2)), float(altitude) if altitude else None
    )
