"""The stored pieces of a film that is being made playable, and the film that they become."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import msgspec
from kappi_chassis.storage import ObjectStore, StorageUnavailable
from kappi_contracts.keys import small_piece
from kappi_contracts.rendition_formats import PLAYBACK_SIZE, SMALL_PLAYBACK_SIZE

from kappi_media.domain.playlists import FilmStream
from kappi_media.rendering.fragments import codecs, fragments, initialization, segments
from kappi_media.rendering.mp4 import head
from kappi_media.rendering.wire import Piece

Tables = Sequence[Piece]
"""A piece without its body, in each size."""
_PIECE_TYPE: Final = "application/octet-stream"
_LENGTH: Final = struct.Struct(">I")
_HEAD_BYTES: Final = 64 << 10
_REMOVED_AT_ONCE: Final = 500
_TWO_SIZES: Final = (PLAYBACK_SIZE, SMALL_PLAYBACK_SIZE)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Piece).decode


@dataclass(frozen=True, slots=True)
class FilmLayout:
    """One size of a film. head: what comes first in its MP4. pieces: of this size, without their bodies.
    stream: where its segments are; None for a film that has none.
    """

    size: str
    head: bytes
    pieces: Sequence[Piece]
    stream: FilmStream | None


def layouts(tables: Sequence[Tables]) -> list[FilmLayout]:
    """Returns how a film is stored, in each size. tables: of all its pieces."""
    sizes = [list(of_size) for of_size in zip(*tables, strict=True)]
    if len(sizes) == 1:
        return [FilmLayout(PLAYBACK_SIZE, head(sizes[0]), sizes[0], None)]
    return [_streamed(size, pieces) for size, pieces in zip(_TWO_SIZES, sizes, strict=True)]


def _streamed(size: str, pieces: Sequence[Piece]) -> FilmLayout:
    before = [len(each) for each in fragments(pieces)]
    begin, first = head(pieces, before=before), pieces[0]
    init_bytes = len(initialization(first))
    found = segments(pieces, [before[0] - init_bytes, *before[1:]])
    stream = FilmStream(
        size=size,
        width=first.width,
        height=first.height,
        codecs=codecs(first),
        start=len(begin),
        init_bytes=init_bytes,
        segment_bytes=[each.size_bytes for each in found],
        segment_ticks=[each.ticks for each in found],
    )
    return FilmLayout(size, begin, pieces, stream)


class FilmPieces:
    """Stores the pieces of one film. prefix: of their keys. A piece has an object for each size."""

    def __init__(self, store: ObjectStore, prefix: str, *, two_sizes: bool) -> None:
        self._store = store
        self._prefix = prefix
        self._two_sizes = two_sizes

    async def put(self, name: str, piece: Piece) -> Tables:
        # The first size comes last: a piece is recorded under its name.
        small = [] if piece.small is None else [await self._put(small_piece(name), piece.small)]
        return [await self._put(name, piece), *small]

    async def tables(self, name: str) -> Tables:
        """Raises ObjectMissing."""
        names = (name, small_piece(name)) if self._two_sizes else (name,)
        return [await self._tables(each) for each in names]

    async def joined(self, names: Sequence[str], layout: FilmLayout) -> AsyncGenerator[bytes]:
        """Yields the film in one size: what a player reads first, then the bodies of all pieces. Raises
        ObjectMissing.
        """
        yield layout.head
        before = [] if layout.stream is None else fragments(layout.pieces)
        parts = iter(before)
        for name, piece in zip(names, layout.pieces, strict=True):
            yield next(parts, b"")
            key = self._prefix + (small_piece(name) if layout.size == SMALL_PLAYBACK_SIZE else name)
            skipped = _LENGTH.size + len(_encode(piece))
            async with aclosing(self._store.stream(key, start=skipped)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def remove(self) -> None:
        """Remove all pieces, also those of attempts that could not record them. Raises StorageUnavailable."""
        while objects := (await self._store.list_page(self._prefix, limit=_REMOVED_AT_ONCE)).objects:
            report = await self._store.delete_batch([each.key for each in objects])
            if report.failed:
                raise StorageUnavailable("pieces could not be removed")

    async def _put(self, name: str, piece: Piece) -> Piece:
        index = msgspec.structs.replace(piece, body=b"", small=None)
        tables = _encode(index)
        body = _LENGTH.pack(len(tables)) + tables + piece.body
        await self._store.put(self._prefix + name, body, content_type=_PIECE_TYPE)
        return index

    async def _tables(self, name: str) -> Piece:
        key = self._prefix + name
        start = (await self._store.read(key, length=_HEAD_BYTES)).body
        (length,) = _LENGTH.unpack_from(start)
        if _LENGTH.size + length > len(start):
            start = (await self._store.read(key, length=_LENGTH.size + length)).body
        return _decode(start[_LENGTH.size : _LENGTH.size + length])
