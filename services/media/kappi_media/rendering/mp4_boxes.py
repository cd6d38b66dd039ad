"""Boxes of an MP4 (ISO/IEC 14496-12) that a whole film and its fragments have in common."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from kappi_media.rendering.wire import Piece

PICTURE_SCALE: Final = 90_000
SOUND_SCALE: Final = 48_000
PACKET_SAMPLES: Final = 1024
MOVIE_SCALE: Final = 1_000
PICTURES, SOUND = 1, 2
"""The numbers of the tracks."""
_BRANDS: Final = b"isomiso2avc1mp41"
_UPRIGHT: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


class Edit(NamedTuple):
    """What of a track is shown. duration: in the movie's units; 0 for all of a fragmented film."""

    duration: int
    skipped: int


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def file_type() -> bytes:
    return box(b"ftyp", b"isom", struct.pack(">I", 0x200), _BRANDS)


def movie(tracks: Sequence[bytes], *, duration: int, more: bytes = b"") -> bytes:
    header = full_box(
        b"mvhd",
        struct.pack(">IIIIIH10x", 0, 0, MOVIE_SCALE, duration, 0x10000, 0x100),
        _UPRIGHT,
        bytes(24),
        struct.pack(">I", len(tracks) + 1),
    )
    return box(b"moov", header, *tracks, more)


def picture_track(first: Piece, *, duration: int, edit: Edit, tables: Sequence[bytes]) -> bytes:
    """first: a piece of the film. duration: in the track's units. tables: beside that of entries."""
    header = struct.pack(">II", first.width << 16, first.height << 16)
    handler = _handler(b"vide", full_box(b"vmhd", bytes(8), flags=1), _picture_entry(first), tables)
    media = _media(PICTURE_SCALE, duration, handler)
    return _track(PICTURES, header, volume=0, edit=edit, media=media)


def sound_track(first: Piece, *, duration: int, edit: Edit, tables: Sequence[bytes]) -> bytes:
    """As `picture_track`."""
    entry = _sound_entry(first.sound_config)
    media = _media(SOUND_SCALE, duration, _handler(b"soun", full_box(b"smhd", bytes(4)), entry, tables))
    return _track(SOUND, bytes(8), volume=0x100, edit=edit, media=media)


def _track(number: int, size: bytes, *, volume: int, edit: Edit, media: bytes) -> bytes:
    header = full_box(
        b"tkhd",
        struct.pack(">IIIII8xhhHH", 0, 0, number, 0, edit.duration, 0, 0, volume, 0),
        _UPRIGHT,
        size,
        flags=7,
    )
    edits = full_box(b"elst", struct.pack(">IIiI", 1, edit.duration, edit.skipped, 0x10000))
    return box(b"trak", header, box(b"edts", edits), media)


def _media(scale: int, duration: int, handler: bytes) -> bytes:
    header = full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, scale, duration, 0x55C4, 0))
    return box(b"mdia", header, handler)


def _handler(kind: bytes, header: bytes, entry: bytes, tables: Sequence[bytes]) -> bytes:
    handler = full_box(b"hdlr", struct.pack(">4x4s12x", kind), b"\0")
    here = box(b"dinf", full_box(b"dref", struct.pack(">I", 1), full_box(b"url ", flags=1)))
    entries = full_box(b"stsd", struct.pack(">I", 1), entry)
    return handler + box(b"minf", header, here, box(b"stbl", entries, *tables))


def _picture_entry(piece: Piece) -> bytes:
    head = struct.pack(">6xH16xHHIIIH32xHh", 1, piece.width, piece.height, 0x480000, 0x480000, 0, 1, 24, -1)
    colours = box(b"colr", b"nclx", struct.pack(">HHHB", 1, 1, 1, 0))
    return box(b"avc1", head, box(b"avcC", piece.picture_config), colours)


def _sound_entry(config: bytes) -> bytes:
    head = struct.pack(">6xH8xHHHHI", 1, 2, 16, 0, 0, SOUND_SCALE << 16)
    specific = _descriptor(5, config)
    decoder = _descriptor(4, struct.pack(">BB3xII", 0x40, 0x15, 0, 0), specific)
    stream = _descriptor(3, struct.pack(">HB", 2, 0), decoder, _descriptor(6, b"\2"))
    return box(b"mp4a", head, full_box(b"esds", stream))


def _descriptor(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes([tag, len(body)]) + body
