"""Location removal for MPEG transport streams: tables of programs, pictures and sound stay. Packets of other
streams become empty, and so does what camcorders write about a recording into its pictures (MDPM).

Such data come again and again, so the whole file is read, once.
"""

from __future__ import annotations

from typing import Final

from kappi_mediameta.containers.transport_packets import (
    LEAST_PACKETS,
    NULL,
    PACKET_BYTES,
    PROGRAMS,
    SYNC,
    Layout,
    Program,
    Tables,
    layout_of,
    next_sync,
    packet_at,
    packets,
    program_of,
    programs_of,
)
from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.probing.camcorder import FIELD_BYTES, MARK
from kappi_mediameta.probing.transport_stream import codec_of

_HEAD_BYTES: Final = 4 << 20
_SOUND: Final = frozenset({0x03, 0x04, 0x0F, 0x11, *range(0x80, 0x88), 0xA1, 0xA2})
_SOUND_REGISTERED: Final = frozenset({b"AC-3", b"EAC3", b"DTS1", b"DTS2", b"DTS3", b"Opus"})
# A mark that lies in two packets has one of its halves in one of them.
_HALVES: Final = (MARK[:10], MARK[10:])
_PACKETS_BEFORE, _PACKETS_BEHIND = 32, 96
_NAME_AT: Final = len(MARK) - 4
_CLOCK, _OLD_CLOCK, _SPLICE, _PRIVATE = 0x10, 0x08, 0x04, 0x03
_FILLING: Final = 0xFF
_EMULATION: Final = b"\x00\x00\x03"


async def clean_transport_stream(region: Region) -> None:
    layout = layout_of(await region.read(0, min(region.size_bytes, LEAST_PACKETS * 192)))
    if layout is None:
        raise Unremovable("no run of packets")
    cleaner = _Cleaner(region, layout)
    await cleaner.find_streams()
    await cleaner.clean()


class _Cleaner:
    """Cleans the packets of one file. kept: the PIDs whose packets stay."""

    def __init__(self, region: Region, layout: Layout) -> None:
        self._region = region
        self._layout = layout
        self._tables: dict[int, Tables] = {PROGRAMS: Tables()}
        self._kept: set[int] = set()

    async def find_streams(self) -> None:
        """Reads the tables at the start. Raises Unremovable where there are none."""
        head = await self._region.read(0, min(self._region.size_bytes, _HEAD_BYTES))
        for packet in packets(head, self._layout.sync_at, self._layout.stride):
            self._take_tables(head, packet.at)
        if not self._kept:
            raise Unremovable("no table of streams")
        self._tables = {pid: Tables() for pid in self._tables}

    def _take_tables(self, body: bytes, at: int) -> None:
        packet = packet_at(body, at)
        if packet is None or packet.pid not in self._tables:
            return
        for table in self._tables[packet.pid].take(packet):
            if packet.pid == PROGRAMS:
                for pid in programs_of(table):
                    self._tables.setdefault(pid, Tables())
            elif (program := program_of(table)) is not None:
                self._kept |= _shown(program)

    async def clean(self) -> None:
        """Cleans every packet, and erases what lies between packets and behind the last one."""
        position, stride = 0, self._layout.stride
        while position < self._region.size_bytes:
            body = await self._region.scan(position)
            count = len(body) // stride
            syncs = body[self._layout.sync_at :: stride][:count]
            good = len(syncs) - len(syncs.lstrip(bytes([SYNC])))
            if good:
                await self._clean_packets(position, body, good)
                position += good * stride
                continue
            sync = next_sync(body, self._layout.sync_at, stride, least=LEAST_PACKETS)
            # Packets may begin in what was read, behind the last place where they can be recognised.
            whole = len(body) - LEAST_PACKETS * stride
            last = position + len(body) >= self._region.size_bytes
            gap = sync - self._layout.sync_at if sync is not None else len(body) if last else max(1, whole)
            await self._region.erase(position, gap)
            position += gap

    async def _clean_packets(self, position: int, body: bytes, count: int) -> None:
        """Cleans packets that follow each other. position: of the first, in the file."""
        stride, first = self._layout.stride, self._layout.sync_at
        end = count * stride
        highs, lows, controls = (body[first + at : end : stride] for at in (1, 2, 3))
        for number, (high, low, control) in enumerate(zip(highs, lows, controls, strict=True)):
            pid = (high & 0x1F) << 8 | low
            at = first + number * stride
            if pid in self._tables:
                self._take_tables(body, at)
            elif pid not in self._kept:
                self._empty(position + at, body[at + 4 : at + PACKET_BYTES])
                continue
            if control & 0x20:
                await self._clean_adaptation(position + at, body[at : at + PACKET_BYTES])
        for half in _HALVES:
            at = body.find(half, 0, end)
            while at >= 0:
                await self._clean_mark(position + at - (at - first) % stride)
                at = body.find(half, at + 1, end)

    def _empty(self, at: int, payload: bytes) -> None:
        """Erases all of a packet but its header. at: of its sync byte, in the file."""
        if payload.count(payload[:1]) < len(payload):
            self._region.zero(at + 4, len(payload))

    async def _clean_adaptation(self, at: int, packet: bytes) -> None:
        """Fills private data, and what fills up a packet. at: of its sync byte, in the file."""
        length = min(packet[4], PACKET_BYTES - 5)
        if not length:
            return
        flags = packet[5]
        used = 1 + 6 * bool(flags & _CLOCK) + 6 * bool(flags & _OLD_CLOCK) + bool(flags & _SPLICE)
        if used > length:
            return
        filling = bytes([_FILLING]) * (length - used)
        fields = bytes([flags & ~_PRIVATE]) + packet[6 : 5 + used] + filling
        if packet[5 : 5 + length] != fields:
            await self._region.write(at + 5, fields)

    async def _clean_mark(self, sync: int) -> None:
        """Fills what follows the marks in a packet. sync: its position in the file.

        A mark may begin in the packet before, and what follows it may go on in the next ones.
        """
        stride = self._layout.stride
        before = min(_PACKETS_BEFORE, sync // stride)
        start = sync - before * stride
        length = min(self._region.size_bytes - start, (before + _PACKETS_BEHIND) * stride)
        body = await self._region.read(start, length)
        this = packet_at(body, before * stride)
        if this is None:
            return
        payloads = {
            at + packet.payload_at: packet.payload
            for at in range(0, len(body) - PACKET_BYTES + 1, stride)
            if body[at] == SYNC and (packet := packet_at(body, at)) is not None and packet.pid == this.pid
        }
        unit = b"".join(payloads.values())
        filled, done = _without_fields(unit), 0
        for at, payload in payloads.items():
            part = filled[done : done + len(payload)]
            if part != payload:
                await self._region.write(start + at, part)
            done += len(payload)


def _without_fields(unit: bytes) -> bytes:
    """Returns coded video with the fields behind each mark, and its name, filled.

    A byte that keeps a start code from appearing stays, with the two zeros before it: the length of the
    fields must not change.
    """
    filled = bytearray(unit)
    mark = unit.find(MARK)
    while mark >= 0:
        at = mark + len(MARK)
        filled[mark + _NAME_AT : at] = bytes([_FILLING]) * (at - mark - _NAME_AT)
        left = FIELD_BYTES * unit[at] if at < len(unit) else 0
        while left and (at := at + 1) < len(unit):
            if unit[at - 2 : at + 1] == _EMULATION:
                filled[at - 2 : at] = bytes(2)
                continue
            filled[at] = _FILLING
            left -= 1
        mark = unit.find(MARK, mark + 1)
    return bytes(filled)


def _shown(program: Program) -> set[int]:
    """Returns the PIDs of pictures, sound and clock."""
    return {
        program.clock_pid,
        *(
            entry.pid
            for entry in program.streams
            if codec_of(entry) or entry.kind in _SOUND or entry.registered in _SOUND_REGISTERED
        ),
    } - {NULL}
