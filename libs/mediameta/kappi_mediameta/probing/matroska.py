"""Header of WebM and MKV: size, shape, turn, duration, codec and capture facts (RFC 9559).

The start of the segment is walked up to the first cluster. Parts behind the media are found by the seek head.
Every level is walked by id and once, so an element inside itself leads to no loop.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from kappi_mediameta.containers.ebml import Element, parts, real, signed, string, unsigned
from kappi_mediameta.probing.elements import ElementReader
from kappi_mediameta.probing.exif import plausible_instant
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.matroska_tracks import VideoTrack, shown_track
from kappi_mediameta.probing.movie_tags import capture_of
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_SEGMENT, _SEEK_HEAD, _INFO, _TRACKS = 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B
_TAGS, _CLUSTER = 0x1254C367, 0x1F43B675
_SEEK, _SEEK_ID, _SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
_TIMESTAMP_SCALE, _DURATION, _DATE = 0x2AD7B1, 0x4489, 0x4461
_TAG, _TARGETS, _SIMPLE_TAG, _TAG_NAME, _TAG_STRING = 0x7373, 0x63C0, 0x67C8, 0x45A3, 0x4487
_TRACK_UIDS: Final = frozenset({0x63C5, 0x63C9, 0x63C4, 0x63C6})
_TIMESTAMP, _BLOCK_GROUP, _SIMPLE_BLOCK, _BLOCK = 0xE7, 0xA0, 0xA3, 0xA1

_EPOCH: Final = datetime(2001, 1, 1, tzinfo=UTC)
_DEFAULT_SCALE_NS: Final = 1_000_000
_WANTED: Final = frozenset({_INFO, _TRACKS, _TAGS})
_MAX_PART_BYTES: Final = {_INFO: 64 << 10, _TRACKS: 2 << 20, _TAGS: 1 << 20, _SEEK_HEAD: 64 << 10}
_TAIL_BYTES: Final = 1 << 20


async def read_matroska(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    elements = ElementReader(reader, max_elements=limits.max_parts)
    segment = await _segment(elements)
    found, has_media = await _parts_of_segment(elements, segment)
    if _TRACKS not in found:
        raise ProbeRejected(RejectReason.CORRUPT, "no tracks")
    track = shown_track(found[_TRACKS])
    if track is None:
        raise ProbeRejected(RejectReason.NO_PICTURE)
    if not has_media:
        raise ProbeRejected(RejectReason.TRUNCATED, "no media data")
    limits.check_size(track.square_width, track.height, max_pixels=limits.max_video_pixels)
    info = dict(parts(found.get(_INFO, b"")))
    duration_ms = _duration_ms(info) or await _recorded_ms(reader, info, track)
    limits.check_duration(duration_ms)
    return PictureHeader(
        stored_width=track.square_width,
        stored_height=track.height,
        codec=track.codec,
        animated=True,
        duration_ms=duration_ms,
        capture=capture_of(
            _tags(found.get(_TAGS, b"")), orientation=track.orientation, created_at=_created_at(info)
        ),
        projection=track.projection,
    )


async def _segment(elements: ElementReader) -> Element:
    async for element in elements.children(0, elements.size_bytes):
        if element.id != _SEGMENT:
            continue
        if element.end is not None and element.end > elements.size_bytes:
            raise ProbeRejected(RejectReason.TRUNCATED, "shorter than its segment says")
        return element
    raise ProbeRejected(RejectReason.TRUNCATED, "no segment")


async def _parts_of_segment(elements: ElementReader, segment: Element) -> tuple[dict[int, bytes], bool]:
    """Returns info, tracks and tags by id, the first of each, and whether media follow."""
    end = elements.size_bytes if segment.end is None else segment.end
    found: dict[int, bytes] = {}
    places: dict[int, int] = {}
    has_media = False
    async for element in elements.children(segment.start, end):
        if element.id == _CLUSTER:
            has_media = True
            break
        if element.id == _SEEK_HEAD:
            places |= _places(await elements.body(element, at_most=_MAX_PART_BYTES[_SEEK_HEAD]))
        elif element.id in _WANTED and element.id not in found:
            found[element.id] = await elements.body(element, at_most=_MAX_PART_BYTES[element.id])
    for element_id in _WANTED - found.keys():
        position = segment.start + places.get(element_id, end)
        if position >= end:
            continue
        async for element in elements.children(position, end):
            if element.id == element_id:
                found[element_id] = await elements.body(element, at_most=_MAX_PART_BYTES[element_id])
            break
    return found, has_media


def _places(seek_head: bytes) -> dict[int, int]:
    """Returns positions by element id, counted from the body of the segment."""
    places: dict[int, int] = {}
    for element_id, entry in parts(seek_head):
        if element_id == _SEEK:
            seek = dict(parts(entry))
            places[unsigned(seek.get(_SEEK_ID, b""))] = unsigned(seek.get(_SEEK_POSITION, b""))
    return places


def _scale_ns(info: dict[int, bytes]) -> int:
    return unsigned(info.get(_TIMESTAMP_SCALE, b"")) or _DEFAULT_SCALE_NS


def _duration_ms(info: dict[int, bytes]) -> int | None:
    units = real(info.get(_DURATION, b""))
    milliseconds = units * _scale_ns(info) / 1e6
    return round(milliseconds) if math.isfinite(milliseconds) and milliseconds > 0 else None


async def _recorded_ms(reader: BlockReader, info: dict[int, bytes], track: VideoTrack) -> int | None:
    """Returns the time of the last frame, for a file that a browser wrote while it recorded."""
    tail = await reader.tail(_TAIL_BYTES)
    at = tail.rfind(_CLUSTER.to_bytes(4, "big"))
    if at < 0:
        return None
    head_bytes = next((n for n in range(5, 13) if tail[at + n : at + n + 1] == b"\xe7"), 0)
    start = last = -1
    for element_id, body in parts(tail[at + head_bytes :]) if head_bytes else ():
        if element_id == _TIMESTAMP:
            start = unsigned(body)
        elif element_id == _BLOCK_GROUP:
            body = dict(parts(body)).get(_BLOCK, b"")
        if element_id in (_SIMPLE_BLOCK, _BLOCK_GROUP) and len(body) > 4:
            last = max(last, int.from_bytes(body[1:3], "big", signed=True))
    if start < 0 or last < 0:
        return None
    frame_ns = track.frame_duration_ns or 0
    return round(((start + last) * _scale_ns(info) + frame_ns) / 1e6) or None


def _created_at(info: dict[int, bytes]) -> datetime | None:
    if _DATE not in info:
        return None
    try:
        return plausible_instant(_EPOCH + timedelta(microseconds=signed(info[_DATE]) // 1000))
    except OverflowError:
        return None


def _tags(body: bytes) -> dict[str, str]:
    """Returns the tags about the whole file, not those about a track, by name in lower case."""
    tags: dict[str, str] = {}
    for element_id, tag in parts(body):
        if element_id != _TAG:
            continue
        fields = list(parts(tag))
        targets = next((value for name, value in fields if name == _TARGETS), b"")
        if any(name in _TRACK_UIDS and unsigned(value) for name, value in parts(targets)):
            continue
        for name, value in fields:
            if name == _SIMPLE_TAG:
                simple = dict(parts(value))
                tags.setdefault(
                    string(simple.get(_TAG_NAME, b"")).lower(), string(simple.get(_TAG_STRING, b""))
                )
    return tags
