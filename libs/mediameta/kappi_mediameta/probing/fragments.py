"""Duration of a fragmented movie without one in its header: a movie that was written while it was recorded.

It is read from an index of segments that spans the file, from the index of fragments at the end, or by a
walk over the fragments. It is unknown where there are more fragments than a probe walks. Source: ISO/IEC
14496-12, 8.8 and 8.16.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.movie_tracks import Movie, Track, milliseconds
from kappi_mediameta.probing.rejection import ProbeRejected

_MAX_TABLE_BYTES: Final = 256 << 10
_MAX_FRAGMENTS_WALKED: Final = 40
_BASE_OFFSET, _DESCRIPTION, _DURATION = 0x1, 0x2, 0x8
_RUN_OFFSET, _FIRST_FLAGS, _RUN_DURATIONS = 0x1, 0x4, 0x100
_RUN_FIELDS: Final = (0x100, 0x200, 0x400, 0x800)


async def fragments_ms(boxes: BoxReader, moov: Box, movie: Movie, track: Track) -> int | None:
    """Returns milliseconds, or None where they are unknown. A damaged index counts as absent."""
    for measure in (_by_fragment_index, _by_walking):
        try:
            end = await measure(boxes, moov, movie, track)
        except ProbeRejected:
            continue
        if end:
            return milliseconds(end, track.timescale)
    return None


async def _by_fragment_index(boxes: BoxReader, moov: Box, movie: Movie, track: Track) -> int | None:
    """Returns the end by the last entry of the `mfra` box at the end of the file, and by its fragment."""
    if boxes.size_bytes < moov.end + 16:
        return None
    last = Box(b"", boxes.size_bytes - 16, boxes.size_bytes - 16, boxes.size_bytes)
    size, name, _, index_bytes = struct.unpack(">I4sII", await boxes.body(last, at_most=16))
    if (size, name) != (16, b"mfro") or not 16 < index_bytes <= min(
        _MAX_TABLE_BYTES, boxes.size_bytes - moov.end
    ):
        return None
    async for mfra in boxes.children(boxes.size_bytes - index_bytes, boxes.size_bytes):
        if mfra.name != b"mfra":
            return None
        async for box in boxes.children(mfra.start, mfra.end):
            if box.name == b"tfra":
                found = _last_entry(await boxes.body(box, at_most=_MAX_TABLE_BYTES), track.id)
                if found is not None and moov.end <= found < boxes.size_bytes:
                    return await _end_of_fragment_at(boxes, found, movie, track)
    return None


def _last_entry(body: bytes, track_id: int) -> int | None:
    """Returns the position of a track's last fragment by the body of `tfra`, or None."""
    if len(body) < 16:
        return None
    owner, lengths, count = struct.unpack_from(">III", body, 4)
    word = 8 if body[0] == 1 else 4
    entry_bytes = 2 * word + sum((lengths >> shift & 3) + 1 for shift in (0, 2, 4))
    at = 16 + (count - 1) * entry_bytes
    if owner != track_id or not count or at + 2 * word > len(body):
        return None
    return int.from_bytes(body[at + word : at + 2 * word], "big")


async def _end_of_fragment_at(boxes: BoxReader, at: int, movie: Movie, track: Track) -> int | None:
    async for box in boxes.of_file(at):
        return await _end_of_fragment(boxes, box, movie, track) if box.name == b"moof" else None
    return None


async def _by_walking(boxes: BoxReader, moov: Box, movie: Movie, track: Track) -> int | None:
    """Returns the end of the last fragment after a walk over all, or the sum of an index of segments."""
    end: int | None = None
    walked = 0
    async for box in boxes.of_file(moov.end):
        if box.name == b"sidx" and walked == 0:
            spanned = _spanned(await boxes.body(box, at_most=_MAX_TABLE_BYTES), box, boxes.size_bytes)
            if spanned is not None:
                units, timescale = spanned
                return units * track.timescale // timescale
        if box.name != b"moof":
            continue
        walked += 1
        if walked > _MAX_FRAGMENTS_WALKED:
            return None
        found = await _end_of_fragment(boxes, box, movie, track, start=end or 0)
        end = max(end or 0, found or 0)
    return end


def _spanned(body: bytes, box: Box, size_bytes: int) -> tuple[int, int] | None:
    """Returns duration and timescale of a `sidx` whose segments reach (nearly) to the end of the file."""
    fixed = 32 if body[:1] == b"\x01" else 24
    if len(body) < fixed:
        return None
    (timescale,) = struct.unpack_from(">I", body, 8)
    offset = int.from_bytes(body[20:28] if fixed == 32 else body[16:20], "big")
    (count,) = struct.unpack_from(">H", body, fixed - 2)
    if len(body) < fixed + 12 * count:
        return None
    references = list(struct.iter_unpack(">III", body[fixed : fixed + 12 * count]))
    reach = box.end + offset + sum(size & 0x7FFFFFFF for size, _, _ in references)
    if not timescale or reach > size_bytes or reach < size_bytes * 0.98:
        return None
    return sum(duration for _, duration, _ in references), timescale


async def _end_of_fragment(
    boxes: BoxReader, moof: Box, movie: Movie, track: Track, *, start: int = 0
) -> int | None:
    """Returns the end of a track's samples in a fragment. start: its begin where it does not name one."""
    async for traf in boxes.children(moof.start, moof.end):
        if traf.name == b"traf":
            body = await boxes.body(traf, at_most=_MAX_TABLE_BYTES)
            parts = list(_parts(body))
            header = next((part for name, part in parts if name == b"tfhd"), b"")
            if int.from_bytes(header[4:8], "big") == track.id:
                default = _default_duration(header, movie.default_durations.get(track.id, 0))
                starts = [_decode_time(part) for name, part in parts if name == b"tfdt"]
                runs = sum(_run_duration(part, default) for name, part in parts if name == b"trun")
                return (starts[0] if starts else start) + runs
    return None


def _parts(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(body):
        size, name = struct.unpack_from(">I4s", body, position)
        if size < 8:
            return
        yield name, body[position + 8 : position + size]
        position += size


def _default_duration(header: bytes, of_movie: int) -> int:
    flags = int.from_bytes(header[1:4], "big")
    if not flags & _DURATION:
        return of_movie
    at = 8 + (8 if flags & _BASE_OFFSET else 0) + (4 if flags & _DESCRIPTION else 0)
    return int.from_bytes(header[at : at + 4], "big")


def _decode_time(body: bytes) -> int:
    return int.from_bytes(body[4 : 12 if body[:1] == b"\x01" else 8], "big")


def _run_duration(body: bytes, default: int) -> int:
    flags, count = int.from_bytes(body[1:4], "big"), int.from_bytes(body[4:8], "big")
    if not flags & _RUN_DURATIONS:
        return min(count, 1 << 20) * default
    at = 8 + (4 if flags & _RUN_OFFSET else 0) + (4 if flags & _FIRST_FLAGS else 0)
    stride = 4 * sum(1 for field in _RUN_FIELDS if flags & field)
    samples = range(at, min(at + count * stride, len(body) - 3), stride)
    return sum(int.from_bytes(body[i : i + 4], "big") for i in samples)
