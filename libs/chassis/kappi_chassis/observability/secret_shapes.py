"""The shapes of secrets in text: one list for the redaction of logs and for the tests that search them.

A token that the system makes begins with `kappi_`, or with `kappi_`, two letters and `_`, so that a new kind
of token is covered here in advance. A secret without a shape of its own is recognized by the name before it.
"""

from __future__ import annotations

import re
from typing import Final

REDACTED: Final = "[redacted]"

_EQUALS: Final = r"(?:=|%(?:25)*3D)"  # also if a URL is a parameter of another
# Only the end of a name is matched: a text of word characters alone is then searched in linear time.
_NAME: Final = (
    r"(?:password|passwd|secret|(?:access|gallery|contributor)[_-]?key|token|signature|credential"
    r"|kappi-grant)"
)
_HEADER: Final = r"(?:authorization|cookie|x-gallery-(?:key|password)|x-contributor-key|x-kappi-grant)"
SHAPES: Final[dict[str, str]] = {
    "access key": r"(kappi_)[a-z0-9]{20,}",
    "token behind a prefix": r"(kappi_[a-z]{2}_)[\w-]{20,}",
    "secret of a webhook": r"(whsec_)[a-z0-9+/=_-]{20,}",
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
"""Patterns by kind of secret. The first group stays, the rest of a match is the secret."""
_ANY: Final = re.compile("|".join(SHAPES.values()), re.IGNORECASE)
# One of these is near every secret; most texts hold none, and this test is cheaper than the search.
_MARKS: Final = (
    *("=", "%", "@", ":", "$", "'", '"', "/l/"),
    *("eyJ", "kappi_", "whsec_", "KAPPI_", "earer", "EARER", "asic", "PRIVATE"),
)


def without_secrets(text: str) -> str:
    """Returns the text with every secret replaced. A second call changes nothing."""
    return _ANY.sub(_mark, text) if any(mark in text for mark in _MARKS) else text


def holds_secret(text: str) -> bool:
    return without_secrets(text) != text


def _mark(found: re.Match[str]) -> str:
    return next(kept for kept in found.groups() if kept is not None) + REDACTED
