"""Values of TIFF fields, of which EXIF, Apple's maker note and TIFF files consist.

Source: TIFF 6.0; BigTIFF as in libtiff. A field that cannot be read counts as absent. Nothing here raises.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from kappi_mediameta.containers.tiff_directories import (
    ASCII,
    BYTE,
    LONG,
    LONG8,
    RATIONAL,
    SHORT,
    SLONG,
    SRATIONAL,
    UNDEFINED,
    Field,
    Layout,
    fields,
)
from kappi_mediameta.probing.written import decoded

_INTEGERS: Final = {SHORT: "H", LONG: "I", SLONG: "i", 13: "I", LONG8: "Q", 18: "Q"}
_RATIONALS: Final = {RATIONAL: "I", SRATIONAL: "i"}
READABLE: Final = frozenset({BYTE, ASCII, UNDEFINED, *_INTEGERS, *_RATIONALS})
"""Kinds of fields whose values are read."""
MAX_FIELDS: Final = 512
MAX_VALUE_BYTES: Final = 1024
IMAGE_DESCRIPTION: Final = 0x010E
MAKER_NOTE: Final = 0x927C
SUB_DIRECTORIES: Final = 330
XP_TITLE, XP_COMMENT, XP_KEYWORDS = 0x9C9B, 0x9C9C, 0x9C9E
"""Tags of Windows, in little-endian UTF-16 in each byte order."""
_LARGER: Final = {
    **dict.fromkeys((IMAGE_DESCRIPTION, XP_TITLE, XP_COMMENT, XP_KEYWORDS), 8 << 10),
    MAKER_NOTE: 64 << 10,
}

Value = str | bytes | tuple[int, ...] | tuple[float, ...]
Tags = Mapping[int, Value]


def is_small(field: Field) -> bool:
    """Returns whether a field has a value that is read, and is not too long for that."""
    return field.kind in READABLE and 0 < field.size_bytes <= _LARGER.get(field.tag, MAX_VALUE_BYTES)


def value_of(field: Field, raw: bytes, layout: Layout) -> Value:
    """Returns the value of a field. raw: exactly its bytes."""
    if field.kind == ASCII:
        return _text(raw)
    if field.kind in _INTEGERS:
        return struct.unpack(f"{layout.order}{field.count}{_INTEGERS[field.kind]}", raw)
    if field.kind in _RATIONALS:
        parts = struct.unpack(f"{layout.order}{2 * field.count}{_RATIONALS[field.kind]}", raw)
        return tuple(
            top / bottom if bottom else float("nan")
            for top, bottom in zip(parts[::2], parts[1::2], strict=True)
        )
    # Editors may write a maker note back as bytes.
    return raw if field.kind == UNDEFINED or field.tag == MAKER_NOTE else tuple(raw)


def directory(block: bytes, layout: Layout, *, at: int | None) -> Tags:
    """Returns the small fields of a directory in memory, or none where there is no directory.

    at: its offset in the block.
    """
    if at is None or not 8 <= at <= len(block) - layout.count_bytes:
        return {}
    start = at + layout.count_bytes
    count = min(layout.integer(block[at:start]), MAX_FIELDS)
    tags: dict[int, Value] = {}
    for field in fields(block[start : start + count * layout.field_bytes], layout):
        if not is_small(field) or field.tag in tags:
            continue
        place = layout.integer(field.rest)
        raw = field.rest if field.is_inline else block[place : place + field.size_bytes]
        raw = raw[: field.size_bytes]
        if len(raw) == field.size_bytes:
            tags[field.tag] = value_of(field, raw, layout)
    return tags


def text(tags: Tags, tag: int) -> str | None:
    """Returns a text of any type, or None. Some makers and editors write texts as bytes."""
    value = tags.get(tag)
    if isinstance(value, str):
        return value
    raw = _raw(value)
    return None if raw is None else _text(raw)


def wide_text(tags: Tags, tag: int) -> str:
    """Returns a text in UTF-16, or nothing."""
    # The mark is needed: codecs without a mark are modules, and a confined decoder opens no file.
    return (b"\xff\xfe" + (_raw(tags.get(tag)) or b"")).decode("utf-16", "replace").partition("\x00")[0]


def _raw(value: Value | None) -> bytes | None:
    """Returns the value of a field of bytes, or None."""
    if isinstance(value, tuple) and all(isinstance(part, int) and 0 <= part < 256 for part in value):
        return bytes(int(part) for part in value)
    return value if isinstance(value, bytes) else None


def numbers(tags: Tags, tag: int) -> tuple[float, ...]:
    value = tags.get(tag, ())
    return tuple(float(v) for v in value) if isinstance(value, tuple) else ()


def integer(tags: Tags, tag: int) -> int | None:
    value = tags.get(tag)
    if isinstance(value, bytes):
        return value[0] if len(value) == 1 else None
    return int(value[0]) if isinstance(value, tuple) and value and value[0] == value[0] else None


def _text(raw: bytes) -> str:
    return decoded(raw.split(b"\x00", 1)[0])
