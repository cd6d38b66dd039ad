"""Writes the head of an MP4 whose samples follow it: what a player reads first (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kappi_media.rendering.wire import Piece

PICTURE_SCALE: Final = 90_000
SOUND_SCALE: Final = 48_000
_MOVIE_SCALE: Final = 1_000
_PACKET_SAMPLES: Final = 1024
_UPRIGHT: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_MDAT_HEAD_BYTES: Final = 16


class _Chunk(NamedTuple):
    offset: int
    samples: int


@dataclass(frozen=True, slots=True)
class _Track:
    """The tables of a track. sizes, times: as in a `Piece`. duration: in units of its scale."""

    number: int
    scale: int
    duration: int
    sizes: bytes
    times: bytes
    chunks: Sequence[_Chunk]
    keys: Sequence[int] | None
    entry: bytes
    size: tuple[int, int]
    skipped: int


def head(pieces: Sequence[Piece]) -> bytes:
    """Returns all that precedes the bodies of the pieces. Their own bodies are not used."""
    brands = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    tracks = list(_tracks(pieces))
    size_bytes = sum(chunk.size_bytes for piece in pieces for chunk in piece.chunks)
    movie = _movie(tracks, base=0)
    movie = _movie(tracks, base=len(brands) + len(movie) + _MDAT_HEAD_BYTES)
    return brands + movie + struct.pack(">I4sQ", 1, b"mdat", size_bytes + _MDAT_HEAD_BYTES)


def _tracks(pieces: Sequence[Piece]) -> Iterable[_Track]:
    first, end = pieces[0], pieces[-1].ticks
    chunks: dict[bool, list[_Chunk]] = {False: [], True: []}
    offset = 0
    for piece in pieces:
        for chunk in piece.chunks:
            chunks[chunk.sound].append(_Chunk(offset, chunk.samples))
            offset += chunk.size_bytes
    size = first.width, first.height
    yield _Track(
        number=1,
        scale=PICTURE_SCALE,
        duration=end,
        sizes=b"".join(piece.picture_sizes for piece in pieces),
        times=b"".join(piece.picture_times for piece in pieces),
        chunks=chunks[False],
        keys=_keys(pieces),
        entry=_picture_entry(first),
        size=size,
        skipped=0,
    )
    sounds = b"".join(piece.sound_sizes for piece in pieces)
    if sounds:
        samples = len(sounds) // 4
        yield _Track(
            number=2,
            scale=SOUND_SCALE,
            duration=samples * _PACKET_SAMPLES,
            sizes=sounds,
            times=struct.pack(">II", samples, _PACKET_SAMPLES),
            chunks=chunks[True],
            keys=None,
            entry=_sound_entry(first.sound_config),
            size=(0, 0),
            skipped=_PACKET_SAMPLES,
        )


def _keys(pieces: Sequence[Piece]) -> list[int]:
    keys, before = [], 0
    for piece in pieces:
        keys += [before + number for number in piece.keys]
        before += len(piece.picture_sizes) // 4
    return keys


def _movie(tracks: Sequence[_Track], *, base: int) -> bytes:
    """base: where the samples begin in the file."""
    duration = max(map(_shown, tracks))
    header = _full(
        b"mvhd",
        struct.pack(">IIIIIH10x", 0, 0, _MOVIE_SCALE, duration, 0x10000, 0x100),
        _UPRIGHT,
        bytes(24),
        struct.pack(">I", len(tracks) + 1),
    )
    return _box(b"moov", header, *(_track(track, base=base) for track in tracks))


def _shown(track: _Track) -> int:
    """Returns the duration in the movie's units."""
    return (track.duration - track.skipped) * _MOVIE_SCALE // track.scale


def _track(track: _Track, *, base: int) -> bytes:
    width, height = track.size
    sound = track.keys is None
    shown = _shown(track)
    header = _full(
        b"tkhd",
        struct.pack(">IIIII8xhhHH", 0, 0, track.number, 0, shown, 0, 0, 0x100 if sound else 0, 0),
        _UPRIGHT,
        struct.pack(">II", width << 16, height << 16),
        flags=7,
    )
    edits = _box(b"edts", _full(b"elst", struct.pack(">IIiI", 1, shown, track.skipped, 0x10000)))
    media_header = _full(b"mdhd", struct.pack(">IIIIHH", 0, 0, track.scale, track.duration, 0x55C4, 0))
    handler = _full(b"hdlr", struct.pack(">4x4s12x", b"soun" if sound else b"vide"), b"\0")
    kind = _full(b"smhd", bytes(4)) if sound else _full(b"vmhd", bytes(8), flags=1)
    here = _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1)))
    info = _box(b"minf", kind, here, _samples(track, base=base))
    return _box(b"trak", header, edits, _box(b"mdia", media_header, handler, info))


def _samples(track: _Track, *, base: int) -> bytes:
    runs: list[tuple[int, int]] = []
    for number, chunk in enumerate(track.chunks, 1):
        if not runs or runs[-1][1] != chunk.samples:
            runs.append((number, chunk.samples))
    tables = [
        _full(b"stsd", struct.pack(">I", 1), track.entry),
        _full(b"stts", struct.pack(">I", len(track.times) // 8), track.times),
        _full(
            b"stsc",
            struct.pack(">I", len(runs)),
            b"".join(struct.pack(">III", number, samples, 1) for number, samples in runs),
        ),
        _full(b"stsz", struct.pack(">II", 0, len(track.sizes) // 4), track.sizes),
        _full(
            b"co64",
            struct.pack(">I", len(track.chunks)),
            b"".join(struct.pack(">Q", base + chunk.offset) for chunk in track.chunks),
        ),
    ]
    if track.keys is not None:
        keys = struct.pack(f">I{len(track.keys)}I", len(track.keys), *track.keys)
        tables.append(_full(b"stss", keys))
    return _box(b"stbl", *tables)


def _picture_entry(piece: Piece) -> bytes:
    head = struct.pack(">6xH16xHHIIIH32xHh", 1, piece.width, piece.height, 0x480000, 0x480000, 0, 1, 24, -1)
    colours = _box(b"colr", b"nclx", struct.pack(">HHHB", 1, 1, 1, 0))
    return _box(b"avc1", head, _box(b"avcC", piece.picture_config), colours)


def _sound_entry(config: bytes) -> bytes:
    head = struct.pack(">6xH8xHHHHI", 1, 2, 16, 0, 0, SOUND_SCALE << 16)
    specific = _descriptor(5, config)
    decoder = _descriptor(4, struct.pack(">BB3xII", 0x40, 0x15, 0, 0), specific)
    stream = _descriptor(3, struct.pack(">HB", 2, 0), decoder, _descriptor(6, b"\2"))
    return _box(b"mp4a", head, _full(b"esds", stream))


def _descriptor(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes([tag, len(body)]) + body


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", flags), *parts)
