"""AVI and ASF that the corpus does not hold."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest
from kappi_mediameta.probing import (
    BytesSource,
    MediaFormat,
    Probe,
    ProbeLimits,
    ProbeRejected,
    RejectReason,
    probe,
    sniff,
)
from kappi_mediameta.probing.fourcc import codec_of
from kappi_testkit.media.samples import CountingSource
from kappi_testkit.media.windows_films import (
    AUDIO,
    DATA,
    MEDIA,
    SOUND,
    asf,
    asf_object,
    attribute,
    avi,
    bitmap,
    chunk,
    extended,
    extension,
    file_properties,
    listed,
    main_header,
    metadata,
    picture,
    stream_header,
    stream_properties,
)

DIGITAL_TAPE = listed(b"strl", stream_header(b"iavs"), chunk(b"strf", bytes(32)))
LONG_AGO = 116_444_736_000_000_000  # 1970, in steps of 100 nanoseconds from 1601 on


async def probed(body: bytes, limits: ProbeLimits | None = None) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt in (MediaFormat.AVI, MediaFormat.WMV)
    return await probe(BytesSource(body), fmt, limits or ProbeLimits())


async def reason_for(body: bytes, limits: ProbeLimits | None = None) -> RejectReason:
    with pytest.raises(ProbeRejected) as refused:
        await probed(body, limits)
    return refused.value.reason


# AVI


async def test_an_avi_tells_what_it_shows() -> None:
    found = await probed(avi(picture(), SOUND))
    assert (found.kind, found.content_type, found.codec) == ("video", "video/x-msvideo", "mjpeg")
    assert (found.width, found.height, found.duration_ms) == (320, 240, 2000)
    assert (found.taken_at, found.location, found.orientation) == (None, None, 1)


async def test_sound_may_come_first_and_rows_may_start_at_the_top() -> None:
    found = await probed(avi(SOUND, picture(form=bitmap(640, -480))))
    assert (found.width, found.height) == (640, 480)


async def test_a_long_avi_counts_its_frames_in_an_extended_header() -> None:
    odml = listed(b"odml", chunk(b"dmlh", struct.pack("<I", 90_000) + bytes(244)))
    assert (await probed(avi(picture(), odml))).duration_ms == 3_600_000


async def test_a_recording_that_was_not_finished_is_read() -> None:
    unfinished = picture(header=stream_header(length=0))
    body = bytearray(avi(unfinished, behind=(MEDIA,), main=main_header(frames=0)))
    assert (await probed(bytes(body))).duration_ms is None
    body[4:8] = bytes(4)
    body[body.index(b"movi") - 4 : body.index(b"movi")] = bytes(4)
    assert (await probed(bytes(body) + bytes(1000))).duration_ms is None


async def test_the_main_header_counts_where_the_stream_counts_nothing() -> None:
    assert (await probed(avi(picture(header=stream_header(rate=0))))).duration_ms == 2000


def shaped(across: int, down: int, width: int = 320, height: int = 240) -> bytes:
    return chunk(b"vprp", struct.pack("<5IHHIII", 0, 0, 50, 320, 240, down, across, width, height, 1))


@pytest.mark.parametrize(
    ("shape", "width"),
    [(shaped(16, 9), 427), (shaped(4, 3), 320), (shaped(0, 0), 320), (shaped(65_535, 1), 320)],
)
async def test_a_pixel_may_have_a_shape(shape: bytes, width: int) -> None:
    assert (await probed(avi(picture(shape)))).width == width


def indexed(*entries: tuple[int, int]) -> bytes:
    head = struct.pack("<HBBI4s12x", 4, 0, 0, len(entries), b"00dc")
    return chunk(b"indx", head + b"".join(struct.pack("<QII", at, size, 25) for at, size in entries))


async def test_a_part_that_an_index_names_must_be_there() -> None:
    assert (await probed(avi(picture(indexed((20, 8), (40, 8)))))).duration_ms == 2000
    assert await reason_for(avi(picture(indexed((20, 8), (1 << 31, 8))))) is RejectReason.TRUNCATED


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (b"Mon Mar 10 15:04:43 2003\n\0", datetime(2003, 3, 10, 15, 4, 43, tzinfo=UTC)),
        (b"MON MAR  1 15:04:43 2003", datetime(2003, 3, 1, 15, 4, 43, tzinfo=UTC)),
        (b"2005:08:17 11:42:43\0", datetime(2005, 8, 17, 11, 42, 43, tzinfo=UTC)),
        (b"2002-12-16  15:35:01\0\0", datetime(2002, 12, 16, 15, 35, 1, tzinfo=UTC)),
        (b"2001/ 1/27 13:42", datetime(2001, 1, 27, 13, 42, tzinfo=UTC)),
        (b"Mon Foo 10 15:04:43 2003", None),
        (b"Mon Feb 31 15:04:43 2003", None),
        (b"", None),
    ],
)
async def test_dates_of_cameras_are_local(date: bytes, expected: datetime | None) -> None:
    found = await probed(avi(picture(), chunk(b"IDIT", date)))
    assert (found.taken_at, found.taken_offset_known) == (expected, False)


async def test_a_date_may_have_a_zone() -> None:
    found = await probed(avi(picture(), chunk(b"IDIT", b"2013-01-02T10:00:00+02:00")))
    assert (found.taken_at, found.taken_offset_minutes) == (datetime(2013, 1, 2, 8, tzinfo=UTC), 120)


async def test_a_date_may_be_among_the_texts() -> None:
    texts = listed(b"INFO", chunk(b"INAM", b"A name"), chunk(b"ICRD", b"2004-05-06\0"))
    found = await probed(avi(picture(), behind=(texts, MEDIA)))
    assert found.taken_at == datetime(2004, 5, 6, tzinfo=UTC)


async def test_xmp_behind_the_media_is_read() -> None:
    packet = (
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        b"<rdf:Description xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:GPSLatitude='48,51.5N' "
        b"exif:GPSLongitude='2,17.7E'/></rdf:RDF></x:xmpmeta>"
    )
    found = await probed(avi(picture(), behind=(MEDIA, chunk(b"_PMX", packet))))
    assert found.location is not None
    assert round(found.location.latitude, 2) == 48.86


@pytest.mark.parametrize(
    ("letters", "codec"),
    [
        (b"XVID", "mpeg4"),
        (b"dx50", "mpeg4"),
        (b"DIV3", "msmpeg4v3"),
        (b"H264", "h264"),
        (b"hev1", "hevc"),
        (b"dvsd", "dvvideo"),
        (bytes(4), "rawvideo"),
        (b"DIB ", "rawvideo"),
        (b"ABC1", "abc1"),
        (b"\x01\x02\x03\x04", "unknown"),
    ],
)
def test_codecs_are_named_as_ffprobe_names_them(letters: bytes, codec: str) -> None:
    assert codec_of(letters) == codec


async def test_a_codec_may_be_named_in_the_stream_header_only() -> None:
    found = await probed(avi(picture(header=stream_header(letters=b"cvid"), form=bitmap(letters=bytes(4)))))
    assert found.codec == "cinepak"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (avi(SOUND), RejectReason.NO_PICTURE),
        (avi(DIGITAL_TAPE), RejectReason.UNSUPPORTED_TYPE),
        (avi(picture(), behind=()), RejectReason.TRUNCATED),
        (avi(picture())[:-4], RejectReason.TRUNCATED),
        (avi(picture(form=bytes(20))), RejectReason.CORRUPT),
        (avi(picture(form=bitmap(0, 240))), RejectReason.CORRUPT),
        (avi(picture(form=bitmap(30_000, 30_000))), RejectReason.TOO_MANY_PIXELS),
        (avi(picture(header=stream_header(scale=100_000, rate=1))), RejectReason.TOO_LONG),
        (avi(picture(), *(chunk(b"JUNK"),) * 3_000), RejectReason.TOO_COMPLEX),
        (avi(listed(b"strl", stream_header(), b"strf\xff\xff\xff\x7f" + bytes(40))), RejectReason.CORRUPT),
    ],
)
async def test_why_an_avi_is_refused(body: bytes, reason: RejectReason) -> None:
    assert await reason_for(body) is reason


@pytest.mark.parametrize(
    "head",
    [
        b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(60),
        b"RIFF\x24\x00\x00\x00AVI " + bytes(60),
        b"RIFF\x24\x00\x00\x00AVIXLIST\x00\x01\x00\x00hdrlavih" + bytes(60),
        b"RIFF\x24\x00\x00\x00AVI LIST\x00\x01\x00\x00movi00dc" + bytes(60),
        avi(picture())[:40],
        asf(stream_properties())[:40],
        asf(stream_properties())[:28] + bytes(80),
    ],
)
def test_a_file_that_only_begins_like_one_has_no_format(head: bytes) -> None:
    assert sniff(head) is None


async def test_little_is_read_of_a_long_avi() -> None:
    source = CountingSource(avi(picture(), behind=(listed(b"movi", chunk(b"00dc", bytes(40 << 20))),)))
    assert (await probe(source, MediaFormat.AVI)).duration_ms == 2000
    assert sum(source.reads) < 256 << 10


# ASF


async def test_an_asf_tells_what_it_shows() -> None:
    created = LONG_AGO + 1_720_174_272 * 10**7
    found = await probed(asf(file_properties(created=created), stream_properties()))
    assert (found.kind, found.content_type, found.codec) == ("video", "video/x-ms-wmv", "wmv3")
    assert (found.width, found.height, found.duration_ms) == (320, 240, 2000)
    assert found.taken_at == datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC)
    assert (found.taken_offset_known, found.taken_offset_minutes) == (True, None)


@pytest.mark.parametrize("created", [0, LONG_AGO, 2**64 - 1])
async def test_a_clock_that_was_not_set_tells_no_time(created: int) -> None:
    found = await probed(asf(file_properties(created=created), stream_properties()))
    assert (found.taken_at, found.taken_offset_known) == (None, False)


@pytest.mark.parametrize(
    "properties", [file_properties(flags=1), file_properties(duration=0), file_properties(preroll=3500)]
)
async def test_a_live_recording_has_no_duration(properties: bytes) -> None:
    assert (await probed(asf(properties, stream_properties()))).duration_ms is None


def sides(across: int, down: int, *, stream: int) -> bytes:
    return metadata(
        attribute("AspectRatioX", struct.pack("<I", across), stream=stream),
        attribute("IsVBR", b"\1\0", stream=stream),
        attribute("AspectRatioY", struct.pack("<I", down), stream=stream),
    )


@pytest.mark.parametrize(
    ("objects", "width"),
    [
        ((sides(4, 3, stream=1),), 427),
        ((sides(4, 3, stream=0),), 427),
        ((sides(4, 3, stream=2),), 320),
        ((sides(4, 3, stream=0), sides(1, 2, stream=1)), 160),
        ((sides(4, 0, stream=1),), 320),
        ((metadata() + bytes(3),), 320),
    ],
)
async def test_attributes_tell_the_shape_of_a_pixel(objects: tuple[bytes, ...], width: int) -> None:
    assert (await probed(asf(stream_properties(), extension(*objects)))).width == width


async def test_the_properties_of_a_stream_may_stand_in_its_extended_ones() -> None:
    inner = extended(stream_properties(), name="Film".encode("utf-16-le"))
    assert (await probed(asf(file_properties(), extension(inner)))).width == 320


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (asf(stream_properties(AUDIO)), RejectReason.NO_PICTURE),
        (asf(stream_properties(), media=b""), RejectReason.TRUNCATED),
        (asf(stream_properties())[:-1], RejectReason.TRUNCATED),
        (asf(stream_properties())[:100], RejectReason.TRUNCATED),
        (asf(stream_properties(), media=asf_object(AUDIO)), RejectReason.CORRUPT),
        (asf(stream_properties()[:-1]), RejectReason.CORRUPT),
        (asf(bytes(24), stream_properties()), RejectReason.CORRUPT),
        (asf(stream_properties(form=bitmap(0, 1))), RejectReason.CORRUPT),
        (asf(stream_properties(form=bitmap(30_000, 30_000))), RejectReason.TOO_MANY_PIXELS),
        (asf(file_properties(duration=1 << 60), stream_properties()), RejectReason.TOO_LONG),
        (asf(*(asf_object(DATA),) * 3_000), RejectReason.TOO_COMPLEX),
        (
            asf(stream_properties(), asf_object("2211B3FB-BD23-11D2-B4B7-00A0C955FC6E")),
            RejectReason.UNSUPPORTED_TYPE,
        ),
        (asf(extension(extended(name=b"abcd")[:-3] + bytes(3))), RejectReason.NO_PICTURE),
    ],
)
async def test_why_an_asf_is_refused(body: bytes, reason: RejectReason) -> None:
    assert await reason_for(body) is reason


async def test_an_extension_within_an_extension_is_not_followed() -> None:
    inner = extension(stream_properties())
    for _ in range(300):
        inner = extension(inner)
    assert await reason_for(asf(inner)) is RejectReason.NO_PICTURE
