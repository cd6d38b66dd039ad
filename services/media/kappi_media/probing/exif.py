"""The few EXIF tags Kappi keeps, out of a TIFF structure (EXIF 3.0, TIFF 6.0).

A broken EXIF block is common and harmless: nothing here raises, an unreadable tag is an absent one. Three
directories are read, each once, so no chain of offsets can loop.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from kappi_media.probing.facts import Camera, CaptureFacts, Coordinates

_MAKE: Final = 0x010F
_MODEL: Final = 0x0110
_ORIENTATION: Final = 0x0112
_EXIF_DIRECTORY: Final = 0x8769
_GPS_DIRECTORY: Final = 0x8825
_DATE_TIME: Final = 0x0132
_OFFSET_TIME: Final = 0x9010
_DATE_TIME_ORIGINAL: Final = 0x9003
_OFFSET_TIME_ORIGINAL: Final = 0x9011
_DATE_TIME_DIGITIZED: Final = 0x9004
_OFFSET_TIME_DIGITIZED: Final = 0x9012
_SUBSECONDS_ORIGINAL: Final = 0x9291

_ASCII, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5
_TYPE_SIZES: Final = {1: 1, _ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8}
_MAX_ENTRIES: Final = 512
_MAX_VALUE_BYTES: Final = 1024
_MAX_NAME_CHARS: Final = 128

Value = str | tuple[int, ...] | tuple[float, ...]
Tags = Mapping[int, Value]


def parse_exif(block: bytes) -> CaptureFacts:
    """Facts of an EXIF block, with or without its `Exif\\0\\0` prefix. Never raises."""
    tiff = block[6:] if block.startswith(b"Exif\x00") else block
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return CaptureFacts()
    main = _directory(tiff, order, at=struct.unpack_from(order + "I", tiff, 4)[0])
    exif = _directory(tiff, order, at=_integer(main, _EXIF_DIRECTORY))
    gps = _directory(tiff, order, at=_integer(main, _GPS_DIRECTORY))
    orientation = _integer(main, _ORIENTATION)
    taken_at, offset_known = _taken_at(main, exif)
    return CaptureFacts(
        orientation=orientation if orientation is not None and 1 <= orientation <= 8 else 1,
        taken_at=taken_at,
        taken_offset_known=offset_known,
        camera=camera_of(_text(main, _MAKE), _text(main, _MODEL)),
        location=_location(gps),
    )


def camera_of(make: str | None, model: str | None) -> Camera | None:
    """A camera from its names as written by the device, cleaned for storage and display."""
    make, model = clean_name(make), clean_name(model)
    return Camera(make=make, model=model) if make or model else None


def clean_name(name: str | None) -> str | None:
    """Printable characters only, single spaces, at most 128 characters; None when nothing is left."""
    if name is None:
        return None
    kept = "".join(c if c.isprintable() else " " for c in name[: 4 * _MAX_NAME_CHARS])
    return " ".join(kept.split())[:_MAX_NAME_CHARS] or None


def plausible_instant(instant: datetime) -> datetime | None:
    """`instant` in UTC; None before photography, after 2100, or where it is what an unset clock writes."""
    if not 1826 <= instant.year < 2100:
        return None
    utc = instant.astimezone(UTC)
    return None if utc == datetime(1970, 1, 1, tzinfo=UTC) else utc


def plausible_place(latitude: float, longitude: float, altitude: float | None) -> Coordinates | None:
    """Coordinates in range. Exactly 0, 0 is what devices write without a fix."""
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180) or (latitude == 0 and longitude == 0):
        return None
    believable = altitude is not None and -12_000 <= altitude <= 100_000
    return Coordinates(
        latitude=round(latitude, 7),
        longitude=round(longitude, 7),
        altitude=round(altitude, 2) if believable and altitude is not None else None,
    )


def _directory(tiff: bytes, order: str, *, at: int | None) -> Tags:
    if at is None or not 8 <= at <= len(tiff) - 2:
        return {}
    (count,) = struct.unpack_from(order + "H", tiff, at)
    tags: dict[int, Value] = {}
    for entry in range(at + 2, at + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        if entry + 12 > len(tiff):
            break
        tag, kind, length = struct.unpack_from(order + "HHI", tiff, entry)
        size = _TYPE_SIZES.get(kind, 0) * length
        if not 0 < size <= _MAX_VALUE_BYTES or tag in tags:
            continue
        start = entry + 8 if size <= 4 else struct.unpack_from(order + "I", tiff, entry + 8)[0]
        raw = tiff[start : start + size]
        if len(raw) == size:
            tags[tag] = _value(raw, kind, length, order)
    return tags


def _value(raw: bytes, kind: int, length: int, order: str) -> Value:
    if kind == _ASCII:
        return raw.split(b"\x00", 1)[0].decode("utf-8", "replace")
    if kind == _SHORT:
        return struct.unpack(f"{order}{length}H", raw)
    if kind == _LONG:
        return struct.unpack(f"{order}{length}I", raw)
    if kind == _RATIONAL:
        parts = struct.unpack(f"{order}{2 * length}I", raw)
        return tuple(
            top / bottom if bottom else float("nan")
            for top, bottom in zip(parts[::2], parts[1::2], strict=True)
        )
    return tuple(raw)


def _text(tags: Tags, tag: int) -> str | None:
    value = tags.get(tag)
    return value if isinstance(value, str) else None


def _numbers(tags: Tags, tag: int) -> tuple[float, ...]:
    value = tags.get(tag, ())
    return () if isinstance(value, str) else tuple(float(v) for v in value)


def _integer(tags: Tags, tag: int) -> int | None:
    value = tags.get(tag)
    return int(value[0]) if isinstance(value, tuple) and value and value[0] == value[0] else None


def _taken_at(main: Tags, exif: Tags) -> tuple[datetime | None, bool]:
    candidates = (
        (_text(exif, _DATE_TIME_ORIGINAL), _text(exif, _OFFSET_TIME_ORIGINAL)),
        (_text(exif, _DATE_TIME_DIGITIZED), _text(exif, _OFFSET_TIME_DIGITIZED)),
        (_text(main, _DATE_TIME), None),
    )
    for written, offset in candidates:
        local = _local_time(written)
        if local is None:
            continue
        zone = _zone(offset) or _zone(_text(exif, _OFFSET_TIME))
        instant = plausible_instant(local.replace(tzinfo=zone or UTC))
        if instant is not None:
            return instant + _subseconds(exif), zone is not None
    return None, False


def _local_time(written: str | None) -> datetime | None:
    if written is None:
        return None
    try:
        return datetime.strptime(written.strip()[:19].replace("-", ":"), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007 - EXIF time is local, the caller adds the zone
    except ValueError:
        return None


def _zone(offset: str | None) -> timezone | None:
    if offset is None:
        return None
    text = offset.strip()
    digits = text[1:3] + text[4:6]
    if text == "Z":
        return UTC
    if len(text) != 6 or text[0] not in "+-" or text[3] != ":" or not (digits.isascii() and digits.isdigit()):
        return None
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if distance > timedelta(hours=14):
        return None
    return timezone(-distance if text[0] == "-" else distance)


def _subseconds(exif: Tags) -> timedelta:
    digits = (_text(exif, _SUBSECONDS_ORIGINAL) or "").strip()[:6]
    if not (digits.isascii() and digits.isdigit()):
        return timedelta()
    return timedelta(microseconds=int(digits.ljust(6, "0")))


def _location(gps: Tags) -> Coordinates | None:
    latitude = _degrees(_numbers(gps, 2), negative=_text(gps, 1) == "S")
    longitude = _degrees(_numbers(gps, 4), negative=_text(gps, 3) == "W")
    if latitude is None or longitude is None:
        return None
    metres = _numbers(gps, 6)
    below = _numbers(gps, 5)[:1] == (1.0,)
    altitude = (-metres[0] if below else metres[0]) if metres else None
    return plausible_place(latitude, longitude, altitude)


def _degrees(parts: tuple[float, ...], *, negative: bool) -> float | None:
    if not 1 <= len(parts) <= 3:
        return None
    whole = sum(part / 60.0**power for power, part in enumerate(parts))
    return -whole if negative else whole
