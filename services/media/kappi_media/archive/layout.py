"""The position of everything in an archive: a pure function of its files, known before any of their bytes is
read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from kappi_media.archive.names import archive_names
from kappi_media.archive.records import (
    Entry,
    central_header,
    central_header_bytes,
    end_of_directory,
    local_header,
    local_header_bytes,
)
from kappi_media.archive.times import EntryTime

_FORMAT = b"kappi-archive-1"
"""A part of every ETag: a change of the way in which files are written must change it."""


class StoredFile(NamedTuple):
    """The bytes of an entry. etag: the store's. crc32: None until the whole file has been read once."""

    media_id: UUID
    key: str
    size_bytes: int
    etag: str
    crc32: int | None


class ArchiveFile(NamedTuple):
    """A file to be archived, under the name it was uploaded with. is_sidecar: of the file before it."""

    filename: str
    time: EntryTime
    stored: StoredFile
    is_sidecar: bool = False


class Header(NamedTuple):
    """The local header of a file, or the requested part of it. number: of the file, from 0."""

    number: int
    skip: int
    take: int


class Data(NamedTuple):
    """The bytes of a file from `start`."""

    number: int
    start: int
    length: int


class Listing(NamedTuple):
    """A central header, or a part of it."""

    number: int
    skip: int
    take: int


class End(NamedTuple):
    """The records after the directory, or a part of them."""

    skip: int
    take: int


Piece = Header | Data | Listing | End


class ArchiveLayout:
    """The layout of an archive. files: in the order of the archive.

    etag: bare; two archives share it exactly if all their bytes are the same.
    """

    def __init__(self, files: Sequence[ArchiveFile]) -> None:
        sidecars = {at for at, file in enumerate(files) if file.is_sidecar}
        names = archive_names([file.filename for file in files], sidecars)
        self.files = [file.stored for file in files]
        self._entries = [
            Entry(name.encode(), file.stored.size_bytes, file.time)
            for name, file in zip(names, files, strict=True)
        ]
        self._offsets = _starts(0, (local_header_bytes(entry) + entry.size_bytes for entry in self._entries))
        directory = self._offsets[-1]
        self._listings = _starts(
            directory,
            (
                central_header_bytes(entry, offset=offset)
                for entry, offset in zip(self._entries, self._offsets, strict=False)
            ),
        )
        self._end = end_of_directory(
            entries=len(files), size_bytes=self._listings[-1] - directory, offset=directory
        )
        self.size_bytes = self._listings[-1] + len(self._end)
        self.etag = self._tag()

    @property
    def names(self) -> list[str]:
        return [entry.name.decode() for entry in self._entries]

    def pieces(self, first: int, last: int) -> Iterator[Piece]:
        """Yields the pieces that make up the bytes from `first` to `last`, both included, in order."""
        yield from self._file_pieces(first, last)
        yield from self._listing_pieces(first, last)
        end = self._listings[-1]
        if last >= end:
            skip = max(first - end, 0)
            yield End(skip, last - end + 1 - skip)

    def header(self, piece: Header, crc32: int) -> bytes:
        return _part(local_header(self._entries[piece.number], crc32), piece)

    def listing(self, piece: Listing, crc32: int) -> bytes:
        offset = self._offsets[piece.number]
        return _part(central_header(self._entries[piece.number], crc32, offset=offset), piece)

    def end(self, piece: End) -> bytes:
        return self._end[piece.skip : piece.skip + piece.take]

    def _file_pieces(self, first: int, last: int) -> Iterator[Piece]:
        for index in _touched(self._offsets, first, last):
            start = self._offsets[index]
            body = start + local_header_bytes(self._entries[index])
            after = self._offsets[index + 1]
            if first < body:
                skip = max(first - start, 0)
                yield Header(index, skip, min(last + 1, body) - start - skip)
            if last >= body:
                skip = max(first - body, 0)
                length = min(last + 1, after) - body - skip
                if length > 0:
                    yield Data(index, skip, length)

    def _listing_pieces(self, first: int, last: int) -> Iterator[Piece]:
        for index in _touched(self._listings, first, last):
            start = self._listings[index]
            skip = max(first - start, 0)
            yield Listing(index, skip, min(last + 1, self._listings[index + 1]) - start - skip)

    def _tag(self) -> str:
        digest = blake2b(_FORMAT, digest_size=16)
        for entry, stored in zip(self._entries, self.files, strict=True):
            # The header contains name, size and time; the store's ETag stands for the bytes.
            for part in (local_header(entry, 0), stored.key.encode(), stored.etag.encode()):
                digest.update(len(part).to_bytes(4))
                digest.update(part)
        return digest.hexdigest()


def _starts(begin: int, lengths: Iterable[int]) -> list[int]:
    """Returns the start of each, and the end of the last."""
    starts = [begin]
    for length in lengths:
        starts.append(starts[-1] + length)
    return starts


def _touched(starts: Sequence[int], first: int, last: int) -> range:
    """Returns the indices of those that contain any byte from `first` to `last`."""
    if last < starts[0] or first >= starts[-1]:
        return range(0)
    return range(max(bisect_right(starts, first) - 1, 0), min(bisect_right(starts, last), len(starts) - 1))


def _part(whole: bytes, piece: Header | Listing) -> bytes:
    return whole[piece.skip : piece.skip + piece.take]
