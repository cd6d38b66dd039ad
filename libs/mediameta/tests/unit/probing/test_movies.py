import io
import struct
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Literal

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
from kappi_mediameta.probing.matrix import orientation_of
from kappi_mediameta.probing.movie_tags import capture_of, keyed_tags, user_data_tags
from kappi_testkit.media.samples import CountingSource, MovieShape, movie, with_huge_media

SHORT = MovieShape(seconds=0.5)
CONTAINERS: tuple[Literal["mp4", "mov"], ...] = ("mp4", "mov")


async def probed(body: bytes, limits: ProbeLimits | None = None) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return await probe(BytesSource(body), fmt, limits or ProbeLimits())


async def reason_for(body: bytes, limits: ProbeLimits | None = None) -> RejectReason:
    with pytest.raises(ProbeRejected) as refused:
        await probed(body, limits)
    return refused.value.reason


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("pixel_shape", [Fraction(1), Fraction(4, 3), Fraction(8, 9)])
async def test_dimensions_are_those_a_player_shows(
    container: Literal["mp4", "mov"], rotation: int, pixel_shape: Fraction
) -> None:
    shape = MovieShape(container=container, rotation=rotation, pixel_shape=pixel_shape, seconds=0.5)
    body = movie(shape)
    found = await probed(body)
    with av.open(io.BytesIO(body), "r") as oracle:
        stream = oracle.streams.video[0]
        turned = next(oracle.decode(stream)).rotation % 180 != 0
        width = round(stream.width * (stream.sample_aspect_ratio or 1))
        expected = (stream.height, width) if turned else (width, stream.height)
        assert oracle.duration is not None
        assert found.duration_ms == round(oracle.duration / 1000)
    assert (found.width, found.height) == expected
    assert found.orientation == {0: 1, 90: 8, 180: 3, 270: 6}[rotation]
    assert (found.kind, found.codec) == ("video", "h264")


@pytest.mark.parametrize(
    ("shape", "codec"),
    [
        (MovieShape(seconds=0.5, faststart=True), "h264"),
        (MovieShape(seconds=0.5, fragmented=True), "h264"),
        (MovieShape(seconds=0.5, codec="mpeg4"), "mpeg4"),
    ],
)
async def test_layouts_and_codecs(shape: MovieShape, codec: str) -> None:
    found = await probed(movie(shape))
    assert (found.width, found.height, found.codec) == (320, 180, codec)


@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [
        ((1, 0, 0, 1), 1),
        ((-1, 0, 0, 1), 2),
        ((-1, 0, 0, -1), 3),
        ((1, 0, 0, -1), 4),
        ((0, 1, 1, 0), 5),
        ((0, 1, -1, 0), 6),
        ((0, -1, -1, 0), 7),
        ((0, -1, 1, 0), 8),
    ],
)
def test_every_turn_and_mirror_has_its_exif_orientation(
    matrix: tuple[int, int, int, int], orientation: int
) -> None:
    assert orientation_of(matrix) == orientation


async def test_a_video_of_four_gigabytes_with_its_index_at_the_end_is_probed_in_a_few_reads() -> None:
    source = with_huge_media(movie(MovieShape(seconds=3, rotation=-90)), media_bytes=4 << 30)
    found = await probe(source, MediaFormat.MP4)
    assert (found.width, found.height, found.duration_ms) == (180, 320, 3000)
    assert source.size_bytes > 4 << 30
    assert len(source.reads) <= 3
    assert sum(source.reads) <= 192 << 10


async def test_what_the_phone_wrote_down() -> None:
    metadata = {
        "creation_time": "2024-07-05T10:11:12Z",
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 15 Pro",
        "com.apple.quicktime.location.ISO6709": "+48.8584+002.2945+035.250/",
        "com.apple.quicktime.creationdate": "2024-07-05T12:11:10+0200",
    }
    found = await probed(movie(MovieShape(seconds=0.5, metadata=metadata)))
    assert found.camera == Camera(make="Apple", model="iPhone 15 Pro")
    assert found.location == Coordinates(latitude=48.8584, longitude=2.2945, altitude=35.25)
    assert found.taken_at == datetime(2024, 7, 5, 10, 11, 10, tzinfo=UTC)
    assert found.taken_offset_known


async def test_the_movie_header_tells_the_time_when_nothing_else_does() -> None:
    found = await probed(movie(MovieShape(seconds=0.5, metadata={"creation_time": "2024-07-05T10:11:12Z"})))
    assert found.taken_at == datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC)
    assert (await probed(movie(SHORT))).taken_at is None


@pytest.mark.parametrize(
    ("seconds", "taken_at"),
    [
        (1_720_174_272, datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC)),
        (1_720_174_272 + 2_082_844_800, datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC)),
        (2_082_844_800, None),
        (0, None),
    ],
    ids=["since 1970", "since 1904", "1970 itself", "unset"],
)
async def test_clocks_count_from_1904_or_from_1970(seconds: int, taken_at: datetime | None) -> None:
    body = bytearray(movie(SHORT))
    struct.pack_into(">I", body, body.index(b"mvhd") + 8, seconds)
    assert (await probed(bytes(body))).taken_at == taken_at


def test_android_writes_places_as_user_data() -> None:
    text = b"+37.4219-122.0840/"
    atom = b"\xa9xyz" + len(text).to_bytes(2, "big") + b"\x15\xc7" + text
    tags = user_data_tags((4 + len(atom)).to_bytes(4, "big") + atom)
    assert capture_of(tags, orientation=1, created_at=None).location == Coordinates(37.4219, -122.084)


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00\x00\x00\x08keys", b"\xff" * 50, bytes(50)])
def test_unreadable_tags_are_absent_ones(body: bytes) -> None:
    assert keyed_tags(body) == {}
    assert user_data_tags(body) == {}


@pytest.mark.parametrize(
    "date", ["yesterday", "2024-07-05", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
def test_dates_that_tell_no_instant(date: str) -> None:
    facts = capture_of({"\xa9day": date}, orientation=1, created_at=None)
    assert (facts.taken_at, facts.taken_offset_known) == (None, False)


@pytest.mark.parametrize("faststart", [True, False])
async def test_a_movie_that_was_cut_off(faststart: bool) -> None:
    body = movie(MovieShape(faststart=faststart))
    assert await reason_for(body[: len(body) * 3 // 4]) is RejectReason.TRUNCATED


async def test_limits() -> None:
    body = movie(MovieShape(seconds=2))
    assert await reason_for(body, ProbeLimits(max_duration=timedelta(seconds=1))) is RejectReason.TOO_LONG
    assert await reason_for(body, ProbeLimits(max_video_pixels=320 * 179)) is RejectReason.TOO_MANY_PIXELS
    assert await reason_for(body, ProbeLimits(max_parts=5)) is RejectReason.TOO_COMPLEX


async def test_a_million_tiny_boxes_are_not_walked() -> None:
    head = b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00"
    source = CountingSource(head + b"\x00\x00\x00\x08free" * 1_000_000)
    with pytest.raises(ProbeRejected) as refused:
        await probe(source, MediaFormat.MP4)
    assert refused.value.reason is RejectReason.TOO_COMPLEX
    assert len(source.reads) == 2, "its first block, and its end to tell a polyglot"


async def test_sound_alone_is_no_picture() -> None:
    body = movie(SHORT)
    assert await reason_for(body.replace(b"vide", b"soun")) is RejectReason.NO_PICTURE


async def test_boxes_that_overlap_are_corrupt() -> None:
    body = bytearray(movie(SHORT))
    at = body.index(b"mvhd") - 4
    body[at : at + 4] = (1 << 20).to_bytes(4, "big")
    assert await reason_for(bytes(body)) is RejectReason.CORRUPT
