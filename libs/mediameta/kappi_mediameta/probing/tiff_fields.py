"""Directories of a TIFF structure, which EXIF, Apple's maker note and TIFF files are made of.

Source: TIFF 6.0; BigTIFF as in libtiff. An unreadable field is an absent one: nothing here raises.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.probing.written import decoded

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SLONG, SRATIONAL, LONG8 = 1, 2, 3, 4, 5, 7, 9, 10, 16
_INTEGERS: Final = {SHORT: "H", LONG: "I", SLONG: "i", 13: "I", LONG8: "Q", 18: "Q"}
_RATIONALS: Final = {RATIONAL: "I", SRATIONAL: "i"}
_TYPE_SIZES: Final = {
    **dict.fromkeys((BYTE, ASCII, UNDEFINED), 1),
    **{kind: struct.calcsize("<" + form) for kind, form in _INTEGERS.items()},
    **dict.fromkeys(_RATIONALS, 8),
}
MAX_FIELDS: Final = 512
MAX_VALUE_BYTES: Final = 1024
IMAGE_DESCRIPTION: Final = 0x010E
MAKER_NOTE: Final = 0x927C
XP_COMMENT, XP_KEYWORDS = 0x9C9C, 0x9C9E
"""As Windows writes them, in UTF-16 whatever the order of bytes."""
_LARGER: Final = {
    **dict.fromkeys((IMAGE_DESCRIPTION, XP_COMMENT, XP_KEYWORDS), 8 << 10),
    MAKER_NOTE: 64 << 10,
}

Value = str | bytes | tuple[int, ...] | tuple[float, ...]
Tags = Mapping[int, Value]


@dataclass(frozen=True, slots=True)
class Layout:
    """How numbers are written. order: of bytes, for `struct`. big: BigTIFF, with 64-bit offsets."""

    order: str
    big: bool = False

    @property
    def field_bytes(self) -> int:
        return 20 if self.big else 12

    @property
    def count_bytes(self) -> int:
        return 8 if self.big else 2

    @property
    def offset_bytes(self) -> int:
        return 8 if self.big else 4

    def integer(self, raw: bytes) -> int:
        return int.from_bytes(raw, "little" if self.order == "<" else "big")


@dataclass(frozen=True, slots=True)
class Field:
    """One entry. rest: its last four (BigTIFF: eight) bytes, the value itself where it fits."""

    tag: int
    kind: int
    count: int
    rest: bytes

    @property
    def size_bytes(self) -> int:
        return _TYPE_SIZES.get(self.kind, 0) * self.count

    @property
    def is_inline(self) -> bool:
        return self.size_bytes <= len(self.rest)

    @property
    def is_small(self) -> bool:
        return 0 < self.size_bytes <= _LARGER.get(self.tag, MAX_VALUE_BYTES)


def layout_of(head: bytes) -> Layout | None:
    """Of a structure that starts with `head`, at least four bytes."""
    return {
        b"II*\x00": Layout("<"),
        b"MM\x00*": Layout(">"),
        b"II+\x00": Layout("<", big=True),
        b"MM\x00+": Layout(">", big=True),
    }.get(head[:4])


def fields(entries: bytes, layout: Layout) -> Iterator[Field]:
    """The whole fields among `entries`, the body of a directory."""
    form = layout.order + ("HHQ8s" if layout.big else "HHI4s")
    whole = len(entries) // layout.field_bytes * layout.field_bytes
    for tag, kind, count, rest in struct.iter_unpack(form, entries[:whole]):
        yield Field(tag, kind, count, rest)


def value_of(field: Field, raw: bytes, layout: Layout) -> Value:
    """raw: exactly the field's bytes."""
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
    # Editors that write a maker note back may have made mere bytes of it.
    return raw if field.kind == UNDEFINED or field.tag == MAKER_NOTE else tuple(raw)


def directory(block: bytes, layout: Layout, *, at: int | None) -> Tags:
    """The small fields of the directory `at` an offset of a block in memory; empty where there is none."""
    if at is None or not 8 <= at <= len(block) - layout.count_bytes:
        return {}
    start = at + layout.count_bytes
    count = min(layout.integer(block[at:start]), MAX_FIELDS)
    tags: dict[int, Value] = {}
    for field in fields(block[start : start + count * layout.field_bytes], layout):
        if not field.is_small or field.tag in tags:
            continue
        place = layout.integer(field.rest)
        raw = field.rest if field.is_inline else block[place : place + field.size_bytes]
        raw = raw[: field.size_bytes]
        if len(raw) == field.size_bytes:
            tags[field.tag] = value_of(field, raw, layout)
    return tags


def text(tags: Tags, tag: int) -> str | None:
    """A text, of whatever type: some makers and editors write texts as mere bytes."""
    value = tags.get(tag)
    if isinstance(value, str):
        return value
    raw = _raw(value)
    return None if raw is None else _text(raw)


def wide_text(tags: Tags, tag: int) -> str:
    """A text in UTF-16; empty where there is none."""
    # With its mark: the codecs that need none are modules, and a confined decoder opens no file.
    return (b"\xff\xfe" + (_raw(tags.get(tag)) or b"")).decode("utf-16", "replace").partition("\x00")[0]


def _raw(value: Value | None) -> bytes | None:
    """The bytes of a value that was written as mere bytes."""
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
