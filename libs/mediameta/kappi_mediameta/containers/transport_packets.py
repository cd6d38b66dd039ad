"""Packets and tables of an MPEG transport stream (ISO/IEC 13818-1), also with a time before each packet, as
camcorders and Blu-ray write them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

SYNC: Final = 0x47
PACKET_BYTES: Final = 188
_TIME_BYTES: Final = 4
LEAST_PACKETS: Final = 5
"""The number of packets by which a file is recognised. Chance finds so many sync bytes once in a trillion."""
PROGRAMS: Final = 0
"""The PID of the table of programs."""
NULL: Final = 0x1FFF
"""The PID of packets without a meaning."""
_PROGRAM_TABLE, _STREAM_TABLE = 0x00, 0x02


class Layout(NamedTuple):
    """stride: bytes from one packet to the next. sync_at: position of the first sync byte."""

    stride: int
    sync_at: int


LAYOUTS: Final = (Layout(PACKET_BYTES, 0), Layout(PACKET_BYTES + _TIME_BYTES, _TIME_BYTES))


def layout_of(head: bytes) -> Layout | None:
    """Returns the layout of a file whose first bytes are whole packets from the start, or None."""
    for layout in LAYOUTS:
        syncs = head[layout.sync_at :: layout.stride]
        if len(syncs) >= LEAST_PACKETS and syncs.count(SYNC) == len(syncs):
            return layout
    return None


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. at: position of its sync byte in the bytes that were read. starts: a table, or a unit of a
    stream, begins in it. payload_at: position of the payload in the packet, 188 where it has none."""

    at: int
    pid: int
    starts: bool
    payload_at: int
    payload: bytes


def packet_at(body: bytes, at: int) -> Packet | None:
    """Returns the packet at a position where a sync byte stands, or None for a damaged one."""
    _, high, low, control = body[at : at + 4]
    if high & 0x80:  # the receiver found an error in it
        return None
    payload_at = 4
    if control & 0x20:
        payload_at += 1 + body[at + 4]
    if not control & 0x10 or payload_at > PACKET_BYTES:
        payload_at = PACKET_BYTES
    payload = body[at + payload_at : at + PACKET_BYTES]
    return Packet(at, (high & 0x1F) << 8 | low, bool(high & 0x40), payload_at, payload)


def packets(body: bytes, first: int, stride: int) -> Iterator[Packet]:
    """Yields the whole packets from a sync byte on. Bytes between packets, which a bad reception leaves, are
    passed over."""
    at = first
    while at + PACKET_BYTES <= len(body):
        if body[at] != SYNC:
            found = next_sync(body, at, stride)
            if found is None:
                return
            at = found
        packet = packet_at(body, at)
        if packet is not None:
            yield packet
        at += stride


def next_sync(body: bytes, start: int, stride: int, *, least: int = 2) -> int | None:
    """Returns the position of the next sync byte that begins a run of packets.

    least: number of packets by which a run is recognised where the bytes end soon.
    """
    at = body.find(SYNC, start)
    while at >= 0:
        others = body[at : at + LEAST_PACKETS * stride : stride]
        if len(others) >= least and others.count(SYNC) == len(others):
            return at
        at = body.find(SYNC, at + 1)
    return None


class Tables:
    """Collects the tables of one PID from its packets."""

    def __init__(self) -> None:
        self._open: bytearray | None = None

    def take(self, packet: Packet) -> list[bytes]:
        """Returns the tables that this packet completes, without their checksums."""
        payload = packet.payload
        if not packet.starts:
            return self._more(payload)
        if not payload or payload[0] >= len(payload):
            self._open = None
            return []
        pointer = 1 + payload[0]
        found = self._more(payload[1:pointer])
        self._open = bytearray()
        return found + self._more(payload[pointer:])

    def _more(self, payload: bytes) -> list[bytes]:
        found: list[bytes] = []
        if self._open is None:
            return found
        self._open += payload
        while len(self._open) >= 3 and self._open[0] != 0xFF:
            size = 3 + ((self._open[1] & 0x0F) << 8 | self._open[2])
            if len(self._open) < size:
                return found
            found.append(bytes(self._open[: size - 4]))
            del self._open[:size]
        if len(self._open) >= 3:  # filling
            self._open = None
        return found


def programs_of(table: bytes) -> list[int]:
    """Returns the PIDs of the stream tables that a table of programs names."""
    if len(table) < 8 or table[0] != _PROGRAM_TABLE:
        return []
    entries = (table[at : at + 4] for at in range(8, len(table) - 3, 4))
    return [_pid(entry[2:]) for entry in entries if entry[:2] != b"\0\0"]


class StreamEntry(NamedTuple):
    """One stream of a program. registered: the four letters of its registration, or none."""

    pid: int
    kind: int
    registered: bytes


class Program(NamedTuple):
    clock_pid: int
    streams: tuple[StreamEntry, ...]


def program_of(table: bytes) -> Program | None:
    """Returns the streams that a stream table names, or None for a table of another kind."""
    if len(table) < 12 or table[0] != _STREAM_TABLE:
        return None
    streams = []
    at = 12 + _length(table[10:12])
    while at + 5 <= len(table):
        end = at + 5 + _length(table[at + 3 : at + 5])
        streams.append(
            StreamEntry(_pid(table[at + 1 : at + 3]), table[at], _registration(table[at + 5 : end]))
        )
        at = end
    return Program(_pid(table[8:10]), tuple(streams))


def _registration(descriptors: bytes) -> bytes:
    at = 0
    while at + 2 <= len(descriptors):
        tag, size = descriptors[at], descriptors[at + 1]
        if tag == 0x05 and size >= 4:
            return descriptors[at + 2 : at + 6]
        at += 2 + size
    return b""


def _pid(two: bytes) -> int:
    return int.from_bytes(two, "big") & 0x1FFF


def _length(two: bytes) -> int:
    return int.from_bytes(two, "big") & 0x0FFF
