"""The EXIF tags that Kappi reads, out of a TIFF structure (EXIF 3.0, TIFF 6.0).

A broken EXIF block is common and harmless, so nothing here raises, and a tag that cannot be read is absent.
Three directories are read, each once, so no chain of offsets can loop. ADR 0015 says why no library is used.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from math import isnan
from typing import Final, NamedTuple

from kappi_mediameta.containers.tiff_directories import layout_of
from kappi_mediameta.probing.annotations import NO_ANNOTATIONS, Annotations, clean_caption, clean_keywords
from kappi_mediameta.probing.apple import live_id_of
from kappi_mediameta.probing.details import details_of_exif
from kappi_mediameta.probing.facts import Camera, CaptureFacts, Coordinates
from kappi_mediameta.probing.tiff_fields import (
    IMAGE_DESCRIPTION,
    MAKER_NOTE,
    XP_COMMENT,
    XP_KEYWORDS,
    Tags,
    directory,
    integer,
    numbers,
    text,
    wide_text,
)
from kappi_mediameta.probing.written import WrittenTime, clean_name, written_time, written_zone

MAKE, MODEL, ORIENTATION, _DATE_TIME = 0x010F, 0x0110, 0x0112, 0x0132
EXIF_DIRECTORY, GPS_DIRECTORY = 0x8769, 0x8825
DATE_TIME_ORIGINAL, _DATE_TIME_DIGITIZED, _SUBSECONDS_ORIGINAL = 0x9003, 0x9004, 0x9291
_OFFSET_TIME, _OFFSET_TIME_ORIGINAL, _OFFSET_TIME_DIGITIZED = 0x9010, 0x9011, 0x9012


class ExifTags(NamedTuple):
    """The three directories of an EXIF block or of a TIFF file."""

    main: Tags
    exif: Tags
    gps: Tags

    @property
    def of_picture(self) -> Tags:
        """Returns the tags of the first two. Some makers, and TIFF/EP, write all tags into the first."""
        return {**self.main, **self.exif}


NO_EXIF: Final = ExifTags({}, {}, {})


def exif_tags(block: bytes) -> ExifTags:
    """Returns the directories of an EXIF block, with or without its prefix. Never raises."""
    tiff = block[6:] if block.startswith(b"Exif\x00") else block
    layout = layout_of(tiff)
    if layout is None or layout.big or len(tiff) < 8:
        return NO_EXIF
    main = directory(tiff, layout, at=layout.integer(tiff[4:8]))
    exif = directory(tiff, layout, at=integer(main, EXIF_DIRECTORY))
    gps = directory(tiff, layout, at=integer(main, GPS_DIRECTORY))
    return ExifTags(main, exif, gps)


def facts_of(tags: ExifTags, annotations: Annotations = NO_ANNOTATIONS) -> CaptureFacts:
    """Returns the facts of EXIF, and those of annotations where EXIF has none."""
    main = tags.main
    orientation = integer(main, ORIENTATION)
    taken_at, zone = _taken_at(tags, annotations)
    maker_note = tags.exif.get(MAKER_NOTE)
    details, written = details_of_exif(tags.of_picture), annotations.details
    return CaptureFacts(
        orientation=orientation if orientation is not None and 1 <= orientation <= 8 else 1,
        taken_at=taken_at,
        taken_offset_known=zone is not None,
        taken_offset_minutes=offset_minutes(zone),
        camera=camera_of(text(main, MAKE), text(main, MODEL)),
        location=_location(tags.gps) or annotations.location,
        live_id=live_id_of(maker_note) if isinstance(maker_note, bytes) else None,
        caption=clean_caption(text(main, IMAGE_DESCRIPTION))
        or annotations.caption
        or clean_caption(wide_text(main, XP_COMMENT)),
        keywords=annotations.keywords or clean_keywords(wide_text(main, XP_KEYWORDS).split(";")),
        # Ratings and titles change after the shot, mostly in XMP alone.
        details=replace(written.or_else(details), exposure=details.or_else(written).exposure),
        film_from_end=annotations.film_from_end,
    )


def offset_minutes(zone: timezone | None) -> int | None:
    """Returns the offset east of UTC."""
    return None if zone is None else round(zone.utcoffset(None).total_seconds() / 60)


def camera_of(make: str | None, model: str | None) -> Camera | None:
    """Returns a camera by its names as a device writes them, cleaned for storage and display."""
    make, model = clean_name(make), clean_name(model)
    return Camera(make=make, model=model) if make or model else None


def plausible_instant(instant: datetime) -> datetime | None:
    """Returns the instant in UTC, or None before photography, after 2100, and for that of an unset clock."""
    if not 1826 <= instant.year < 2100:
        return None
    utc = instant.astimezone(UTC)
    return None if utc == datetime(1970, 1, 1, tzinfo=UTC) else utc


def plausible_place(latitude: float, longitude: float, altitude: float | None) -> Coordinates | None:
    """Returns coordinates in range, or None. Devices without a fix write exactly 0, 0."""
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180) or (latitude == 0 and longitude == 0):
        return None
    believable = altitude is not None and -12_000 <= altitude <= 100_000
    return Coordinates(
        latitude=round(latitude, 7),
        longitude=round(longitude, 7),
        altitude=round(altitude, 2) if believable and altitude is not None else None,
    )


def _taken_at(tags: ExifTags, annotations: Annotations) -> tuple[datetime | None, timezone | None]:
    """Returns the time when the picture was made, by any block, else when it was digitized, else saved."""
    exif = tags.of_picture
    candidates = (
        _exif_time(exif, DATE_TIME_ORIGINAL, _OFFSET_TIME_ORIGINAL),
        annotations.taken,
        _exif_time(exif, _DATE_TIME_DIGITIZED, _OFFSET_TIME_DIGITIZED),
        annotations.digitized,
        _exif_time(exif, _DATE_TIME, _OFFSET_TIME),
    )
    for written in candidates:
        if written is None:
            continue
        instant = plausible_instant(written.local.replace(tzinfo=written.zone or UTC))
        if instant is not None:
            return instant, written.zone
    return None, None


def _exif_time(exif: Tags, tag: int, offset_tag: int) -> WrittenTime | None:
    """Returns the time of a tag. Its zone may follow the time, against the specification, or have a tag."""
    time = written_time(text(exif, tag))
    if time is None:
        return None
    zone = time.zone or written_zone(text(exif, offset_tag)) or written_zone(text(exif, _OFFSET_TIME))
    local = time.local if time.local.microsecond else time.local + _subseconds(exif)
    return WrittenTime(local, zone)


def _subseconds(exif: Tags) -> timedelta:
    digits = (text(exif, _SUBSECONDS_ORIGINAL) or "").strip()[:6]
    if not (digits.isascii() and digits.isdigit()):
        return timedelta()
    return timedelta(microseconds=int(digits.ljust(6, "0")))


def _location(gps: Tags) -> Coordinates | None:
    latitude = _degrees(numbers(gps, 2), negative=_begins(text(gps, 1), "S"))
    longitude = _degrees(numbers(gps, 4), negative=_begins(text(gps, 3), "W"))
    if latitude is None or longitude is None:
        return None
    metres = numbers(gps, 6)
    below = integer(gps, 5) == 1
    altitude = (-metres[0] if below else metres[0]) if metres else None
    return plausible_place(latitude, longitude, altitude)


def _begins(reference: str | None, letter: str) -> bool:
    """Returns whether a reference begins with a letter. Some devices write `South`, or `s`."""
    return reference is not None and reference.strip()[:1].upper() == letter


def _degrees(parts: tuple[float, ...], *, negative: bool) -> float | None:
    """Returns degrees of degrees, minutes and seconds. Minutes and seconds over zero count as zero."""
    if not 1 <= len(parts) <= 3:
        return None
    degrees, *smaller = parts
    known = [degrees, *(0.0 if isnan(part) else part for part in smaller)]
    whole = sum(abs(part) / 60.0**power for power, part in enumerate(known))
    return -whole if negative or any(part < 0 for part in parts) else whole
