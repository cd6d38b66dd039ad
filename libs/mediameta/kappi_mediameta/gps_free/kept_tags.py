"""Tags that a copy keeps: the time of capture, the camera, and the identifier of a Live Photo.

A value is kept only in the form that devices write, because people and programs write places into texts.
Times are written anew in UTC, because an offset shows the zone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from kappi_mediameta.probing.apple import LIVE_KEY
from kappi_mediameta.probing.exif import plausible_instant
from kappi_mediameta.probing.movie_tags import DATE, MAKE, MODEL
from kappi_mediameta.probing.written import written_time

MAX_VALUE_BYTES: Final = 64
_LIVE_ID: Final = re.compile(rb"[0-9A-Za-z_-]{8,64}")
_SOFTWARE: Final = "com.apple.quicktime.software"
_VERSION: Final = re.compile(rb"\d{1,2}(?:\.\d{1,2}){0,2}")
# Every word of a maker's name must be one of these.
_MAKER_WORDS: Final = frozenset(
    b"""apple samsung google huawei honor xiaomi redmi oppo oneplus realme vivo sony ericsson motorola lenovo
    nokia hmd global lg lge electronics htc asus zte tcl fairphone nothing canon nikon fujifilm fuji olympus
    om digital solutions panasonic leica hasselblad pentax ricoh sigma kodak eastman casio konica minolta
    sanyo jvc kenwood gopro dji insta360 parrot garmin blackmagic design red arri microsoft hewlett-packard hp
    ag camera co company computer corp corporation imaging inc ltd mobile optical photo film techwin
    technologies technology""".split()
)
_WORD_BREAK: Final = re.compile(rb"[ .,]+")
_MAX_MAKE_BYTES: Final = 48
# One number, as in `22101316G`, or two short numbers, as in `XT1650-03`. More could be coordinates. A name
# without a number could be a place.
_MODEL: Final = re.compile(
    rb"(?=.{1,32}\Z)(?=\D*(?:\d{1,8}|\d{1,4}\D+\d{1,2}|\d{1,2}\D+\d{1,4}|\d{3}\D+\d{3})\D*\Z)"
    rb"(?:[A-Za-z0-9()_-]{1,16} ?){1,5}(?<! )"
)

_Check = Callable[[bytes], bytes | None]


def kept_tags(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """Returns the values to keep by name, each as long as it was. A model is kept beside its maker only.

    found: the values of one list of tags, by name in lower case.
    """
    checked = {name: _CHECKS[name](value) for name, value in found.items() if name in _CHECKS}
    kept = {name: value for name, value in checked.items() if value is not None}
    if kept.keys().isdisjoint(MAKE):
        kept = {name: value for name, value in kept.items() if name not in MODEL}
    return kept


def _time(value: bytes) -> bytes | None:
    """Returns the instant in UTC. Zeros of a fraction fill it up."""
    time = written_time(value.decode("latin-1"))
    if time is None or time.zone is None:
        return None
    instant = plausible_instant(time.local.replace(tzinfo=time.zone))
    if instant is None:
        return None
    written = instant.strftime("%Y-%m-%dT%H:%M:%S").encode()
    fraction = len(value) - len(written) - len(".Z")
    zeros = b"." + b"0" * fraction if 0 < fraction <= 9 else b""
    return (written + zeros + b"Z").ljust(len(value)) if fraction >= -1 else None


def _make(value: bytes) -> bytes | None:
    words = _WORD_BREAK.split(value.lower().rstrip(b" ."))
    return value if len(value) <= _MAX_MAKE_BYTES and _MAKER_WORDS.issuperset(words) else None


def _of_form(form: re.Pattern[bytes]) -> _Check:
    return lambda value: value if form.fullmatch(value) else None


_CHECKS: Final[Mapping[str, _Check]] = {
    **dict.fromkeys(DATE, _time),
    **dict.fromkeys(MAKE, _make),
    **dict.fromkeys(MODEL, _of_form(_MODEL)),
    _SOFTWARE: _of_form(_VERSION),
    LIVE_KEY: _of_form(_LIVE_ID),
}
