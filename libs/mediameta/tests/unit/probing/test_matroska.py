from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import av
import pytest
from kappi_mediameta.probing import (
    BytesSource,
    Camera,
    Coordinates,
    MediaFormat,
    Probe,
    ProbeLimits,
    ProbeRejected,
    RejectReason,
    probe,
    sniff,
)
from kappi_testkit.media.containers import cluster, element, matroska, real, unsigned, video_track
from kappi_testkit.media.samples import CountingSource

INFO, TRACKS, TAGS, SEEK_HEAD, VOID = 0x1549A966, 0x1654AE6B, 0x1254C367, 0x114D9B74, 0xEC
HUGE = element(TRACKS, video_track(unsigned(0xB0, 30_000), unsigned(0xBA, 30_000)))
SECOND = element(INFO, unsigned(0x2AD7B1, 1_000_000), real(0x4489, 1000.0))
VIDEO = element(TRACKS, video_track())


async def probed(body: bytes, limits: ProbeLimits | None = None) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt in (MediaFormat.WEBM, MediaFormat.MKV)
    return await probe(BytesSource(body), fmt, limits or ProbeLimits())


async def reason_for(body: bytes, limits: ProbeLimits | None = None) -> RejectReason:
    with pytest.raises(ProbeRejected) as refused:
        await probed(body, limits)
    return refused.value.reason


def tag(name: str, value: str, *, track: int = 0) -> bytes:
    targets = element(0x63C0, unsigned(0x63C5, track) if track else b"")
    return element(
        0x7373, targets, element(0x67C8, element(0x45A3, name.encode()), element(0x4487, value.encode()))
    )


def muxed(*, turn: int) -> bytes:
    """Returns a film by FFmpeg. turn: degrees counter-clockwise."""
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        if turn:
            stream.set_display_rotation(turn)
        for number in range(10):
            frame = av.VideoFrame(320, 180, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("turn", "orientation", "size"),
    [(0, 1, (320, 180)), (90, 8, (180, 320)), (180, 3, (320, 180)), (-90, 6, (180, 320))],
)
async def test_turns_are_those_ffmpeg_writes(turn: int, orientation: int, size: tuple[int, int]) -> None:
    body = muxed(turn=turn)
    found = await probed(body)
    assert (found.width, found.height) == size
    assert found.orientation == orientation
    with av.open(io.BytesIO(body), "r") as container:  # the size that a player shows
        assert next(container.decode(video=0)).rotation % 360 == turn % 360
    assert (found.kind, found.codec, found.duration_ms) == ("video", "h264", 1000)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ([], (320, 180)),
        ([unsigned(0x54B0, 640), unsigned(0x54BA, 180)], (640, 180)),
        ([unsigned(0x54B0, 16), unsigned(0x54BA, 9), unsigned(0x54B2, 3)], (320, 180)),
        ([unsigned(0x54B0, 99), unsigned(0x54BA, 9), unsigned(0x54B2, 4)], (320, 180)),
        ([unsigned(0x54B0, 640)], (640, 180)),
        ([unsigned(0x54CC, 20), unsigned(0x54DD, 20), unsigned(0x54BB, 10)], (280, 170)),
        ([element(0x7670, real(0x7675, 90.0))], (180, 320)),
        ([element(0x7670, real(0x7675, 45.0))], (320, 180)),
        ([element(0x7670, real(0x7675, float("nan")))], (320, 180)),
        ([element(0x7670, unsigned(0x7671, 1), real(0x7675, 90.0))], (320, 180)),
    ],
)
async def test_what_is_displayed(settings: list[bytes], size: tuple[int, int]) -> None:
    found = await probed(matroska(SECOND, element(TRACKS, video_track(*settings)), cluster()))
    assert (found.width, found.height) == size


async def test_facts_that_are_written_behind_the_media() -> None:
    """A muxer writes tags last. The seek head at the start leads to them."""
    tags = element(
        TAGS,
        tag("MAKE", "a track's", track=7),
        tag("COM.APPLE.QUICKTIME.MAKE", "Apple"),
        tag("LOCATION", "+48.8584+002.2945+035.0/"),
        tag("DATE_RECORDED", "2024-07-05T12:11:12+02:00"),
    )

    unset = b"\x7a\x7b\x7c\x7d\x7e\x7f"
    entry = element(0x4DBB, element(0x53AB, TAGS.to_bytes(4, "big")), element(0x53AC, unset))
    head, parts = element(SEEK_HEAD, entry), (SECOND, VIDEO, cluster())
    place = sum(map(len, (head, *parts)))
    head = head.replace(unset, place.to_bytes(len(unset), "big"))
    found = await probed(matroska(head, *parts, tags))
    assert found.camera == Camera(make="Apple", model=None)
    assert found.location == Coordinates(latitude=48.8584, longitude=2.2945, altitude=35.0)
    assert found.taken_at == datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC)
    assert found.taken_offset_minutes == 120


async def test_a_recording_lasts_until_its_last_frame() -> None:
    """Browsers record without a duration and without sizes."""
    info = element(INFO, unsigned(0x2AD7B1, 1_000_000))
    tracks = element(TRACKS, video_track(extra=unsigned(0x23E383, 40_000_000)))
    clusters = cluster(0, frames=(0, 40)), cluster(5_000, frames=(0, 80, 40))
    found = await probed(matroska(info, tracks, *clusters, size=-1))
    assert found.duration_ms == 5_120


async def test_the_track_that_is_shown() -> None:
    sound = element(0xAE, unsigned(0x83, 2), element(0x86, b"A_OPUS"))
    cover = video_track(unsigned(0xB0, 64), extra=unsigned(0x88, 0))
    found = await probed(matroska(SECOND, element(TRACKS, sound, cover, video_track()), cluster()))
    assert found.width == 320
    only_sound = matroska(SECOND, element(TRACKS, sound), cluster())
    assert await reason_for(only_sound) is RejectReason.NO_PICTURE


def nested(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = element(TRACKS, body)
    return body


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (matroska(SECOND, VIDEO), RejectReason.TRUNCATED),
        (matroska(SECOND, VIDEO, cluster(), size=1 << 20), RejectReason.TRUNCATED),
        (matroska(SECOND, VIDEO, cluster())[:60], RejectReason.TRUNCATED),
        (matroska(SECOND, cluster()), RejectReason.CORRUPT),
        (matroska(SECOND, b"\x00" * 16, VIDEO, cluster()), RejectReason.CORRUPT),
        (matroska(element(INFO, b"", size=-1), VIDEO, cluster()), RejectReason.TOO_COMPLEX),
        (matroska(SECOND, element(TRACKS, bytes(3 << 20)), cluster()), RejectReason.TOO_COMPLEX),
        (matroska(element(VOID) * 3_000, VIDEO, cluster()), RejectReason.TOO_COMPLEX),
        (matroska(SECOND, nested(500), cluster()), RejectReason.NO_PICTURE),
        (matroska(SECOND, HUGE, cluster()), RejectReason.TOO_MANY_PIXELS),
        (matroska(element(INFO, real(0x4489, 1e12)), VIDEO, cluster()), RejectReason.TOO_LONG),
    ],
)
async def test_contradictions_have_their_reasons(body: bytes, reason: RejectReason) -> None:
    assert await reason_for(body) is reason


@pytest.mark.parametrize("units", [float("nan"), float("inf"), -1.0, 0.0, 1.7e308])
async def test_durations_that_are_none(units: float) -> None:
    found = await probed(matroska(element(INFO, real(0x4489, units)), VIDEO, cluster(0, frames=(40,))))
    assert found.duration_ms == 40, "by its last frame"


async def test_a_limit_of_duration() -> None:
    half = ProbeLimits(max_duration=timedelta(milliseconds=500))
    assert await reason_for(matroska(SECOND, VIDEO, cluster()), half) is RejectReason.TOO_LONG


async def test_a_seek_head_that_leads_into_itself_is_followed_once() -> None:
    entry = element(0x4DBB, element(0x53AB, TAGS.to_bytes(4, "big")), unsigned(0x53AC, 0))
    body = matroska(element(SEEK_HEAD, entry), SECOND, VIDEO, cluster())
    source = CountingSource(body)
    assert (await probe(source, MediaFormat.WEBM)).width == 320
    assert len(source.reads) == 1
