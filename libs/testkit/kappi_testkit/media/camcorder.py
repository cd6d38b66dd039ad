"""What camcorders write into films: user data of H.264 in AVCHD (MDPM), and the date of an AVI."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Final

MARK: Final = bytes.fromhex("17ee8c60f84d11d98cd60800200c9a66") + b"MDPM"
_PICTURE_PARAMETERS: Final = re.compile(
    rb"\x00\x00\x00\x01[\x28\x48\x68](?:(?!\x00\x00\x01|\x00\x00\x00).)+", re.DOTALL
)

PARIS: Final[Mapping[int, bytes]] = {
    0x18: bytes([0x04, 0x20, 0x24, 0x07]),  # two hours east
    0x19: bytes([0x05, 0x12, 0x11, 0x12]),
    0xB0: bytes([2, 2, 0, 0]),
    0xB1: b"N\0\0\0",
    0xB2: struct.pack(">HH", 48, 1),
    0xB3: struct.pack(">HH", 51, 1),
    0xB4: struct.pack(">HH", 302, 10),
    0xB5: b"E\0\0\0",
    0xB6: struct.pack(">HH", 2, 1),
    0xB7: struct.pack(">HH", 17, 1),
    0xB8: struct.pack(">HH", 402, 10),
}
"""Fields by number: 5 July 2024, 12:11:12, at the Eiffel Tower."""


def user_data(fields: Mapping[int, bytes]) -> bytes:
    """Returns a unit with its start code. Each field has four bytes."""
    body = MARK + bytes([len(fields)]) + b"".join(bytes([n]) + value for n, value in sorted(fields.items()))
    size = b"\xff" * (len(body) // 255) + bytes([len(body) % 255])
    unit = bytearray()
    for byte in b"\x05" + size + body + b"\x80":
        if byte <= 3 and unit[-2:] == b"\0\0":
            unit.append(3)
        unit.append(byte)
    return b"\x00\x00\x00\x01\x06" + bytes(unit)


def with_user_data(stream: bytes, fields: Mapping[int, bytes]) -> bytes:
    """Returns H.264 with the unit behind each set of parameters of pictures, as before each key frame."""
    written = user_data(fields)
    marked, count = _PICTURE_PARAMETERS.subn(lambda found: found.group() + written, stream)
    assert count
    return marked


def with_date(avi: bytes, date: bytes) -> bytes:
    """Returns an AVI with a date as the last chunk of its header."""
    (header_bytes,) = struct.unpack_from("<I", avi, 16)
    (file_bytes,) = struct.unpack_from("<I", avi, 4)
    chunk = b"IDIT" + struct.pack("<I", len(date)) + date + bytes(len(date) & 1)
    end = 20 + header_bytes
    sizes = struct.pack("<I", file_bytes + len(chunk)), struct.pack("<I", header_bytes + len(chunk))
    return avi[:4] + sizes[0] + avi[8:16] + sizes[1] + avi[20:end] + chunk + avi[end:]
