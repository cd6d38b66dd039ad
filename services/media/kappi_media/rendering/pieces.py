"""A file composed of pieces of another file, and of bytes in place of other pieces."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from kappi_media.rendering.ranged_file import RangedFile

_BLOCK_BYTES: Final = 8 << 20

Span = tuple[int, int]
"""The start and the end of a piece."""
Piece = Span | bytes
"""A piece of the file, or bytes in its place."""


class Bytes:
    """Reads a file by position; it returns fewer bytes at the end of the file."""

    def __init__(self, file: RangedFile) -> None:
        self._file = file
        self.size = file.size_bytes

    def __call__(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        parts = []
        while length > 0 and (part := self._file.read(length)):
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


def spliced(file: RangedFile, pieces: list[Piece]) -> RangedFile:
    read = Bytes(file)
    sizes = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces]
    starts = [0, *accumulate(sizes)]

    def fetch(start: int, length: int) -> bytes:
        parts = []
        number = bisect_right(starts, start) - 1
        while length > 0 and number < len(pieces):
            piece, offset = pieces[number], start - starts[number]
            wanted = min(length, sizes[number] - offset)
            if isinstance(piece, bytes):
                part = piece[offset : offset + wanted]
            else:
                part = read(piece[0] + offset, wanted)
            parts.append(part)
            if len(part) < wanted:
                break  # the object is shorter than its declared size
            start, length, number = start + wanted, length - wanted, number + 1
        return b"".join(parts)

    return RangedFile(fetch, size_bytes=starts[-1], block_bytes=_BLOCK_BYTES, kept_blocks=1)


def joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yields the pieces with adjacent ones joined."""
    last: Span | None = None
    for piece in pieces:
        if isinstance(piece, bytes):
            if last is not None:
                yield last
            last = None
            yield piece
        elif last is not None and last[1] == piece[0]:
            last = (last[0], piece[1])
        else:
            if last is not None:
                yield last
            last = piece
    if last is not None:
        yield last
