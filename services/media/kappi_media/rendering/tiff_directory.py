"""Rewrites the first directory of a TIFF for the decoder of its picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Final

from kappi_mediameta.containers.tiff_directories import LONG, LONG8, SHORT, Field, fields, layout_of
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected
from kappi_mediameta.probing.tiff_fields import Tags, is_small, value_of

from kappi_media.rendering.pieces import Bytes, Piece

NEEDED: Final = frozenset(
    {254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 292, 293, 296}
    | {317, 318, 319, 320, 322, 323, 324, 325, 332, 338, 339, 347}
    | {512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532}
)
PROFILE: Final = 34675
MAX_PROFILE_BYTES: Final = 4 << 20
"""The limit of a colour profile: those of printers have up to three MiB."""
_MAX_FIELD_BYTES: Final = 4 << 20
"""The limit of a field: it holds the positions of all strips of the tallest picture, and more."""
_MAX_FIELDS: Final = 4_096
_STRIPS: Final = (273, 279)  # offsets, byte counts
_TILES: Final = (324, 325)


class TiffDirectory:
    """The fields that describe how the pixels are coded. Text, further pages and all else are left out.

    Raises RenderRejected when there is no directory, or a field is longer than any picture needs.
    """

    def __init__(self, read: Bytes) -> None:
        self._read = read
        head = read(0, 16)
        layout = layout_of(head) if len(head) == 16 else None
        if layout is None:
            raise RenderRejected(RejectReason.CORRUPT, "no TIFF header")
        self._layout = layout
        self._at = layout.integer(head[8:16] if layout.big else head[4:8])
        count = min(layout.integer(read(self._at, layout.count_bytes)), _MAX_FIELDS)
        entries = read(self._at + layout.count_bytes, count * layout.field_bytes)
        self.fields: dict[int, Field] = {}
        for field in fields(entries, layout):
            if _is_needed(field):
                self.fields.setdefault(field.tag, field)

    @property
    def tags(self) -> Tags:
        """Returns the values of the small fields."""
        small = {tag: field for tag, field in self.fields.items() if is_small(field)}
        bodies = {tag: self._body(field) for tag, field in small.items()}
        return {
            tag: value_of(field, bodies[tag], self._layout)
            for tag, field in small.items()
            if len(bodies[tag]) == field.size_bytes
        }

    @property
    def blocks(self) -> tuple[Field, Field]:
        """Returns the fields of the positions and of the sizes in bytes of the strips or tiles. Raises
        RenderRejected.
        """
        for offsets, counts in (_STRIPS, _TILES):
            if offsets in self.fields and counts in self.fields:
                return self.fields[offsets], self.fields[counts]
        raise RenderRejected(RejectReason.CORRUPT, "no pixels")

    def integers(self, field: Field) -> list[int]:
        """Returns all numbers of a field. Raises RenderRejected when bytes are missing."""
        body = self._body(field)
        if len(body) < field.size_bytes:
            raise RenderRejected(RejectReason.TRUNCATED, f"field {field.tag} ends too early")
        value = value_of(field, body, self._layout)
        return [int(number) for number in value] if isinstance(value, tuple) else []

    def short(self, tag: int, value: int) -> Field:
        """Returns a field of one number."""
        return Field(tag, SHORT, 1, self._packed("H", value).ljust(self._layout.offset_bytes, b"\x00"))

    def part(self, field: Field, *, start: int, count: int) -> Field:
        """Returns the field with `count` of its numbers, from the one at `start`."""
        width = field.size_bytes // field.count
        if field.is_inline or width * count <= self._layout.offset_bytes:
            rest = self._body(field)[width * start : width * (start + count)]
            return Field(field.tag, field.kind, count, rest.ljust(self._layout.offset_bytes, b"\x00"))
        at = self._layout.integer(field.rest) + width * start
        return Field(field.tag, field.kind, count, self._packed(self._wide, at))

    def pieces(
        self,
        replaced: Mapping[int, Field | None] = MappingProxyType({}),
        *,
        blocks: list[bytes] | None = None,
    ) -> Iterator[Piece]:
        """Yields the file with replaced fields. None: the field is left out. blocks: strips or tiles that
        replace its own.
        """
        kept = {tag: field for tag, field in {**self.fields, **replaced}.items() if field is not None}
        end = self._at + len(self._written(kept))
        appended = b""
        if blocks is not None:
            moved, appended = self._moved(blocks, at=max(end, self._read.size))
            kept |= moved
        yield (0, min(self._at, self._read.size))
        yield self._written(kept)
        yield (min(end, self._read.size), self._read.size)
        yield from (*(blocks or ()), appended)

    def _written(self, kept: Mapping[int, Field]) -> bytes:
        form = self._layout.order + ("HHQ8s" if self._layout.big else "HHI4s")
        entries = [struct.pack(form, f.tag, f.kind, f.count, f.rest) for f in _sorted(kept)]
        head = self._packed("Q" if self._layout.big else "H", len(entries))
        return head + b"".join(entries) + bytes(self._layout.offset_bytes)

    def _moved(self, blocks: list[bytes], *, at: int) -> tuple[dict[int, Field], bytes]:
        """Returns the fields of strips or tiles that are stored at a position, and the tables that follow
        these.
        """
        offsets, counts = self.blocks
        places = list(accumulate(map(len, blocks), initial=at))
        tables = [self._packed(self._wide, *places[:-1]), self._packed(self._wide, *map(len, blocks))]
        found: dict[int, Field] = {}
        position = places[-1]
        for field, table in zip((offsets, counts), tables, strict=True):
            rest = table if len(blocks) == 1 else self._packed(self._wide, position)
            found[field.tag] = Field(field.tag, LONG8 if self._layout.big else LONG, len(blocks), rest)
            position += len(table)
        return found, b"".join(tables)

    @property
    def _wide(self) -> str:
        return "Q" if self._layout.big else "I"

    def _body(self, field: Field) -> bytes:
        if field.is_inline:
            return field.rest[: field.size_bytes]
        return self._read(self._layout.integer(field.rest), field.size_bytes)

    def _packed(self, form: str, *numbers: int) -> bytes:
        return struct.pack(f"{self._layout.order}{len(numbers)}{form}", *numbers)


def _sorted(kept: Mapping[int, Field]) -> list[Field]:
    return [kept[tag] for tag in sorted(kept)]


def _is_needed(field: Field) -> bool:
    if field.tag == PROFILE:
        return field.size_bytes <= MAX_PROFILE_BYTES
    if field.tag not in NEEDED:
        return False
    if field.size_bytes > _MAX_FIELD_BYTES:
        raise RenderRejected(RejectReason.TOO_COMPLEX, f"field {field.tag} of {field.size_bytes} bytes")
    return True
