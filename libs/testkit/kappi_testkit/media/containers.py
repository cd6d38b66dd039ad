"""Builds container files that no encoder writes: contradictions, loops, bombs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


def box(name: bytes, *bodies: bytes) -> bytes:
    """Returns a box of ISO base media."""
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), name) + body


def grown(body: bytes, *path: bytes, more: bytes) -> bytes:
    """Returns a movie whose index is behind its media, with bytes added at the end of a box.

    path: the names of the box and of those around it, the outermost first; the first box of each name counts.
    """
    at = 0
    for name in path:
        at = body.index(name, at) - 4
        size = int.from_bytes(body[at : at + 4], "big")
        body = body[:at] + struct.pack(">I", size + len(more)) + body[at + 4 :]
        at += 8
    end = at - 8 + size
    return body[:end] + more + body[end:]


def full_box(name: bytes, *bodies: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(name, bytes([version]) + flags.to_bytes(3, "big"), *bodies)


def irot(quarter_turns: int) -> bytes:
    """Returns a rotation, counter-clockwise."""
    return box(b"irot", bytes([quarter_turns]))


def imir(mode: int) -> bytes:
    """Returns a mirroring. 0: top and bottom are exchanged, 1: left and right."""
    return box(b"imir", bytes([mode]))


def ispe(width: int, height: int) -> bytes:
    return full_box(b"ispe", struct.pack(">II", width, height))


def clap(width: int, height: int) -> bytes:
    return box(b"clap", struct.pack(">IIIIIIII", width, 1, height, 1, 0, 1, 0, 1))


@dataclass(frozen=True, slots=True)
class Heif:
    """A HEIC of one picture in `kind` coding; its data are zeros.

    properties: in the order they apply. grid: the size that a grid declares, with two tiles as its parts.
    exif: a TIFF block. data_bytes: the declared length of the picture's data.
    """

    properties: Sequence[bytes] = (ispe(120, 80),)
    kind: bytes = b"hvc1"
    grid: tuple[int, int] | None = None
    exif: bytes = b""
    data_bytes: int = 64
    stored_bytes: int = 64
    items: int = 0
    extra: Mapping[bytes, bytes] = field(default_factory=dict)

    def build(self) -> bytes:
        """Returns the file. Its offsets are computed first without and then with the right positions."""
        return self._assembled(self._assembled(0).index(b"mdat") + 4)

    def _assembled(self, data_at: int) -> bytes:
        picture = self._picture()
        exif = bytes(4) + self.exif if self.exif else b""
        kinds = [self.kind if self.grid is None else b"grid", b"Exif", b"hvc1", b"hvc1"]
        sizes = [len(picture) if self.grid else self.data_bytes, len(exif), 16, 16]
        starts = [data_at, data_at + len(picture), data_at, data_at]
        kinds += [b"mime"] * self.items
        sizes += [1] * self.items
        starts += [data_at] * self.items
        entries = b"".join(
            full_box(b"infe", struct.pack(">HH", number, 0), kind, b"\x00", version=2)
            for number, kind in enumerate(kinds, 1)
        )
        places = b"".join(
            struct.pack(">HHHII", number, 0, 1, start, size)
            for number, (start, size) in enumerate(zip(starts, sizes, strict=True), 1)
        )
        associated = bytes([len(self.properties), *range(1, len(self.properties) + 1)])
        meta = full_box(
            b"meta",
            full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", struct.pack(">H", 1)),
            full_box(b"iinf", struct.pack(">H", len(kinds)), entries),
            full_box(b"iref", self._references()),
            full_box(b"iloc", b"\x44\x00", struct.pack(">H", len(kinds)), places),
            box(
                b"iprp",
                box(b"ipco", *self.properties),
                full_box(b"ipma", struct.pack(">IH", 1, 1), associated),
            ),
            *(box(name, body) for name, body in self.extra.items()),
        )
        brand = b"avif" if self.kind == b"av01" else b"heic"
        start = box(b"ftyp", brand, bytes(4), b"mif1", brand)
        return start + meta + box(b"mdat", picture, exif)

    def _picture(self) -> bytes:
        if self.grid is None:
            return bytes(self.stored_bytes)
        return bytes((0, 0, 0, 1)) + struct.pack(">HH", *self.grid) + bytes(16)

    def _references(self) -> bytes:
        exif = box(b"cdsc", struct.pack(">HHH", 2, 1, 1))
        return exif if self.grid is None else exif + box(b"dimg", struct.pack(">HHHH", 1, 2, 3, 4))


def element(name: int, *bodies: bytes, size: int | None = None) -> bytes:
    """Returns an EBML element. size: to declare instead of the true one; -1 for an unknown one."""
    body = b"".join(bodies)
    length = (len(name.to_bytes(4, "big").lstrip(b"\x00"))) or 1
    claimed = len(body) if size is None else size
    written = (1 << 56) - 1 if claimed < 0 else claimed
    return name.to_bytes(length, "big") + ((1 << 56) | written).to_bytes(8, "big") + body


def unsigned(name: int, number: int) -> bytes:
    return element(name, number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big"))


def real(name: int, number: float) -> bytes:
    return element(name, struct.pack(">d", number))


def video_track(*video: bytes, codec: bytes = b"V_VP9", extra: bytes = b"") -> bytes:
    """Returns a track of 320 x 180. video: later elements, which replace these settings."""
    settings = unsigned(0xB0, 320) + unsigned(0xBA, 180) + b"".join(video)
    return element(0xAE, unsigned(0x83, 1), element(0x86, codec), extra, element(0xE0, settings))


def matroska(*parts: bytes, doctype: bytes = b"webm", size: int | None = None) -> bytes:
    """Returns a Matroska file. parts: of the segment. size: declared by the segment."""
    head = element(0x1A45DFA3, b"\x42\x82" + bytes([0x80 | len(doctype)]) + doctype)
    return head + element(0x18538067, *parts, size=size)


def cluster(start: int = 0, *, frames: Sequence[int] = (0,)) -> bytes:
    """Returns a cluster of simple blocks of one byte, at times counted from `start`."""
    blocks = (element(0xA3, b"\x81", struct.pack(">h", at), b"\x80", b"x") for at in frames)
    return element(0x1F43B675, unsigned(0xE7, start), *blocks)


def tiff(entries: Sequence[tuple[int, int, int, int]], *, tail: bytes = b"", next_at: int = 0) -> bytes:
    """Returns a little-endian TIFF of one directory at 8, then `tail`.

    entries: (tag, type, count, value or offset) each. next_at: offset of the next directory.
    """
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\x00" + struct.pack("<IH", 8, len(entries))
    return head + body + struct.pack("<I", next_at) + tail
