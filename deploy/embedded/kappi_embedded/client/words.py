"""What the API answered, in words for the person at the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from kappi_mediameta.probing.probe import ACCEPTED

from kappi_embedded.client.api import ApiError
from kappi_embedded.client.meter import size

_BYTES = re.compile(r"\b(\d{4,}) bytes\b")
_SECONDS = re.compile(r"\b(\d+)(?: to (\d+))? seconds\b")
_REASON = re.compile(r"\((\w+)\)$")  # as a refused completion names it
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
"""Why a file is not taken, by the reason or code the API gives."""

HINTS: Mapping[str, str] = {
    "access_token_invalid": "log in again with `kappi login`",
    "account_suspended": "the account is suspended: ask the people who run this Kappi",
    "account_required": "log in with `kappi login` first",
    "expiry_not_for_accounts": "leave out --expires-in, or `kappi logout` first",
    "gallery_taken_down": "an administrator took the gallery down: ask the people who run this Kappi",
    "gallery_not_found": "look at the code again; galleries that expired or were made private are gone, too",
    "gallery_password_required": "give it with --password",
    "gallery_password_wrong": "give the right one with --password",
    "invalid_grant": "look at both and try again",
    "not_found": "is this the address of a Kappi? See --url and KAPPI_URL",
    "quota_exceeded": "delete something first, or have an administrator give the account another tier",
    "storage_full": "the operator has to make room",
}
"""What to do about an error, by its code."""


def refusal(error: ApiError) -> str:
    """Why a file is not taken."""
    named = _REASON.search(error.detail)
    reason = REASONS.get(named[1] if named else error.code)
    return in_words(f"{reason} ({error.code})" if reason else f"{error.detail} ({error.code})")


def explained(error: ApiError) -> str:
    """What went wrong with a call and what to do next."""
    hint = HINTS.get(error.code)
    if hint is None and error.retry_after_s is not None:
        hint = f"try again in {duration(math.ceil(error.retry_after_s))}"
    return in_words(str(error)) + (f": {hint}" if hint else "")


def in_words(text: str) -> str:
    """The text with its large numbers of bytes and seconds as people say them."""
    return _SECONDS.sub(_durations, _BYTES.sub(lambda found: size(int(found[1])), text))


def duration(seconds: int) -> str:
    """`30 days`, `1 hour`, `100 seconds`: in the largest unit that divides it."""
    unit_s, unit = next(each for each in _UNITS if seconds % each[0] == 0 and (seconds or each[0] == 1))
    count = seconds // unit_s
    return f"1 {unit}" if count == 1 else f"{count} {unit}s"


def _durations(found: re.Match[str]) -> str:
    first, last = duration(int(found[1])), found[2]
    return f"{first} to {duration(int(last))}" if last else first
