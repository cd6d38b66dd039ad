"""Header of an MPEG transport stream: size, shape, duration, codec and capture facts (ISO/IEC 13818-1).

A stream has no header of the file. Tables and the first pictures are read at its start, and times at its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from kappi_mediameta.containers.transport_packets import (
    NULL,
    PACKET_BYTES,
    PROGRAMS,
    SYNC,
    Layout,
    Packet,
    Program,
    StreamEntry,
    Tables,
    layout_of,
    next_sync,
    packets,
    program_of,
    programs_of,
)
from kappi_mediameta.probing.camcorder import capture_of
from kappi_mediameta.probing.coded_video import START, CodedSize, h264_size, hevc_size, mpeg2_size
from kappi_mediameta.probing.facts import CaptureFacts, PictureHeader, ProbeLimits
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BLOCK_BYTES, BlockReader

_CODECS: Final = {0x01: "mpeg1video", 0x02: "mpeg2video", 0x1B: "h264", 0x24: "hevc"}
_REGISTERED: Final = {b"HEVC": "hevc", b"AVC ": "h264"}
# MPEG-4, JPEG 2000, VVC, AVS, Dirac and VC-1.
_OTHER_VIDEO: Final = frozenset({0x10, 0x21, 0x33, 0x42, 0xD1, 0xD2, 0xD4, 0xEA})
_OTHER_REGISTERED: Final = frozenset({b"AV01", b"VC-1", b"drac", b"VVC "})
_SIZES: Final[dict[str, Callable[[bytes], CodedSize | None]]] = {
    "mpeg1video": mpeg2_size,
    "mpeg2video": mpeg2_size,
    "h264": h264_size,
    "hevc": hevc_size,
}
_HEAD_BYTES: Final = 8 << 20
_ENOUGH_BYTES: Final = 1 << 20  # for the times of pictures, once their size is known
_MAX_LOST_BYTES: Final = 1 << 20  # between packets
_WINDOW_BYTES: Final = 4 * BLOCK_BYTES
_TAIL_BYTES: Final = (512 << 10, 2 << 20)
_KEPT_BYTES, _CHECKED_BYTES = 2 << 10, 16 << 10
_FIRST_UNITS: Final = 8  # a picture may be shown before the one that it is coded after
_SYNCS, _LAST_PACKETS = 4, 16
_CLOCK_HZ: Final = 90_000
_WRAP: Final = 1 << 33
# The tables alone, ten times a second, are more. A slower stream has times that do not belong together.
_SLOWEST_BYTES_PER_S: Final = 2_000


def codec_of(entry: StreamEntry) -> str | None:
    """Returns the codec of a stream that is read, or None."""
    return _CODECS.get(entry.kind) or (_REGISTERED.get(entry.registered) if entry.kind == 0x06 else None)


def picture_of(program: Program) -> StreamEntry | None:
    """Returns the stream that players show, or None."""
    return next((entry for entry in program.streams if codec_of(entry)), None)


@dataclass(slots=True)
class _Found:
    """times: of pictures, in ticks of the clock. unread: there is video of a codec that is not read."""

    picture: StreamEntry | None = None
    programs: int = 0
    unread: bool = False
    size: CodedSize | None = None
    capture: CaptureFacts = field(default_factory=CaptureFacts)
    has_media: bool = False
    times: list[int] = field(default_factory=list)


async def read_transport_stream(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    layout = layout_of(await reader.read_upto(0, BLOCK_BYTES // 16))
    if layout is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no run of packets at its start")
    found = await _Start(reader, layout).read()
    if found.picture is None:
        if found.unread:
            raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "video of another codec")
        reason = RejectReason.NO_PICTURE if found.programs else RejectReason.CORRUPT
        raise ProbeRejected(reason, "no table of streams" if not found.programs else "")
    if found.size is None:
        reason = RejectReason.CORRUPT if found.has_media else RejectReason.TRUNCATED
        raise ProbeRejected(reason, "no header of the video")
    size = found.size
    limits.check_size(size.square_width, size.height, max_pixels=limits.max_video_pixels)
    duration_ms = await _duration_ms(reader, layout, found)
    limits.check_duration(duration_ms)
    return PictureHeader(
        stored_width=size.square_width,
        stored_height=size.height,
        codec=codec_of(found.picture) or "",
        animated=True,
        duration_ms=duration_ms,
        capture=found.capture,
    )


class _Start:
    """Reads packets from the start on, until size and first time of the picture are known."""

    def __init__(self, reader: BlockReader, layout: Layout) -> None:
        self._reader = reader
        self._layout = layout
        self._found = _Found()
        self._tables: dict[int, Tables] = {PROGRAMS: Tables()}
        self._stream = bytearray()
        self._checked = 0
        self._at = layout.sync_at

    async def read(self) -> _Found:
        found = self._found
        async for packet in self._packets():
            tables = self._tables.get(packet.pid)
            if tables is not None and found.picture is None:
                for table in tables.take(packet):
                    self._note(packet.pid, table)
            elif found.picture is not None and packet.pid == found.picture.pid:
                self._take(packet)
            if found.size is not None and (len(found.times) >= _FIRST_UNITS or self._at > _ENOUGH_BYTES):
                break
        self._check()
        return found

    async def _packets(self) -> AsyncIterator[Packet]:
        stride = self._layout.stride
        end = min(self._reader.size_bytes, _HEAD_BYTES)
        length, lost = BLOCK_BYTES, 0
        while self._at + PACKET_BYTES <= end:
            body = await self._reader.read_upto(self._at, length // stride * stride)
            walked, lost = len(body), lost + len(body)
            for packet in packets(body, 0, stride):
                yield packet
                walked, lost = packet.at + stride, lost - stride
            self._at += walked
            if lost > _MAX_LOST_BYTES:
                return
            length = _WINDOW_BYTES

    def _note(self, pid: int, table: bytes) -> None:
        found = self._found
        if pid == PROGRAMS:
            for program_pid in programs_of(table):
                if program_pid != NULL:
                    self._tables.setdefault(program_pid, Tables())
            return
        program = program_of(table)
        if program is None:
            return
        found.programs += 1
        found.picture = found.picture or picture_of(program)
        found.unread = found.unread or any(
            entry.kind in _OTHER_VIDEO or entry.registered in _OTHER_REGISTERED for entry in program.streams
        )

    def _take(self, packet: Packet) -> None:
        """Collects the coded video, which lies in units with a header each."""
        payload = packet.payload
        self._found.has_media = self._found.has_media or bool(payload)
        if packet.starts:
            if len(self._stream) - self._checked > _KEPT_BYTES:
                self._check()
            time = time_of(payload)
            if time is not None:
                self._found.times.append(time)
            payload = payload[9 + payload[8] :] if len(payload) > 8 else b""
        if self._found.size is None:
            self._stream += payload
            if len(self._stream) - self._checked > _CHECKED_BYTES:
                self._check()

    def _check(self) -> None:
        """Looks for the header in the video collected so far, and keeps its end, where one may begin."""
        if self._found.size is not None or self._found.picture is None:
            return
        stream = bytes(self._stream) + START
        with suppress(ProbeRejected):  # a damaged header, after which another one comes
            codec = codec_of(self._found.picture) or ""
            self._found.size = _SIZES[codec](stream)
            if self._found.size is not None and codec == "h264":
                self._found.capture = capture_of(stream)
        del self._stream[:-_KEPT_BYTES]
        self._checked = len(self._stream)


def time_of(unit: bytes) -> int | None:
    """Returns the time of a unit by its header, in ticks of 90 kHz, or None."""
    if len(unit) < 14 or unit[:3] != START or not (unit[3] & 0xF0 == 0xE0 or unit[3] == 0xFD):
        return None
    if not unit[7] & 0x80:
        return None
    stamp = unit[9:14]
    return (stamp[0] >> 1 & 7) << 30 | stamp[1] << 22 | (stamp[2] >> 1) << 15 | stamp[3] << 7 | stamp[4] >> 1


async def _duration_ms(reader: BlockReader, layout: Layout, found: _Found) -> int | None:
    """Returns the time from the first picture to the end of the last."""
    if not found.times or found.picture is None:
        return None
    end = await _end_of_packets(reader, layout)
    for length in _TAIL_BYTES:
        start = max(layout.sync_at, end - length)
        body = await reader.read(start, end - start)
        first = next_sync(body, 0, layout.stride)
        times = [
            time
            for packet in (packets(body, first, layout.stride) if first is not None else ())
            if packet.pid == found.picture.pid and packet.starts
            for time in (time_of(packet.payload),)
            if time is not None
        ]
        if times:
            return _milliseconds(found.times, times, size_bytes=reader.size_bytes)
    return None


def _milliseconds(first: list[int], last: list[int], *, size_bytes: int) -> int | None:
    """Returns the duration by times of the first and the last pictures. The clock starts anew at 33 bits."""
    begin = first[0] + min(_apart(time, first[0]) for time in first)
    ends = sorted({_apart(time, last[0]) for time in last})
    frame = min((after - before for before, after in pairwise(ends)), default=0)
    ticks = (last[0] + ends[-1] - begin) % _WRAP + frame
    if ticks > size_bytes * _CLOCK_HZ // _SLOWEST_BYTES_PER_S:
        return None
    return round(ticks * 1000 / _CLOCK_HZ) or None


def _apart(time: int, other: int) -> int:
    return (time - other + _WRAP // 2) % _WRAP - _WRAP // 2


async def _end_of_packets(reader: BlockReader, layout: Layout) -> int:
    """Returns the end of the last packet. Other bytes may follow it, in any amount."""
    stride, start, size = layout.stride, layout.sync_at, reader.size_bytes
    good, bad = 0, (size - start - PACKET_BYTES) // stride + 1
    tail = await reader.tail(_LAST_PACKETS * stride)
    if any(len(syncs) >= _SYNCS and syncs.count(SYNC) == len(syncs) for syncs in _columns(tail, stride)):
        return size
    while bad - good > 1:
        middle = (good + bad) // 2
        if await _is_run(reader, layout, middle):
            good = middle
        else:
            bad = middle
    return start + good * stride + PACKET_BYTES


def _columns(tail: bytes, stride: int) -> list[bytes]:
    """Returns the bytes of each alignment, of the whole packets at the end."""
    first = len(tail) % stride
    return [tail[first + offset : max(0, len(tail) - PACKET_BYTES + 1) : stride] for offset in range(stride)]


async def _is_run(reader: BlockReader, layout: Layout, number: int) -> bool:
    """Returns whether a packet and those before it begin with a sync byte."""
    positions = [layout.sync_at + at * layout.stride for at in range(max(0, number - _SYNCS + 1), number + 1)]
    return all([(await reader.read(position, 1))[0] == SYNC for position in positions])
