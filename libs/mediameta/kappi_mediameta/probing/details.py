"""Details of a picture or a film: exposure, rating and title, by EXIF, by XMP, and by the tags of a film.

Sources: EXIF 3.0; XMP specification part 2; Apple's AVFoundation metadata keys. A value that no device can
mean counts as absent. Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kappi_mediameta.probing.annotations import clean_caption
from kappi_mediameta.probing.facts import MAX_TITLE_CHARS, NO_DETAILS, Details, Exposure
from kappi_mediameta.probing.tiff_fields import XP_TITLE, Tags, integer, numbers, text, wide_text
from kappi_mediameta.probing.written import clean_name, written_number

_EXPOSURE_TIME, _F_NUMBER, _SHUTTER_SPEED, _APERTURE = 0x829A, 0x829D, 0x9201, 0x9202
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_LENS_MAKE, _LENS_MODEL, _RATING = 0xA433, 0xA434, 0x4746
# Photographic sensitivity has 16 bits. Beyond them the value is in one of the others.
_SENSITIVITIES: Final = (0x8827, 0x8832, 0x8831, 0x8833)
_NOT_IN_16_BITS: Final = 65_535

_EXPOSURE_TIMES: Final = (1e-7, 172_800.0)
_APERTURES: Final = (0.3, 1024.0)
_SPEEDS: Final = (1.0, 16_777_216.0)
_FOCAL_LENGTHS: Final = (0.1, 100_000.0)
_APEX: Final = (-20.0, 24.0)
_NO_LENS: Final = re.compile(
    r"[-\s0./?]*(?:mm f/0(?:\.0)?)?|unknown.*|n/?a|none|no lens|\(null\)", re.IGNORECASE
)

# Names of XMP, in the order of trust.
_XMP_EXIF: Final = "http://ns.adobe.com/exif/1.0/ "
_XMP_EXIF_EX: Final = "http://cipa.jp/exif/1.0/ "
_XMP_EXPOSURE_TIME: Final = _XMP_EXIF + "ExposureTime"
_XMP_F_NUMBER: Final = _XMP_EXIF + "FNumber"
_XMP_FOCAL_LENGTH: Final = _XMP_EXIF + "FocalLength"
_XMP_FOCAL_LENGTH_35MM: Final = _XMP_EXIF + "FocalLengthIn35mmFilm"
_XMP_SPEEDS: Final = (_XMP_EXIF_EX + "PhotographicSensitivity", _XMP_EXIF + "ISOSpeedRatings")
_XMP_LENSES: Final = (_XMP_EXIF_EX + "LensModel", "http://ns.adobe.com/exif/1.0/aux/ Lens")
_XMP_RATING: Final = "http://ns.adobe.com/xap/1.0/ Rating"
XMP_TITLE: Final = "http://purl.org/dc/elements/1.1/ title"
XMP_NAMES: Final = frozenset(
    {_XMP_EXPOSURE_TIME, _XMP_F_NUMBER, _XMP_FOCAL_LENGTH, _XMP_FOCAL_LENGTH_35MM, _XMP_RATING, XMP_TITLE}
    | {*_XMP_SPEEDS, *_XMP_LENSES}
)
"""The properties that `details_of_xmp` reads."""

_LENS_KEY: Final = "com.apple.quicktime.camera.lens_model"
_FOCAL_LENGTH_35MM_KEY: Final = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
LENS_KEYS: Final = (_LENS_KEY, _FOCAL_LENGTH_35MM_KEY)
"""Tags that a film may also have in the metadata of its track."""
_TITLE_KEYS: Final = ("com.apple.quicktime.title", "\xa9nam", "title")


def details_of_exif(tags: Tags) -> Details:
    """Returns the details in the tags of EXIF, or in those of a TIFF's first directory."""
    exposure = Exposure(
        lens=clean_lens(text(tags, _LENS_MODEL)) or clean_lens(text(tags, _LENS_MAKE)),
        exposure_time_s=_within(_number(tags, _EXPOSURE_TIME), _EXPOSURE_TIMES) or _shutter_time(tags),
        aperture=_within(_number(tags, _F_NUMBER), _APERTURES) or _aperture(tags),
        iso=next(filter(None, (_speed(_number(tags, tag)) for tag in _SENSITIVITIES)), None),
        focal_length_mm=_within(_number(tags, _FOCAL_LENGTH), _FOCAL_LENGTHS),
        focal_length_35mm=_within(_number(tags, _FOCAL_LENGTH_35MM), _FOCAL_LENGTHS),
    )
    return Details(
        exposure=exposure if exposure != Exposure() else None,
        rating=_rating(integer(tags, _RATING)),
        title=clean_title(wide_text(tags, XP_TITLE)),
    )


def details_of_xmp(values: Mapping[str, str]) -> Details:
    """Returns the details in properties of XMP, by name."""
    exposure = Exposure(
        lens=next(filter(None, (clean_lens(values.get(name)) for name in _XMP_LENSES)), None),
        exposure_time_s=_within(written_number(values.get(_XMP_EXPOSURE_TIME)), _EXPOSURE_TIMES),
        aperture=_within(written_number(values.get(_XMP_F_NUMBER)), _APERTURES),
        iso=next(filter(None, (_speed(written_number(values.get(name))) for name in _XMP_SPEEDS)), None),
        focal_length_mm=_within(written_number(values.get(_XMP_FOCAL_LENGTH)), _FOCAL_LENGTHS),
        focal_length_35mm=_within(written_number(values.get(_XMP_FOCAL_LENGTH_35MM)), _FOCAL_LENGTHS),
    )
    return Details(
        exposure=exposure if exposure != Exposure() else None,
        rating=_rating(written_number(values.get(_XMP_RATING))),
        title=clean_title(values.get(XMP_TITLE)),
    )


def details_of_film(tags: Mapping[str, str]) -> Details:
    """Returns the details in a film's tags, by name in lower case."""
    exposure = Exposure(
        lens=clean_lens(tags.get(_LENS_KEY)),
        focal_length_35mm=_within(written_number(tags.get(_FOCAL_LENGTH_35MM_KEY)), _FOCAL_LENGTHS),
    )
    title = next(filter(None, (clean_title(tags.get(key)) for key in _TITLE_KEYS)), None)
    if exposure == Exposure():
        return Details(title=title) if title else NO_DETAILS
    return Details(exposure=exposure, title=title)


def clean_lens(name: str | None) -> str | None:
    """Returns the name of a lens, or None for one that stands for no lens."""
    cleaned = clean_name(name)
    return None if cleaned is None or _NO_LENS.fullmatch(cleaned) else cleaned


def clean_title(written: str | None) -> str | None:
    """Returns a title in one line, or None for a text that programs write in its place."""
    return " ".join((clean_caption(written) or "").split())[:MAX_TITLE_CHARS].strip() or None


def _number(tags: Tags, tag: int) -> float | None:
    return next(iter(numbers(tags, tag)), None)


def _within(value: float | None, limits: tuple[float, float]) -> float | None:
    """Returns a value in six digits, as far as devices measure, or None outside the limits."""
    least, most = limits
    return float(f"{value:.6g}") if value is not None and least <= value <= most else None


def _shutter_time(tags: Tags) -> float | None:
    """Returns the exposure time by the logarithm of its inverse, which old cameras write alone."""
    value = _within(_number(tags, _SHUTTER_SPEED), _APEX)
    return None if value is None else _within(2**-value, _EXPOSURE_TIMES)


def _aperture(tags: Tags) -> float | None:
    value = _within(_number(tags, _APERTURE), _APEX)
    return None if value is None else _within(round(2 ** (value / 2), 1), _APERTURES)


def _speed(value: float | None) -> int | None:
    within = _within(value, _SPEEDS)
    return None if within is None or value is None or value == _NOT_IN_16_BITS else round(value)


def _rating(value: float | None) -> int | None:
    """Returns -1 for a picture that its owner rejected, 0 for one without a rating, or 1 to 5."""
    return round(value) if value is not None and -1 <= value <= 5 else None
