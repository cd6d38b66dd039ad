"""Capture facts that camcorders write into the coded video of AVCHD: time, zone, place and maker.

They are user data of H.264, named MDPM, as numbered fields of four bytes. There is no public specification:
ExifTool documents the fields.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from kappi_mediameta.probing.coded_video import plain, units
from kappi_mediameta.probing.exif import camera_of, plausible_instant, plausible_place
from kappi_mediameta.probing.facts import Camera, CaptureFacts, Coordinates

MARK: Final = bytes.fromhex("17ee8c60f84d11d98cd60800200c9a66") + b"MDPM"
PLACE_FIELDS: Final = range(0xB0, 0xE0)
"""The numbers of fields about the place and its time."""
FIELD_BYTES: Final = 5
_USER_DATA: Final = 6
_DATE, _TIME, _MAKER = 0x18, 0x19, 0xE0
_NORTH_SOUTH, _LATITUDE, _EAST_WEST, _LONGITUDE = 0xB1, 0xB2, 0xB5, 0xB6
_BELOW, _ALTITUDE = 0xB9, 0xBA
_MAKERS: Final = {0x0103: "Panasonic", 0x0108: "Sony", 0x1011: "Canon", 0x1104: "JVC"}

Fields = Mapping[int, bytes]


def capture_of(stream: bytes) -> CaptureFacts:
    """Returns the facts in the first user data of that kind. A field that cannot be read is absent."""
    for unit in units(stream):
        at = unit.find(MARK) if unit[:1] and unit[0] & 0x1F == _USER_DATA else -1
        if at >= 0:
            fields = _fields(plain(unit[at + len(MARK) :]))
            facts = CaptureFacts(location=_place(fields), camera=_camera(fields))
            return _with_time(facts, fields)
    return CaptureFacts()


def _fields(body: bytes) -> Fields:
    count = body[0] if body else 0
    whole = body[1 : 1 + FIELD_BYTES * min(count, (len(body) - 1) // FIELD_BYTES)]
    return {whole[at]: whole[at + 1 : at + FIELD_BYTES] for at in range(0, len(whole), FIELD_BYTES)}


def _camera(fields: Fields) -> Camera | None:
    return camera_of(_MAKERS.get(int.from_bytes(fields.get(_MAKER, b"")[:2], "big")), None)


def _with_time(facts: CaptureFacts, fields: Fields) -> CaptureFacts:
    """Returns the facts with the local time, whose digits are four bits each, and its zone."""
    if not {_DATE, _TIME} <= fields.keys():
        return facts
    zone, *digits = fields[_DATE] + fields[_TIME]
    minutes = 60 * (zone >> 1 & 0x0F) + 30 * (zone & 1)
    try:
        century, year, month, day, hour, minute, second = (int(f"{digit:02x}") for digit in digits)
        local = datetime(100 * century + year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return facts
    offset = timedelta(minutes=-minutes if zone & 0x20 else minutes)
    instant = plausible_instant(local - offset)
    if instant is None:
        return facts
    return replace(
        facts,
        taken_at=instant,
        taken_offset_known=True,
        taken_offset_minutes=round(offset.total_seconds() / 60),
    )


def _place(fields: Fields) -> Coordinates | None:
    latitude = _degrees(fields, _LATITUDE, negative=fields.get(_NORTH_SOUTH, b"")[:1] == b"S")
    longitude = _degrees(fields, _LONGITUDE, negative=fields.get(_EAST_WEST, b"")[:1] == b"W")
    if latitude is None or longitude is None:
        return None
    metres = _ratio(fields.get(_ALTITUDE, b""))
    if metres is not None and any(fields.get(_BELOW, b"")):
        metres = -metres
    return plausible_place(latitude, longitude, metres)


def _degrees(fields: Fields, first: int, *, negative: bool) -> float | None:
    """Returns degrees by three fields: degrees, minutes, seconds. Without degrees there are none."""
    parts = [_ratio(fields.get(first + power, b"")) for power in range(3)]
    if parts[0] is None:
        return None
    whole = sum((part or 0.0) / 60.0**power for power, part in enumerate(parts))
    return -whole if negative else whole


def _ratio(field: bytes) -> float | None:
    if len(field) != FIELD_BYTES - 1:
        return None
    upper, lower = struct.unpack(">HH", field)
    return upper / lower if lower else None
