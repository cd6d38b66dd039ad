"""MPEG transport streams that the corpus does not hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kappi_mediameta.containers.transport_packets import Tables, packets, programs_of
from kappi_mediameta.probing import (
    BytesSource,
    Camera,
    MediaFormat,
    Probe,
    ProbeLimits,
    ProbeRejected,
    RejectReason,
    probe,
    sniff,
)
from kappi_mediameta.probing.camcorder import capture_of
from kappi_mediameta.probing.coded_video import CodedSize, h264_size, hevc_size, mpeg2_size
from kappi_testkit.media.camcorder import PARIS, user_data
from kappi_testkit.media.samples import CountingSource
from kappi_testkit.media.transport_packets import (
    CLOCK_HZ,
    PICTURE_PID,
    TABLE_PID,
    mpeg2,
    packet,
    packets_of,
    stream,
    table,
    tables,
    unit,
    with_times,
)

FRAME = CLOCK_HZ // 25
SECOND = range(0, CLOCK_HZ, FRAME)
LONG = mpeg2() + b"\x33" * 40_000
Reader = Callable[[bytes], CodedSize | None]
END = b"\x00\x00\x01"


async def probed(body: bytes, limits: ProbeLimits | None = None) -> Probe:
    assert sniff(body[:4096]) is MediaFormat.MPEG_TS
    return await probe(BytesSource(body), MediaFormat.MPEG_TS, limits or ProbeLimits())


async def reason_for(body: bytes, limits: ProbeLimits | None = None) -> RejectReason:
    with pytest.raises(ProbeRejected) as refused:
        await probed(body, limits)
    return refused.value.reason


@pytest.mark.parametrize("start", [0, 123_456, (1 << 33) - CLOCK_HZ // 2, (1 << 33) - FRAME])
async def test_the_clock_may_start_anew_within_the_film(start: int) -> None:
    found = await probed(stream(start + at for at in SECOND))
    assert (found.codec, found.width, found.height) == ("mpeg2video", 320, 240)
    assert (found.duration_ms, found.orientation, found.taken_at) == (1000, 1, None)


async def test_pictures_may_be_shown_in_another_order_than_they_are_coded_in() -> None:
    order = [3, 1, 0, 2]
    times = [(at + before) * FRAME for at in range(0, 24, 4) for before in order]
    assert (await probed(stream(times))).duration_ms == 960


async def test_times_that_start_anew_with_another_recording_tell_no_duration() -> None:
    first, second = range(CLOCK_HZ, 2 * CLOCK_HZ, FRAME), range(0, CLOCK_HZ, FRAME)
    assert (await probed(stream([*first, *second], coded=LONG))).duration_ms is None


async def test_a_film_without_times_has_no_duration() -> None:
    body = tables() + packets_of(PICTURE_PID, unit(None, mpeg2())) * 5
    assert (await probed(body)).duration_ms is None


async def test_times_before_packets_do_not_matter() -> None:
    plain = stream(SECOND)
    assert await probed(with_times(plain)) == await probed(plain)


@pytest.mark.parametrize("lost", [1, 60, 187])
async def test_bytes_lost_in_the_middle_are_passed_over(lost: int) -> None:
    plain = stream(range(0, 10 * CLOCK_HZ, FRAME))
    middle = len(plain) // 2
    assert await probed(plain[:middle] + plain[middle + lost :]) == await probed(plain)


@pytest.mark.parametrize("behind", [1, 187, 5_000, 700_000])
async def test_bytes_behind_the_last_packet_do_not_matter(behind: int) -> None:
    plain = stream(range(0, 10 * CLOCK_HZ, FRAME))
    for other in (bytes(behind), (b"GGG and other letters " * (behind // 22 + 1))[:behind]):
        assert await probed(plain + other) == await probed(plain)


async def test_little_is_read_of_a_long_film() -> None:
    source = CountingSource(stream(range(0, 6_000 * FRAME, FRAME), coded=mpeg2() + b"\x33" * 8_000))
    found = await probe(source, MediaFormat.MPEG_TS)
    assert found.duration_ms == 240_000
    assert source.size_bytes > 40 << 20
    assert sum(source.reads) < 2 << 20


async def test_a_header_is_not_searched_behind_a_megabyte_without_packets() -> None:
    lost = (b"G" * 188 * 4 + b"x" * 188) * 8_000
    source = CountingSource(stream(SECOND, coded=b"\x00\x00\x01\x01" + bytes(200)) + lost + stream(SECOND))
    with pytest.raises(ProbeRejected) as refused:
        await probe(source, MediaFormat.MPEG_TS)
    assert refused.value.reason is RejectReason.CORRUPT
    assert sum(source.reads) < 2 << 20


async def test_a_header_may_come_late() -> None:
    late = stream(SECOND, coded=b"\x00\x00\x01\x01" + b"\x22" * 40_000) + stream([CLOCK_HZ], head=b"")
    found = await probed(late)
    assert (found.width, found.duration_ms) == (320, 1040)


async def test_a_long_table_lies_in_several_packets() -> None:
    sound = bytes([0x0F, 0xE2, 0, 0xF0, 200]) + b"\x80\xc6" + b"\x55" * 198
    picture = bytes([0x02, 0xE0 | PICTURE_PID >> 8, PICTURE_PID & 0xFF, 0xF0, 0])
    listed = table(2, bytes([0xE1, 0, 0xF0, 0]) + sound * 2 + picture)
    head = tables()[:188] + packets_of(TABLE_PID, listed)
    assert len(head) == 4 * 188
    assert (await probed(stream(SECOND, head=head))).width == 320


async def test_the_first_program_with_a_picture_is_read() -> None:
    programs = packet(0, table(0, bytes([0, 0, 0xE0, 0x10, 0, 1, 0xF0, 0x01, 0, 2, 0xF0, 0x00])), starts=True)
    radio = packet(0x1001, table(2, bytes([0xE1, 0, 0xF0, 0, 0x0F, 0xE2, 0, 0xF0, 0])), starts=True)
    assert (await probed(stream(SECOND, head=programs + radio + tables()[188:]))).width == 320


def only(kind: int, descriptors: bytes = b"") -> bytes:
    """Returns a film whose one stream is of a kind."""
    return stream(SECOND, head=tables([(kind, PICTURE_PID, descriptors)]))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (only(0x0F), RejectReason.NO_PICTURE),
        (only(0x06, b"\x05\x04KLVA"), RejectReason.NO_PICTURE),
        (only(0x10), RejectReason.UNSUPPORTED_TYPE),
        (only(0xEA, b"\x05\x04VC-1"), RejectReason.UNSUPPORTED_TYPE),
        (only(0x06, b"\x05\x04AV01"), RejectReason.UNSUPPORTED_TYPE),
        (only(0x1B), RejectReason.CORRUPT),
        (tables() + packet(0x1FFF, b"") * 10, RejectReason.TRUNCATED),
        (packet(0x1FFF, b"") * 10, RejectReason.CORRUPT),
        (stream(SECOND, coded=mpeg2(16_383, 16_383)), RejectReason.TOO_MANY_PIXELS),
        (stream(SECOND, coded=mpeg2(0, 240)), RejectReason.CORRUPT),
    ],
)
async def test_why_a_transport_stream_is_refused(body: bytes, reason: RejectReason) -> None:
    assert await reason_for(body) is reason


async def test_a_film_may_be_too_long() -> None:
    limits = ProbeLimits(max_duration=ProbeLimits().max_duration / (24 * 3600 * 2))
    assert await reason_for(stream(SECOND), limits) is RejectReason.TOO_LONG


@pytest.mark.parametrize(
    "head",
    [
        b"\0" + stream(SECOND),
        bytes(100) + stream(SECOND),
        b"MZ" + bytes(186) + stream(SECOND),
        stream(SECOND)[: 188 * 4],
        stream(SECOND)[:376] + b"\0" + stream(SECOND)[376:],
    ],
)
def test_a_file_that_does_not_begin_with_packets_has_no_format(head: bytes) -> None:
    assert sniff(head[:4096]) is None


# Tables and packets


def test_a_damaged_packet_is_left_out() -> None:
    body = bytearray(packet(5, b"a") + packet(6, b"b"))
    body[1] |= 0x80
    assert [found.pid for found in packets(bytes(body), 0, 188)] == [6]


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x05\x00", b"\x00\x00\xb0"])
def test_a_cut_table_is_no_table(payload: bytes) -> None:
    found = next(packets(packet(0, payload, starts=True), 0, 188))
    assert Tables().take(found) == []
    assert programs_of(payload) == []


# Headers of coded video


@pytest.mark.parametrize(
    ("shape", "expected"), [(1, 720), (2, 768), (3, 1024), (4, round(576 * 2.21)), (0, 720), (9, 720)]
)
def test_the_shape_of_mpeg2_is_that_of_the_whole_picture(shape: int, expected: int) -> None:
    found = mpeg2_size(mpeg2(720, 576, shape=shape))
    assert found is not None
    assert found.square_width == expected


def test_mpeg1_has_square_pixels() -> None:
    found = mpeg2_size(b"\x00\x00\x01\xb3\x16\x01\x20\x33\0\0\0\0\x00\x00\x01\x00\x00")
    assert found == (352, 288, None)


def bits(text: str) -> bytes:
    """Returns a body of binary digits, with a stop bit."""
    digits = text.replace(" ", "") + "1"
    return int(digits.ljust(-(-len(digits) // 8) * 8, "0"), 2).to_bytes(-(-len(digits) // 8), "big")


def golomb(number: int) -> str:
    digits = f"{number + 1:b}"
    return "0" * (len(digits) - 1) + digits


def h264(*, high: bool, own_shape: bool, interlaced: bool) -> bytes:
    """Returns a parameter set of 1440 x 1080 with scaling lists, an order of its own and a shape."""
    lists = "1" + "1" + golomb(16) + "0" * 7 if high else ""
    profile = f"{100 if high else 77:08b}" + "0" * 8 + f"{40:08b}" + golomb(0)
    rich = golomb(1) + golomb(0) * 2 + "0" + lists if high else ""
    order = golomb(0) + golomb(1) + "0" + golomb(0) * 2 + golomb(2) + golomb(0) * 2
    rows = golomb(33) + "0" + "0" if interlaced else golomb(67) + "1"
    crop = "1" + golomb(0) * 3 + golomb(2 if interlaced else 4)
    shape = f"{255:08b}{4:016b}{3:016b}" if own_shape else f"{14:08b}"
    head = profile + rich + order + golomb(4) + "0" + golomb(89) + rows + "1" + crop
    return END + b"\x67" + bits(head + "1" + "1" + shape + "0") + END


@pytest.mark.parametrize("high", [True, False])
@pytest.mark.parametrize("own_shape", [True, False])
@pytest.mark.parametrize("interlaced", [True, False])
def test_h264_with_all_that_may_stand_before_its_shape(high: bool, own_shape: bool, interlaced: bool) -> None:
    found = h264_size(h264(high=high, own_shape=own_shape, interlaced=interlaced))
    assert found is not None
    assert (found.width, found.height, found.square_width) == (1440, 1080, 1920)


def test_hevc_with_all_that_may_stand_before_its_shape() -> None:
    profile = "0" * 4 + "001" + "1" + "0" * 96 + "11" + "00" * 7 + "0" * 96
    size = golomb(0) + golomb(1) + golomb(1440) + golomb(1088) + "1" + golomb(0) * 3 + golomb(4)
    depths = golomb(0) * 2 + golomb(4) + "1" + golomb(0) * 6 + golomb(0) * 6
    lists = "1" + "1" + "".join("0" + golomb(0) for _ in range(20))
    coding = "11" + "1" + "0" * 8 + golomb(0) * 2 + "0"
    first = golomb(1) + golomb(1) + (golomb(0) + "1") * 2
    second = "1" + "0" + golomb(0) + "1" + "01" + "00"
    third = "1" + "0" + golomb(0) + "1" * 3
    references = golomb(3) + first + second + third
    far = "1" + golomb(1) + "0" * 8 + "1"
    shape = "1" + "1" + f"{255:08b}{4:016b}{3:016b}"
    body = bits(profile + size + depths + lists + coding + references + far + "00" + shape)
    coded = body.replace(b"\0\0\0", b"\0\0\x03\0").replace(b"\0\0\x01", b"\0\0\x03\x01")
    found = hevc_size(END + b"\x42\x01" + coded + END)
    assert found is not None
    assert (found.width, found.height, found.square_width) == (1440, 1080, 1920)


@pytest.mark.parametrize(("name", "read"), [(b"\x67", h264_size), (b"\x42\x01", hevc_size)])
def test_a_parameter_set_that_ends_early_is_corrupt(name: bytes, read: Reader) -> None:
    for rest in (b"\x64", b"\x64\x00\x28", b"\x64" + bytes(2) + b"\x03" + bytes(30)):
        with pytest.raises(ProbeRejected) as refused:
            read(END + name + rest + END)
        assert refused.value.reason is RejectReason.CORRUPT
    assert read(END + name) is None
    assert read(b"") is None


# What camcorders write


def told(**changes: bytes) -> bytes:
    fields = {**PARIS, **{int(name[1:], 16): value for name, value in changes.items()}}
    return user_data({number: value for number, value in fields.items() if value}) + END


def test_a_camcorder_tells_time_zone_place_and_maker() -> None:
    found = capture_of(told(xE0=b"\x01\x08\0\1", xBA=b"\0\x23\0\1", xB1=b"S\0\0\0", x18=b"\x25\x20\x24\x07"))
    assert found.taken_at is not None
    assert found.taken_at.isoformat() == "2024-07-05T14:41:12+00:00"
    assert found.taken_offset_minutes == -150
    assert found.camera == Camera(make="Sony", model=None)
    assert found.location is not None
    assert (round(found.location.latitude, 4), found.location.altitude) == (-48.8584, 35.0)


@pytest.mark.parametrize(
    "changes",
    [{"x19": b""}, {"x18": b"\x04\x20\xff\x07"}, {"x19": b"\x45\x12\x11\x12"}, {"x18": b"\0\0\0\0"}],
)
def test_a_camcorder_without_a_clock_tells_no_time(changes: dict[str, bytes]) -> None:
    assert capture_of(told(**changes)).taken_at is None


@pytest.mark.parametrize("changes", [{"xB2": b""}, {"xB6": b"\0\1\0\0"}, {"xB2": b"\xff\xff\0\1"}])
def test_a_camcorder_without_a_fix_tells_no_place(changes: dict[str, bytes]) -> None:
    assert capture_of(told(**changes)).location is None


def test_user_data_may_be_cut() -> None:
    whole = told()
    for length in range(len(whole)):
        capture_of(whole[:length] + END)
