"""Reasons why the server refuses a file, in plain words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from kappi_client.errors import ApiError
from kappi_client.formats import ACCEPTED
from kappi_client.progress import size

_BYTES = re.compile(r"\b(\d{4,}) bytes\b")
_SECONDS = re.compile(r"\b(\d+)(?: to (\d+))? seconds\b")
_REASON = re.compile(r"\((\w+)\)$")  # the form of a refused completion
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))

REASONS: Mapping[str, str] = {
    "corrupt": "it is damaged",
    "empty": "the file is empty",
    "infected": "the virus scanner found something in it",
    "no_picture": "there is no picture in it",
    "polyglot": "it is also a file of another kind, such as an archive or a script",
    "too_complex": "it takes too long to read",
    "too_long": "it plays for too long",
    "too_many_frames": "it has too many pictures",
    "too_many_pixels": "it has too many pixels",
    "truncated": "its end is missing",
    "type_mismatch": "it is not what it claims to be",
    "unsupported_content_type": f"it is not {ACCEPTED}",
    "unsupported_type": f"it is not {ACCEPTED}",
}
"""Words for each reason or code of the API."""


def refusal(error: ApiError) -> str:
    """Returns why a file is not taken, with the code."""
    named = _REASON.search(error.detail)
    reason = REASONS.get(named[1] if named else error.code)
    return in_words(f"{reason} ({error.code})" if reason else f"{error.detail} ({error.code})")


def in_words(text: str) -> str:
    """Returns the text with large numbers of bytes and seconds in larger units."""
    return _SECONDS.sub(_durations, _BYTES.sub(lambda found: size(int(found[1])), text))


def duration(seconds: float) -> str:
    """Returns `30 days`, `1 hour` or `100 seconds`: whole seconds, in the largest unit that divides them."""
    whole = math.ceil(seconds)
    unit_s, unit = next(each for each in _UNITS if whole % each[0] == 0 and (whole or each[0] == 1))
    count = whole // unit_s
    return f"1 {unit}" if count == 1 else f"{count} {unit}s"


def _durations(found: re.Match[str]) -> str:
    first, last = duration(int(found[1])), found[2]
    return f"{first} to {duration(int(last))}" if last else first
