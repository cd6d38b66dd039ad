"""`Content-Disposition` for a file name in any script. RFC 6266 (the header), RFC 8187 (`filename*`)."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote

MAX_FILENAME_BYTES = 240
"""Most file systems allow 255 bytes, and the browser may add ` (1)`."""

_FALLBACK_NAME = "download"
_plain_name = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9 _.()\[\]@+-]{0,198}[A-Za-z0-9_)-]").fullmatch
_separators = re.compile(r"[/\\:]")
# RFC 8187 attr-char; all other characters are percent-encoded.
_ATTR_CHARS = "!#$&+^`|~"
# Categories of characters that are invisible or reorder text (U+202E makes "gpj.exe" look like "exe.jpg").
# The joiners are kept, because emoji and several scripts need them.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")


@lru_cache(maxsize=2048)
def attachment(filename: str) -> str:
    """Returns `attachment; filename="..."; filename*=UTF-8''...`, always printable ASCII, never empty.

    Path separators become `_`, invisible and direction-changing characters are removed, an over-long name is
    cut before its extension. The plain `filename` is for old clients: ASCII without quotes, `%` and `<>`.
    """
    if _plain_name(filename):
        return f'attachment; filename="{filename}"'
    name = safe_filename(filename)
    fallback = _ascii_of(name)
    if fallback == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


def safe_filename(filename: str) -> str:
    """Returns a name to save a file under: one path segment, visible characters, at most 240 bytes."""
    visible = "".join(
        char
        for char in _separators.sub("_", filename)
        if char in _JOINERS or unicodedata.category(char) not in _INVISIBLE
    )
    # A leading dot hides a file, and Windows drops a trailing one.
    name = _cut(visible.strip().strip(".").strip())
    return name or _FALLBACK_NAME


def _cut(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= MAX_FILENAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    suffix = f"{dot}{extension}".encode()
    if not stem or len(suffix) > MAX_FILENAME_BYTES // 4:
        return encoded[:MAX_FILENAME_BYTES].decode(errors="ignore")
    return stem.encode()[: MAX_FILENAME_BYTES - len(suffix)].decode(errors="ignore") + suffix.decode()


def _ascii_of(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    letters = "".join(char for char in decomposed if not unicodedata.combining(char))
    # `%` is replaced, as some browsers percent-decode the plain form. Python's `email` takes `<>` for quotes.
    return "".join(char if " " <= char <= "~" and char not in '"%\\/:<>' else "_" for char in letters)
