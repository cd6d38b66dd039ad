"""Reduces a picture's file to the parts that its decoder needs: pixels, colours and orientation.

Decoders also read text, further pages and frames and much else, and some of it unpacks to a thousand times
its size. None of it is in a rendition, so it is removed before a decoder gets the file. This is decided by
the length of parts alone; only a colour profile is unpacked, up to a limit. Damaged parts stay as they are.
TIFF is handled in `tiff_directory.py`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from kappi_mediameta.containers.jpeg_segments import MARKER, MAX_BETWEEN_BYTES
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected

from kappi_media.rendering.pieces import Bytes, Piece, Span, joined, spliced
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.tiff_directory import MAX_PROFILE_BYTES

MAX_EXIF_BYTES: Final = 64 << 10
MAX_PARTS: Final = 1 << 20
"""The number of chunks, segments or blocks of one file."""


def essentials(file: RangedFile, *, content_type: str, all_frames: bool = False) -> RangedFile:
    """Returns the reduced file. all_frames: keep all frames of an animation; otherwise only the first.

    Raises RenderRejected when there are too many parts.
    """
    reader = (_READERS_OF_ALL if all_frames else _READERS).get(content_type)
    if reader is None:
        return file
    pieces = list(joined(reader(Bytes(file))))
    return file if pieces == [(0, file.size_bytes)] else spliced(file, pieces)


def _parts() -> Iterator[None]:
    for _ in range(MAX_PARTS):
        yield
    raise RenderRejected(RejectReason.TOO_COMPLEX, "too many parts")


_PNG_ONCE: Final = {
    b"IHDR": 13,
    b"PLTE": 768,
    b"tRNS": 256,
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"eXIf": MAX_EXIF_BYTES,
    b"iCCP": MAX_PROFILE_BYTES,
}


_PNG_PICTURE: Final = frozenset({b"IDAT"})
_PNG_FRAMES: Final = frozenset({b"IDAT", b"acTL", b"fcTL", b"fdAT"})


def _png(read: Bytes, picture: frozenset[bytes] = _PNG_PICTURE) -> Iterator[Piece]:
    yield (0, min(8, read.size))
    once = dict(_PNG_ONCE)
    position = 8
    for _ in _parts():
        head = read(position, 8)
        if len(head) < 8:
            return
        length, name = struct.unpack(">I4s", head)
        end = min(position + 12 + length, read.size)
        if name in picture or (name in once and length <= once.pop(name) and _is_sane(read, name, position)):
            yield (position, end)
        elif name == b"IEND":
            yield (position, end)
            return
        elif not name.isalpha():
            return
        position += 12 + length


def _is_sane(read: Bytes, name: bytes, position: int) -> bool:
    """Returns whether an iCCP chunk unpacks to a size that profiles have; true for any other chunk."""
    if name != b"iCCP":
        return True
    body = read(position + 8, int.from_bytes(read(position, 4), "big"))
    unpacking = zlib.decompressobj()
    try:
        unpacking.decompress(body[body.index(b"\x00") + 2 :], MAX_PROFILE_BYTES)
    except (ValueError, zlib.error):
        return False
    return unpacking.eof


_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_PICTURE_OR_END: Final = frozenset({0xDA, 0xD9})
_BESIDE: Final = frozenset({*range(0xE0, 0xF0), 0xFE})
"""Segments of applications, and comments."""
_PROFILE_PART: Final = b"ICC_PROFILE\x00"
_JPEG_ONCE: Final = {_APP0: b"JFIF\x00", _APP1: b"Exif\x00\x00", _APP14: b"Adobe"}
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


def _jpeg(read: Bytes) -> Iterator[Piece]:
    kept: list[Span] = [(0, min(2, read.size))]
    profile: list[Span] = []
    once = dict(_JPEG_ONCE)
    position = 2
    for _ in _parts():
        found = MARKER.search(read(position, MAX_BETWEEN_BYTES))
        if found is None:
            break
        position += found.start()
        head = read(position, 18)
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        if marker in _PICTURE_OR_END:
            kept.append((position, read.size))
            break
        end = min(position + 2 + (0 if marker in _STANDALONE else length), read.size)
        if marker == _APP2 and head[4:].startswith(_PROFILE_PART):
            profile.append((position, end))
            kept.append((position, end))
        elif marker in once and head[4:].startswith(once[marker]):
            del once[marker]
            kept.append((position, end))
        elif marker not in _BESIDE:
            kept.append((position, end))
        position = end
    if sum(end - start for start, end in profile) > MAX_PROFILE_BYTES:
        kept = [span for span in kept if span not in set(profile)]
    yield from kept


_GRAPHIC_CONTROL: Final = b"\x21\xf9\x04"
_ALL_COLOURS_BYTES: Final = 3 * 256


def _gif(read: Bytes) -> Iterator[Piece]:
    """Yields the first frame, because a rendition shows no other. The area of the screen outside it is
    transparent, as in browsers, and not black.
    """
    head = read(0, 13)
    screen = head[6:10]
    position = 13 + _table_bytes(head[10] if len(head) == 13 else 0)
    yield (0, min(position, read.size))
    control = b""
    for _ in _parts():
        start = read(position, 10)
        if start[:3] == _GRAPHIC_CONTROL:
            control = read(position, 8)
        if start[:1] == b"\x21":
            position = _end_of_blocks(read, position + 2)
        elif start[:1] == b"\x2c" and len(start) == 10:
            colours = _table_bytes(start[9]) or _table_bytes(head[10])
            if start[1:9] != bytes(4) + screen and colours < _ALL_COLOURS_BYTES:
                control = _with_a_clear_colour(control)
            yield control
            end = _end_of_blocks(read, position + 11 + _table_bytes(start[9]))
            yield (position, end)
            yield b"\x00;" if end == read.size else b";"  # a file may end without either
            return
        else:
            yield (min(position, read.size), read.size)
            return


def _with_a_clear_colour(control: bytes) -> bytes:
    """Returns a graphic control with one transparent colour: its own, or one that the frame does not use."""
    if len(control) < 8:
        control = _GRAPHIC_CONTROL + bytes(5)
    if control[3] & 1:
        return control
    return control[:3] + bytes([control[3] | 1]) + control[4:6] + b"\xff" + control[7:]


def _table_bytes(flags: int) -> int:
    return int(3 << ((flags & 7) + 1)) if flags & 0x80 else 0


def _end_of_blocks(read: Bytes, position: int) -> int:
    """Returns the position after the block of length zero, or the end of the file."""
    while position < read.size:
        window = read(position, 1 << 20)
        at = 0
        while at < len(window):
            if not window[at]:
                return position + at + 1
            at += 1 + window[at]
        position += at
    return read.size


_WEBP_PICTURE: Final = frozenset({b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"})
_WEBP_ONCE: Final = {b"ICCP": MAX_PROFILE_BYTES, b"EXIF": MAX_EXIF_BYTES}


def _webp(read: Bytes) -> Iterator[Piece]:
    kept: list[Span] = []
    once = dict(_WEBP_ONCE)
    end_of_picture = 8 + int.from_bytes(read(4, 4), "little")
    position = 12
    for _ in _parts():
        head = read(position, 8)
        if len(head) < 8 or position >= end_of_picture:
            break
        name, length = struct.unpack("<4sI", head)
        end = min(position + 8 + length + (length & 1), read.size)
        if name in _WEBP_PICTURE or (name in once and length <= once.pop(name)):
            kept.append((position, end))
        position += 8 + length + (length & 1)
    size = 4 + sum(end - start for start, end in kept)
    yield b"RIFF" + struct.pack("<I", size) + b"WEBP"
    yield from kept


_READERS: Final[dict[str, Callable[[Bytes], Iterator[Piece]]]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/webp": _webp,
}
_READERS_OF_ALL: Final[dict[str, Callable[[Bytes], Iterator[Piece]]]] = {
    "image/png": partial(_png, picture=_PNG_FRAMES),
    "image/webp": _webp,
}
