"""Packets of MPEG transport streams, written by hand, with as little picture as a reader of headers needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

CLOCK_HZ: Final = 90_000
TABLE_PID: Final = 0x1000
PICTURE_PID: Final = 0x0100
_PACKET_BYTES: Final = 188


def packet(pid: int, payload: bytes, *, starts: bool = False) -> bytes:
    """Returns one packet, filled up where the payload is short."""
    room = _PACKET_BYTES - 4
    assert len(payload) <= room
    filling = room - len(payload)
    head = bytes([0x47, (0x40 if starts else 0) | pid >> 8, pid & 0xFF, 0x30 if filling else 0x10])
    if not filling:
        return head + payload
    adaptation = bytes([filling - 1]) + (b"\0" + b"\xff" * (filling - 2) if filling > 1 else b"")
    return head + adaptation + payload


def table(number: int, body: bytes) -> bytes:
    """Returns a table with its pointer. Its checksum is not right, and no reader of headers checks it."""
    size = len(body) + 5 + 4
    return bytes([0, number, 0xB0 | size >> 8, size & 0xFF, 0, 1, 0xC1, 0, 0]) + body + bytes(4)


def tables(streams: Sequence[tuple[int, int, bytes]] = ((0x02, PICTURE_PID, b""),)) -> bytes:
    """Returns the packets of a program. streams: kind, PID and descriptors of each."""
    programs = table(0, bytes([0, 1, 0xE0 | TABLE_PID >> 8, TABLE_PID & 0xFF]))
    listed = b"".join(
        bytes([kind, 0xE0 | pid >> 8, pid & 0xFF, 0xF0, len(descriptors)]) + descriptors
        for kind, pid, descriptors in streams
    )
    clock = bytes([0xE0 | PICTURE_PID >> 8, PICTURE_PID & 0xFF, 0xF0, 0])
    return packet(0, programs, starts=True) + packet(TABLE_PID, table(2, clock + listed), starts=True)


def mpeg2(width: int = 320, height: int = 240, *, shape: int = 1) -> bytes:
    """Returns a sequence header, its extension, and the start of a picture."""
    sides = (width & 0xFFF) << 12 | (height & 0xFFF)
    header = b"\x00\x00\x01\xb3" + sides.to_bytes(3, "big") + bytes([shape << 4 | 3]) + bytes(4)
    more = 1 << 28 | (width >> 12) << 15 | (height >> 12) << 13
    return (
        header + b"\x00\x00\x01\xb5" + more.to_bytes(4, "big") + bytes(2) + b"\x00\x00\x01\x00" + b"\x11" * 8
    )


def unit(ticks: int | None, coded: bytes) -> bytes:
    """Returns a unit of a stream of pictures. ticks: its time."""
    if ticks is None:
        return b"\x00\x00\x01\xe0\x00\x00\x80\x00\x00" + coded
    ticks %= 1 << 33
    stamp = [0x21 | ticks >> 29 & 0x0E, ticks >> 22 & 0xFF, 1 | ticks >> 14 & 0xFE, ticks >> 7 & 0xFF]
    return b"\x00\x00\x01\xe0\x00\x00\x80\x80\x05" + bytes([*stamp, 1 | ticks << 1 & 0xFE]) + coded


def packets_of(pid: int, body: bytes) -> bytes:
    """Returns the packets of one unit of a stream."""
    room = _PACKET_BYTES - 4
    return b"".join(packet(pid, body[at : at + room], starts=at == 0) for at in range(0, len(body), room))


def stream(times: Iterable[int], *, coded: bytes | None = None, head: bytes | None = None) -> bytes:
    """Returns a transport stream of pictures at these times, in ticks."""
    body = mpeg2() if coded is None else coded
    return (tables() if head is None else head) + b"".join(
        packets_of(PICTURE_PID, unit(ticks, body)) for ticks in times
    )


def with_times(plain: bytes) -> bytes:
    """Returns a transport stream with four bytes before each packet, as camcorders write it."""
    return b"".join(bytes(4) + plain[at : at + _PACKET_BYTES] for at in range(0, len(plain), _PACKET_BYTES))
