"""Writes what makes the pieces of a film fragments of an MP4 (ISO/IEC 14496-12, 8.8), as HLS plays them.

The bytes stand within the samples' box of a whole MP4, before the samples of each piece: players of the whole
film never look at them, and players of HLS get them by their place (ADR-0079).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from kappi_media.rendering.mp4_boxes import (
    PACKET_SAMPLES,
    PICTURES,
    SOUND,
    Edit,
    box,
    full_box,
    movie,
    picture_track,
    sound_track,
)
from kappi_media.rendering.wire import Piece

_BRANDS: Final = b"iso6mp41"
_MDAT_HEAD_BYTES: Final = 8
_KEY, _NO_KEY = 0x2000000, 0x1010000
"""Flags of a sample: it depends on none, or on others."""
_BASE_IS_MOOF: Final = 0x20000
_OFFSET, _DURATION, _SIZE, _FLAGS = 0x1, 0x100, 0x200, 0x400
"""The fields of a run of samples."""
_EMPTY_TABLES: Final = [
    *(full_box(kind, bytes(4)) for kind in (b"stts", b"stsc")),
    full_box(b"stsz", bytes(8)),
    full_box(b"stco", bytes(4)),
]


class Segment(NamedTuple):
    """A part of a film that a player gets at once, after the one before. ticks: of 90,000 a second."""

    size_bytes: int
    ticks: int


class _Run(NamedTuple):
    """Samples of a track that follow each other. offset: in the piece's body."""

    sound: bool
    offset: int
    entries: bytes
    samples: int


def initialization(first: Piece) -> bytes:
    """Returns what a player of HLS reads first. first: a piece of the film."""
    tracks = [picture_track(first, duration=0, edit=Edit(0, 0), tables=_EMPTY_TABLES)]
    defaults = [_defaults(PICTURES, 0, _NO_KEY)]
    if first.sound_config:
        tracks.append(sound_track(first, duration=0, edit=Edit(0, PACKET_SAMPLES), tables=_EMPTY_TABLES))
        defaults.append(_defaults(SOUND, PACKET_SAMPLES, _KEY))
    brands = box(b"ftyp", b"iso6", bytes(4), _BRANDS)
    return brands + movie(tracks, duration=0, more=box(b"mvex", *defaults))


def fragment(piece: Piece, *, number: int, ticks: int, sound_packets: int) -> bytes:
    """Returns what precedes the samples of a piece. number: from 1. ticks, sound_packets: what earlier pieces
    contain.
    """
    size_bytes = sum(chunk.size_bytes for chunk in piece.chunks)
    runs = list(_runs(piece))
    begins = {False: (PICTURES, ticks), True: (SOUND, sound_packets * PACKET_SAMPLES)}
    length = len(_moof(runs, begins, number=number, base=0))
    moof = _moof(runs, begins, number=number, base=length + _MDAT_HEAD_BYTES)
    return moof + struct.pack(">I4s", size_bytes + _MDAT_HEAD_BYTES, b"mdat")


def fragments(pieces: Sequence[Piece]) -> Iterator[bytes]:
    """Yields what precedes the samples of each piece; of the first one the initialization, too."""
    begun = initialization(pieces[0])
    ticks = sound_packets = 0
    for number, piece in enumerate(pieces, 1):
        yield begun + fragment(piece, number=number, ticks=ticks, sound_packets=sound_packets)
        begun, ticks = b"", piece.ticks
        sound_packets += len(piece.sound_sizes) // 4


def segments(pieces: Sequence[Piece], before: Sequence[int]) -> list[Segment]:
    """Returns the segments of a film: its pieces; those without pictures are a part of another one.

    before: the bytes that precede the samples of each, without the initialization.
    """
    found: list[Segment] = []
    size_bytes = ticks = 0
    for piece, bytes_before in zip(pieces, before, strict=True):
        size_bytes += bytes_before + sum(chunk.size_bytes for chunk in piece.chunks)
        if piece.ticks > ticks:
            found.append(Segment(size_bytes, piece.ticks - ticks))
            size_bytes, ticks = 0, piece.ticks
    last = found.pop()
    return [*found, Segment(last.size_bytes + size_bytes, last.ticks)]


def codecs(first: Piece) -> str:
    """Returns the codecs as HLS names them (RFC 6381)."""
    picture = "avc1." + first.picture_config[1:4].hex()
    return f"{picture},mp4a.40.2" if first.sound_config else picture


def _defaults(track: int, duration: int, flags: int) -> bytes:
    return full_box(b"trex", struct.pack(">IIIII", track, 1, duration, 0, flags))


def _runs(piece: Piece) -> Iterator[_Run]:
    keys = set(piece.keys)
    durations = [
        duration for count, duration in struct.iter_unpack(">II", piece.picture_times) for _ in range(count)
    ]
    sizes = struct.unpack(f">{len(durations)}I", piece.picture_sizes)
    offset = pictures = sounds = 0
    for chunk in piece.chunks:
        if chunk.sound:
            entries = piece.sound_sizes[4 * sounds : 4 * (sounds + chunk.samples)]
            sounds += chunk.samples
        else:
            entries = b"".join(
                struct.pack(">III", durations[at], sizes[at], _KEY if at + 1 in keys else _NO_KEY)
                for at in range(pictures, pictures + chunk.samples)
            )
            pictures += chunk.samples
        yield _Run(chunk.sound, offset, entries, chunk.samples)
        offset += chunk.size_bytes


def _moof(runs: Sequence[_Run], begins: dict[bool, tuple[int, int]], *, number: int, base: int) -> bytes:
    """begins: by track, its number and where its samples begin in time. base: where the body begins."""
    tracks = []
    for sound, (track, time) in begins.items():
        of_track = [run for run in runs if run.sound is sound]
        if of_track:
            header = full_box(b"tfhd", struct.pack(">I", track), flags=_BASE_IS_MOOF)
            begin = full_box(b"tfdt", struct.pack(">Q", time), version=1)
            tracks.append(box(b"traf", header, begin, *(_run(run, base=base) for run in of_track)))
    return box(b"moof", full_box(b"mfhd", struct.pack(">I", number)), *tracks)


def _run(run: _Run, *, base: int) -> bytes:
    fields = _OFFSET | _SIZE if run.sound else _OFFSET | _SIZE | _DURATION | _FLAGS
    head = struct.pack(">Ii", run.samples, base + run.offset)
    return full_box(b"trun", head, run.entries, flags=fields)
