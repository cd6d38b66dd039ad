"""Makes pictures with very much metadata from small valid ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence


def png_with_chunks(body: bytes, name: bytes, contents: Sequence[bytes]) -> bytes:
    """Returns a PNG with more chunks directly after the header."""
    return body[:33] + b"".join(_chunk(name, content) for content in contents) + body[33:]


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def jpeg_with_segments(body: bytes, marker: int, contents: Sequence[bytes]) -> bytes:
    segments = (struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content for content in contents)
    return body[:2] + b"".join(segments) + body[2:]


def gif_with_extensions(body: bytes, label: int, count: int) -> bytes:
    flags = body[10]
    start = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    return body[:start] + (bytes([0x21, label, 255]) + bytes(255) + b"\x00") * count + body[start:]


def webp_with_chunks(body: bytes, name: bytes, contents: Sequence[bytes]) -> bytes:
    """Returns an extended WebP from a file of one picture chunk."""
    picture = body[12:]
    if picture[:4] == b"VP8X":
        raise ValueError("extended already")
    width, height = _webp_size(picture)
    extended = (
        struct.pack("<B3x", 0x24) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )
    chunks = [_riff(b"VP8X", extended), *(_riff(name, content) for content in contents), picture]
    whole = b"".join(chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(whole)) + b"WEBP" + whole


def _riff(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) & 1)


def _webp_size(picture: bytes) -> tuple[int, int]:
    if picture[:4] == b"VP8L":
        bits = int.from_bytes(picture[9:13], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", picture, 14)
    return width & 0x3FFF, height & 0x3FFF


def tiff_with_fields(body: bytes, tags: Iterable[int], *, count: int = 0) -> bytes:
    """Returns a TIFF with a second copy of the first directory at the end, and more fields in it.

    All these fields refer to the same bytes: the whole file, or `count` of them. body: little-endian.
    """
    entries = _entries(body)
    claimed = [struct.pack("<HHII", tag, 7, count or len(body), 0) for tag in tags]
    tags_claimed = {entry[:2] for entry in claimed}
    kept = [entry for entry in entries if entry[:2] not in tags_claimed]
    every = sorted(kept + claimed, key=lambda entry: entry[:2][::-1])
    return _with_directory(body, _directory(every, next_at=0))


def tiff_with_pages(body: bytes, count: int) -> bytes:
    """Returns a TIFF with `count` copies of the first directory, each linking to the next."""
    body += bytes(len(body) & 1)
    entries = _entries(body)
    size = len(_directory(entries, next_at=0))
    directories = [
        _directory(entries, next_at=len(body) + (number + 1) * size if number + 1 < count else 0)
        for number in range(count)
    ]
    return body[:4] + struct.pack("<I", len(body)) + body[8:] + b"".join(directories)


def _entries(body: bytes) -> list[bytes]:
    (at,) = struct.unpack_from("<I", body, 4)
    (count,) = struct.unpack_from("<H", body, at)
    return [body[at + 2 + 12 * number :][:12] for number in range(count)]


def _directory(entries: Sequence[bytes], *, next_at: int) -> bytes:
    return struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", next_at)


def _with_directory(body: bytes, directory: bytes) -> bytes:
    body += bytes(len(body) & 1)
    return body[:4] + struct.pack("<I", len(body)) + body[8:] + directory


def heif_with_metadata(body: bytes, *, packed: bool, copies: int) -> bytes:
    """Returns a HEIF with items of metadata that all refer to the same 8 KiB at the end.

    packed: they name a content encoding. body: as libheif and libavif write it, with 32-bit offsets in
    `iloc`, version 0, and `infe` version 2.
    """
    encoding = b"deflate\x00" if packed else b""
    first = 1_000
    infos = b"".join(
        _box(b"infe", struct.pack(">B3xHH", 2, first + n, 0) + b"mime\x00application/rdf+xml\x00" + encoding)
        for n in range(copies)
    )
    meta_at = body.index(b"meta") - 4
    meta = body[meta_at : meta_at + int.from_bytes(body[meta_at : meta_at + 4], "big")]
    iinf = _box_in(meta, b"iinf")
    iloc = _box_in(meta, b"iloc")
    sizes = int.from_bytes(iloc[12:14], "big")
    if iloc[8] != 0 or sizes >> 8 != 0x44 or sizes >> 4 & 15 not in (0, 4):
        raise ValueError("another kind of iloc")
    base = bytes(sizes >> 4 & 15)
    grown = copies * (len(base) + 14) + len(infos)
    places = b"".join(
        struct.pack(">HH", first + n, 0) + base + struct.pack(">HII", 1, len(body) + grown, 8_192)
        for n in range(copies)
    )
    moved = _moved(iloc, by=grown, base_bytes=len(base))
    new_iloc = _grown(moved, at=14, count=copies, more=places)
    new_iinf = _grown(iinf, at=12, count=copies, more=infos)
    new_meta = meta.replace(iinf, new_iinf).replace(iloc, new_iloc)
    new_meta = struct.pack(">I", len(new_meta)) + new_meta[4:]
    return body[:meta_at] + new_meta + body[meta_at + len(meta) :] + bytes(8_192)


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _box_in(meta: bytes, name: bytes) -> bytes:
    at = meta.index(name) - 4
    return meta[at : at + int.from_bytes(meta[at : at + 4], "big")]


def _grown(box: bytes, *, at: int, count: int, more: bytes) -> bytes:
    """Returns a box with more entries. at: the position of the 16-bit number of entries."""
    (before,) = struct.unpack_from(">H", box, at)
    content = box[8:at] + struct.pack(">H", before + count) + box[at + 2 :] + more
    return _box(box[4:8], content)


def _moved(iloc: bytes, *, by: int, base_bytes: int) -> bytes:
    """Returns an `iloc` with every extent moved back by `by` bytes."""
    out = bytearray(iloc)
    (items,) = struct.unpack_from(">H", iloc, 14)
    at = 16
    for _ in range(items):
        at += 4 + base_bytes
        (extents,) = struct.unpack_from(">H", iloc, at)
        at += 2
        for _ in range(extents):
            (start,) = struct.unpack_from(">I", iloc, at)
            struct.pack_into(">I", out, at, start + by)
            at += 8
    return bytes(out)
