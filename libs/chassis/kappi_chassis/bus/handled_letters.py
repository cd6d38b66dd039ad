"""Marks of the dead letters of one partition that an operator has sent back or discarded.

They are the committed offset of the operator's group and the metadata of that commit, so they need no topic
and no right of their own, and both parts change together.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

MAX_METADATA_BYTES = 4_096
"""Size of a commit's metadata, Kafka's default (`offset.metadata.max.bytes`)."""
_MAX_BITMAP_BYTES = 1 << 20
_VERSION = "1:"


class MarksFull(Exception):
    """The marks of a partition do not fit into a commit: too many letters are handled out of their order."""


@dataclass(frozen=True, slots=True)
class HandledLetters:
    """The handled offsets of a partition. Values are not changed; `with_offset` returns new ones.

    before: all offsets below it are handled. ahead: a set of bits, in which bit i is the offset before + i.
    """

    before: int = 0
    ahead: int = 0

    @classmethod
    def read(cls, offset: int, metadata: str | None) -> HandledLetters:
        """Returns the marks of a commit. Metadata of another program has no marks."""
        before = max(0, offset)
        if not metadata or not metadata.startswith(_VERSION):
            return cls(before)
        try:
            packed = base64.b85decode(metadata.removeprefix(_VERSION))
            bits = zlib.decompressobj().decompress(packed, _MAX_BITMAP_BYTES)
        except (ValueError, zlib.error):
            return cls(before)
        return cls(before, int.from_bytes(bits, "little"))

    def __contains__(self, offset: int) -> bool:
        return offset < self.before or bool(self.ahead >> (offset - self.before) & 1)

    def waiting(self, *, begin: int, end: int) -> int:
        """Returns the number of offsets from begin to before end that are not handled."""
        marks = self.from_offset(begin)
        return max(0, end - marks.before - marks.ahead.bit_count())

    def from_offset(self, begin: int) -> HandledLetters:
        """Returns the marks without those below an offset, which count as handled.

        begin: the first offset that the broker still keeps.
        """
        if begin <= self.before:
            return self
        return HandledLetters(begin, self.ahead >> (begin - self.before))._moved_on()

    def with_offset(self, offset: int) -> HandledLetters:
        """Returns the marks with one more offset."""
        if offset < self.before:
            return self
        return HandledLetters(self.before, self.ahead | 1 << (offset - self.before))._moved_on()

    def metadata(self) -> str:
        """Returns the text for the commit. Raises MarksFull."""
        if not self.ahead:
            return ""
        bits = self.ahead.to_bytes((self.ahead.bit_length() + 7) // 8, "little")
        text = _VERSION + base64.b85encode(zlib.compress(bits, 9)).decode()
        if len(text) > MAX_METADATA_BYTES or len(bits) > _MAX_BITMAP_BYTES:
            raise MarksFull("too many letters of one topic are handled out of their order: handle the oldest")
        return text

    def _moved_on(self) -> HandledLetters:
        """Returns the same marks with `before` behind all offsets that are handled without a hole."""
        done = (~self.ahead & (self.ahead + 1)).bit_length() - 1
        return HandledLetters(self.before + done, self.ahead >> done)
