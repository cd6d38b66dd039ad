"""AVI and ASF, written by hand, with headers and as little media as a reader of headers needs."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final
from uuid import UUID


def chunk(name: bytes, body: bytes = b"") -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) & 1)


def listed(name: bytes, *chunks: bytes) -> bytes:
    return chunk(b"LIST", name + b"".join(chunks))


def bitmap(width: int = 320, height: int = 240, *, letters: bytes = b"MJPG") -> bytes:
    return struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, letters, 0, 0, 0, 0, 0)


def stream_header(
    handler: bytes = b"vids",
    *,
    letters: bytes = b"MJPG",
    scale: int = 1,
    rate: int = 25,
    length: int = 50,
) -> bytes:
    numbers = struct.pack("<IIIII", scale, rate, 0, length, 0)
    return chunk(b"strh", handler + letters + bytes(12) + numbers + bytes(16))


def picture(*more: bytes, header: bytes | None = None, form: bytes | None = None) -> bytes:
    """Returns the list of a stream of pictures. more: chunks behind the format."""
    form = bitmap() if form is None else form
    return listed(b"strl", header or stream_header(), chunk(b"strf", form), *more)


SOUND: Final = listed(b"strl", stream_header(b"auds", letters=bytes(4)), chunk(b"strf", bytes(16)))
MEDIA: Final = listed(b"movi", chunk(b"00dc", b"picture"))


def main_header(*, microseconds: int = 40_000, frames: int = 50) -> bytes:
    return chunk(b"avih", struct.pack("<I12xI", microseconds, frames) + bytes(36))


def avi(*header: bytes, behind: Iterable[bytes] = (MEDIA,), main: bytes | None = None) -> bytes:
    """Returns a file. header: the lists of its streams, and others. behind: what follows the header."""
    body = b"AVI " + listed(b"hdrl", main or main_header(), *header) + b"".join(behind)
    return chunk(b"RIFF", body)


def asf_object(identifier: str, body: bytes = b"") -> bytes:
    return UUID(identifier).bytes_le + struct.pack("<Q", 24 + len(body)) + body


DATA: Final = "75B22636-668E-11CF-A6D9-00AA0062CE6C"
VIDEO, AUDIO = "BC19EFC0-5B4D-11CF-A8FD-00805F5C442B", "F8699E40-5B4D-11CF-A8FD-00805F5C442B"
COMMANDS: Final = "59DACFC0-59E6-11D0-A3AC-00A0C90348F6"


def file_properties(
    *, created: int = 0, duration: int = 35_000_000, preroll: int = 1500, flags: int = 2
) -> bytes:
    fields = struct.pack("<QQQQQQI", 0, created, 0, duration, duration, preroll, flags)
    return asf_object("8CABDCA1-A947-11CF-8EE4-00C00C205365", bytes(16) + fields + bytes(12))


def stream_properties(kind: str = VIDEO, *, number: int = 1, form: bytes | None = None) -> bytes:
    form = bitmap(letters=b"WMV3") if form is None else form
    data = struct.pack("<IIBH", 320, 240, 2, len(form)) + form if kind == VIDEO else bytes(18)
    fields = bytes(16) + struct.pack("<QIIHI", 0, len(data), 0, number, 0)
    return asf_object("B7DC0791-A9B7-11CF-8EE6-00C00C205365", UUID(kind).bytes_le + fields + data)


def attribute(name: str, value: bytes, *, stream: int = 0) -> bytes:
    written = (name + "\0").encode("utf-16-le")
    return struct.pack("<HHHHI", 0, stream, len(written), 3, len(value)) + written + value


def metadata(*attributes: bytes) -> bytes:
    body = struct.pack("<H", len(attributes)) + b"".join(attributes)
    return asf_object("C5F8CBEA-5BAF-4877-8467-AA8C44FA4CCA", body)


def extended(*inner: bytes, name: bytes = b"", number: int = 1) -> bytes:
    """Returns the extended properties of a stream, with its name and its properties."""
    names = struct.pack("<HH", 0, len(name)) + name if name else b""
    fields = bytes(48) + struct.pack("<HHQHH", number, 0, 400_000, 1 if name else 0, 0)
    return asf_object("14E6A5CB-C672-4332-8399-A96952065B5A", fields + names + b"".join(inner))


def extension(*objects: bytes) -> bytes:
    body = b"".join(objects)
    head = bytes(16) + struct.pack("<HI", 6, len(body))
    return asf_object("5FBF03B5-A92E-11CF-8EE3-00C00C205365", head + body)


def asf(*header: bytes, media: bytes | None = None) -> bytes:
    """Returns a file. header: the objects of its header."""
    head = struct.pack("<IBB", len(header), 1, 2) + b"".join(header)
    return asf_object("75B22630-668E-11CF-A6D9-00AA0062CE6C", head) + (
        asf_object(DATA, bytes(26) + b"media") if media is None else media
    )
