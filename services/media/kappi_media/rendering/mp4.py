"""Writes the head of an MP4 whose samples follow it: what a player reads first (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from kappi_media.rendering.mp4_boxes import (
    MOVIE_SCALE,
    PACKET_SAMPLES,
    PICTURE_SCALE,
    SOUND_SCALE,
    Edit,
    file_type,
    full_box,
    movie,
    picture_track,
    sound_track,
)
from kappi_media.rendering.wire import Piece

_MDAT_HEAD_BYTES: Final = 16


class _Chunk(NamedTuple):
    offset: int
    samples: int


def head(pieces: Sequence[Piece], *, before: Sequence[int] = ()) -> bytes:
    """Returns what precedes the content of the samples' box, which is the bodies of the pieces. Their own
    bodies are not used. before: how many other bytes come before each body.
    """
    skipped = before or (0,) * len(pieces)
    size_bytes = sum(chunk.size_bytes for piece in pieces for chunk in piece.chunks) + sum(skipped)
    brands = file_type()
    written = _movie(pieces, skipped, base=0)
    written = _movie(pieces, skipped, base=len(brands) + len(written) + _MDAT_HEAD_BYTES)
    return brands + written + struct.pack(">I4sQ", 1, b"mdat", size_bytes + _MDAT_HEAD_BYTES)


def _movie(pieces: Sequence[Piece], skipped: Sequence[int], *, base: int) -> bytes:
    """base: where the samples begin in the file."""
    pictures, sounds = _chunks(pieces, skipped, base=base)
    shown = pieces[-1].ticks * MOVIE_SCALE // PICTURE_SCALE
    sizes = b"".join(piece.picture_sizes for piece in pieces)
    times = b"".join(piece.picture_times for piece in pieces)
    keys = _keys(pieces)
    tables = [
        *_tables(sizes, times, pictures),
        full_box(b"stss", struct.pack(f">I{len(keys)}I", len(keys), *keys)),
    ]
    tracks = [picture_track(pieces[0], duration=pieces[-1].ticks, edit=Edit(shown, 0), tables=tables)]
    sizes = b"".join(piece.sound_sizes for piece in pieces)
    if sizes:
        samples = len(sizes) // 4
        heard = (samples - 1) * PACKET_SAMPLES * MOVIE_SCALE // SOUND_SCALE
        tables = _tables(sizes, struct.pack(">II", samples, PACKET_SAMPLES), sounds)
        edit = Edit(heard, PACKET_SAMPLES)
        tracks.append(sound_track(pieces[0], duration=samples * PACKET_SAMPLES, edit=edit, tables=tables))
        shown = max(shown, heard)
    return movie(tracks, duration=shown)


def _chunks(
    pieces: Sequence[Piece], skipped: Sequence[int], *, base: int
) -> tuple[list[_Chunk], list[_Chunk]]:
    """Returns the chunks of pictures, and of sound."""
    chunks: dict[bool, list[_Chunk]] = {False: [], True: []}
    for piece, bytes_before in zip(pieces, skipped, strict=True):
        base += bytes_before
        for chunk in piece.chunks:
            chunks[chunk.sound].append(_Chunk(base, chunk.samples))
            base += chunk.size_bytes
    return chunks[False], chunks[True]


def _keys(pieces: Sequence[Piece]) -> list[int]:
    keys, before = [], 0
    for piece in pieces:
        keys += [before + number for number in piece.keys]
        before += len(piece.picture_sizes) // 4
    return keys


def _tables(sizes: bytes, times: bytes, chunks: Sequence[_Chunk]) -> list[bytes]:
    """sizes, times: as in a `Piece`."""
    runs: list[tuple[int, int]] = []
    for number, chunk in enumerate(chunks, 1):
        if not runs or runs[-1][1] != chunk.samples:
            runs.append((number, chunk.samples))
    return [
        full_box(b"stts", struct.pack(">I", len(times) // 8), times),
        full_box(
            b"stsc",
            struct.pack(">I", len(runs)),
            b"".join(struct.pack(">III", number, samples, 1) for number, samples in runs),
        ),
        full_box(b"stsz", struct.pack(">II", 0, len(sizes) // 4), sizes),
        full_box(
            b"co64",
            struct.pack(">I", len(chunks)),
            b"".join(struct.pack(">Q", each.offset) for each in chunks),
        ),
    ]
