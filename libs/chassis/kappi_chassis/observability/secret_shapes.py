"""What a secret looks like in a text: one list for the redaction of logs and for the tests that search them.

A token that the system makes begins with `kappi_`, or with `kappi_`, two letters and `_`, so that a new kind
is known here before it exists. What has no shape of its own is known by the name before it.
"""

from __future__ import annotations

import re
from typing import Final

REDACTED: Final = "[redacted]"

_EQUALS: Final = r"(?:=|%(?:25)*3D)"  # also where a URL is a parameter of another
# Only the end of a name: a text of word characters alone is then searched in linear time.
_NAME: Final = (
    r"(?:password|passwd|secret|access[_-]?key|gallery[_-]?key|token|signature|credential|kappi-grant)"
)
_HEADER: Final = r"(?:authorization|cookie|x-gallery-(?:key|password)|x-kappi-grant)"
SHAPES: Final[dict[str, str]] = {
    "access key": r"(kappi_)[a-z0-9]{20,}",
    "token behind a prefix": r"(kappi_[a-z]{2}_)[\w-]{20,}",
    "JWT": r"(eyJ)[\w-]{10,200}\.[\w.-]*",
    "private key": r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[a-z0-9+/=\s\\-]+",
    "password hash": r"(\$argon2\w*\$)[^\s\"'<>\\]+",
    "token of a link": r"(/v1/l/|%2Fl%2F)[\w-]{20,}",
    "cookie of the panel": rf"(kappi_admin{_EQUALS})[^;&\s\"'\\]+",
    "password of an address": r"(://[^/\s:@]*:)[^/\s@]+(?=@)",
    "bearer": r"(\bbearer\s+)[^&\s\"'<>\\]+",
    "basic": r"(\bbasic\s+)(?=[^\s\"'<>]*[\d=])[a-z0-9+/=]{8,}",
    "line of a header": rf"({_HEADER}[ \t]*:[ \t]*)[^\r\n\"\\]+",
    "quoted value": rf"({_NAME}\\*[\"']?\s*(?:[:=]|, )\s*b?\\*[\"'])[^\"'\\]+",
    "value of a parameter": rf"((?:{_NAME}|[?&](?:sig|key|grant)){_EQUALS})[^&\s\"'<>\\]+",
}
"""Each by what it is. The first group stays, the rest of a match is the secret."""
_ANY: Final = re.compile("|".join(SHAPES.values()), re.IGNORECASE)
# One of these is near every secret; most texts hold none, and this is cheaper than the search.
_MARKS: Final = (
    *("=", "%", "@", ":", "$", "'", '"', "/l/"),
    *("eyJ", "kappi_", "KAPPI_", "earer", "EARER", "asic", "PRIVATE"),
)


def without_secrets(text: str) -> str:
    """The text with every secret in it replaced. What was cleaned once stays as it is."""
    return _ANY.sub(_mark, text) if any(mark in text for mark in _MARKS) else text


def holds_secret(text: str) -> bool:
    return without_secrets(text) != text


def _mark(found: re.Match[str]) -> str:
    return next(kept for kept in found.groups() if kept is not None) + REDACTED
