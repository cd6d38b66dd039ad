"""Boxes without an end, with a wrong size, or within themselves; movies in fragments."""

from __future__ import annotations

import struct

import pytest
from kappi_mediameta.probing import MediaFormat, Probe, ProbeLimits, ProbeRejected, RejectReason, probe
from kappi_testkit.media.containers import box, full_box
from kappi_testkit.media.samples import CountingSource, MovieShape, movie

START = box(b"ftyp", b"isom", bytes(4), b"isom")
FRAGMENTED = movie(MovieShape(seconds=2.0, fragmented=True))
MEDIA = box(b"mdat", bytes(64))


async def verdict(body: bytes, limits: ProbeLimits | None = None) -> Probe | RejectReason:
    source = CountingSource(body)
    try:
        return await probe(source, MediaFormat.MP4, limits or ProbeLimits())
    except ProbeRejected as refused:
        return refused.reason
    finally:
        assert len(source.reads) <= 64
        assert sum(source.reads) <= 8 << 20


def nested(name: bytes, depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = box(name, body)
    return body


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (START + nested(b"moov", 1_000) + MEDIA, RejectReason.NO_PICTURE),
        (START + box(b"moov", nested(b"trak", 500)) + MEDIA, RejectReason.NO_PICTURE),
        (START + box(b"moov", box(b"trak") * 3_000) + MEDIA, RejectReason.TOO_COMPLEX),
        (START + b"\x00\x00\x00\x00moov" + bytes(100), RejectReason.TRUNCATED),
        (START + b"\x00\x00\x00\x04moov" + MEDIA, RejectReason.CORRUPT),
        (START + b"\x00\x00\x00\x01moov" + (8).to_bytes(8, "big") + MEDIA, RejectReason.CORRUPT),
        (START + b"\x00\x00\x00\x01moov" + b"\xff" * 8 + MEDIA, RejectReason.TRUNCATED),
        (START + b"\xff\xff\xff\xffmoov" + MEDIA, RejectReason.TRUNCATED),
        (START + box(b"moov", b"\x00\x00\x10\x00trak") + MEDIA, RejectReason.CORRUPT),
        (START + box(b"moov", box(b"cmov", bytes(20))) + MEDIA, RejectReason.UNSUPPORTED_TYPE),
        (START + box(b"moov", full_box(b"mvhd")) + MEDIA, RejectReason.CORRUPT),
        (START + MEDIA, RejectReason.TRUNCATED),
        (START + box(b"free", bytes(100)), RejectReason.CORRUPT),
        (START + nested(b"free", 3_000) + MEDIA, RejectReason.TRUNCATED),
    ],
)
async def test_boxes_that_lie(body: bytes, reason: RejectReason) -> None:
    assert await verdict(body) is reason


async def test_a_zero_ends_a_list_within_the_movie() -> None:
    """QuickTime writes four zero bytes at the end of its lists."""
    body = movie(MovieShape(seconds=0.5, container="mov", faststart=True))
    at = body.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", body, at)
    ended = body[:at] + struct.pack(">I", size + 4) + body[at + 4 : at + size] + bytes(4) + body[at + size :]
    found = await verdict(ended)
    assert isinstance(found, Probe)
    assert found.duration_ms == 500


async def test_the_last_box_may_reach_to_the_end() -> None:
    body = bytearray(movie(MovieShape(seconds=0.5, faststart=True)))
    at = body.index(b"mdat") - 4
    body[at : at + 4] = bytes(4)
    assert isinstance(await verdict(bytes(body)), Probe)


async def test_fragments_add_up() -> None:
    found = await verdict(FRAGMENTED)
    assert isinstance(found, Probe)
    assert found.duration_ms == pytest.approx(2000, abs=100)


def without_index(body: bytes) -> bytes:
    return body[: body.rindex(b"mfra") - 4]


async def test_fragments_without_their_index_are_walked() -> None:
    found = await verdict(without_index(FRAGMENTED))
    assert isinstance(found, Probe)
    assert found.duration_ms == pytest.approx(2000, abs=100)


async def test_more_fragments_than_are_walked_leave_the_duration_open() -> None:
    body = without_index(FRAGMENTED)
    fragment = body[body.rindex(b"moof") - 4 :]
    found = await verdict(body + fragment * 50)
    assert isinstance(found, Probe)
    assert found.duration_ms is None


@pytest.mark.parametrize(
    "index",
    [
        box(b"mfro", bytes(8)),
        box(b"mfro", bytes(4) + struct.pack(">I", 1 << 30)),
        box(b"mfra") + box(b"mfro", bytes(4) + struct.pack(">I", 24)),
        box(b"mfra", full_box(b"tfra", struct.pack(">IIIII", 1, 0, 0xFFFFFFFF, 0, 0)))
        + box(b"mfro", bytes(4) + struct.pack(">I", 56)),
        box(b"mfra", full_box(b"tfra", struct.pack(">IIIII", 1, 0, 1, 0, 0xFFFFFFFF)))
        + box(b"mfro", bytes(4) + struct.pack(">I", 56)),
    ],
    ids=range(5),
)
async def test_an_index_that_leads_nowhere_is_none(index: bytes) -> None:
    found = await verdict(without_index(FRAGMENTED) + index)
    assert isinstance(found, Probe)
    assert found.duration_ms == pytest.approx(2000, abs=100)


async def test_fragments_that_claim_to_last_for_ever() -> None:
    body = bytearray(without_index(FRAGMENTED))
    at = body.rindex(b"tfdt") + 8
    assert body[at - 4] == 1, "its times have 64 bits"
    body[at : at + 8] = (1 << 62).to_bytes(8, "big")
    assert await verdict(bytes(body)) is RejectReason.TOO_LONG
