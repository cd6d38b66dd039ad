"""The rules for an object's tags: S3's own limits, which the local store follows, too."""

from __future__ import annotations

from collections.abc import Mapping
from unicodedata import category

from kappi_chassis.storage.contract import StorageRefused

MAX_TAGS = 10
_MAX_NAME_CHARS, _MAX_VALUE_CHARS = 128, 256
_PUNCTUATION = frozenset("_.:/=+-@")


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Returns a copy of `tags`. Raises StorageRefused for tags that S3 would refuse."""
    if len(tags) > MAX_TAGS:
        raise StorageRefused(f"an object has at most {MAX_TAGS} tags")
    for name, value in tags.items():
        if not 1 <= len(name) <= _MAX_NAME_CHARS or len(value) > _MAX_VALUE_CHARS:
            raise StorageRefused("a tag's name has 1 to 128 characters, its value at most 256")
        if name.lower().startswith("aws:") or not (_is_plain(name) and _is_plain(value)):
            raise StorageRefused("a tag holds letters, digits, spaces and _ . : / = + - @ only")
    return dict(tags)


def _is_plain(text: str) -> bool:
    return all(char in _PUNCTUATION or category(char)[0] in "LNZ" for char in text)
