"""Writes TIFF structures directory by directory, as cameras do."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL = 1, 2, 3, 4, 5, 7, 10
_FORMS: Final = {SHORT: "H", LONG: "I", RATIONAL: "2I", SRATIONAL: "2i"}
_SIZES: Final = {BYTE: 1, ASCII: 1, UNDEFINED: 1, SHORT: 2, LONG: 4, RATIONAL: 8, SRATIONAL: 8}
_UNIT: Final = 10_000


@dataclass(frozen=True)
class Data:
    """Bytes anywhere in the file; the field has their position."""

    body: bytes


@dataclass(frozen=True)
class Below:
    """Directories that hang on a field."""

    directories: Sequence[Directory]


Value = tuple[int, Sequence[float] | bytes] | str | Data | Below
Directory = Mapping[int, Value]


def tiff_structure(
    directories: Sequence[Directory], *, magic: bytes = b"II*\x00", gap: bytes = b"", base: int = 0
) -> bytes:
    """Returns a little-endian file. magic: its first four bytes. gap: between header and directories.

    base: is subtracted from every position, for structures whose positions count from elsewhere.
    """
    out = bytearray(magic + struct.pack("<I", 8 + len(gap) - base) + gap)
    _put(out, directories, base)
    return bytes(out)


def directory_block(directory: Directory, *, start: bytes, base: int) -> bytes:
    """Returns `start` and one directory after it, with positions that count from `base` bytes before."""
    out = bytearray(base) + bytearray(start)
    _put(out, [directory], 0)
    return bytes(out[base:])


def _put(out: bytearray, directories: Sequence[Directory], base: int) -> int:
    """Appends directories that follow one another. Returns the position of the first."""
    first = next_at = 0
    for directory in directories:
        out += bytes(len(out) % 2)
        at = len(out)
        if next_at:
            struct.pack_into("<I", out, next_at, at - base)
        first = first or at
        next_at = at + 2 + 12 * len(directory)
        out += struct.pack("<H", len(directory)) + bytes(12 * len(directory) + 4)
        for number, (tag, value) in enumerate(sorted(directory.items())):
            kind, count, rest = _field(out, value, base)
            struct.pack_into("<HHI4s", out, at + 2 + 12 * number, tag, kind, count, rest)
    return first


def _field(out: bytearray, value: Value, base: int) -> tuple[int, int, bytes]:
    if isinstance(value, Below):
        kind, body = (
            LONG,
            b"".join(struct.pack("<I", _put(out, [below], base) - base) for below in value.directories),
        )
    elif isinstance(value, Data):
        kind, body = LONG, struct.pack("<I", _append(out, value.body) - base)
    elif isinstance(value, str):
        kind, body = ASCII, value.encode() + b"\x00"
    else:
        kind, body = value[0], _packed(*value)
    count = len(body) // _SIZES[kind]
    if len(body) > 4:
        body = struct.pack("<I", _append(out, body) - base)
    return kind, count, body.ljust(4, b"\x00")


def _packed(kind: int, values: Sequence[float] | bytes) -> bytes:
    if isinstance(values, bytes):
        return values
    form = _FORMS.get(kind, "B")
    if len(form) > 1:
        return b"".join(struct.pack("<" + form, round(value * _UNIT), _UNIT) for value in values)
    return struct.pack(f"<{len(values)}{form}", *(round(value) for value in values))


def _append(out: bytearray, body: bytes) -> int:
    out += bytes(len(out) % 2)
    at = len(out)
    out += body
    return at
