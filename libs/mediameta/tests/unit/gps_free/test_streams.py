"""A place is planted in each part of AVI, ASF and MPEG-TS. A copy has none of it, and the same film."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import pytest
from kappi_mediameta.gps_free.find import Unremovable, find_location
from kappi_mediameta.probing import BytesSource, probe, sniff
from kappi_testkit.media.camcorder import MARK as USER_DATA
from kappi_testkit.media.camcorder import PARIS, with_date, with_user_data
from kappi_testkit.media.located_files import without_place
from kappi_testkit.media.samples import CountingSource, quadrants
from kappi_testkit.media.transport_packets import packet, packets_of, stream, tables, unit, with_times
from kappi_testkit.media.windows_films import (
    COMMANDS,
    MEDIA,
    SOUND,
    asf,
    asf_object,
    attribute,
    avi,
    chunk,
    extended,
    extension,
    file_properties,
    listed,
    metadata,
    picture,
    stream_header,
    stream_properties,
)

MARK = b"+48.8577+002.2950/Champ-de-Mars"
TEXTS = listed(b"strl", stream_header(b"txts", letters=bytes(4)), chunk(b"strf", MARK), chunk(b"strn", MARK))

Planted = Iterator[tuple[str, bytes]]


def recorded(container: str, codec: str, *, frames: int = 5) -> bytes:
    """Returns a film with a title."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        file.metadata["title"] = file.metadata["comment"] = MARK.decode()
        film = file.add_stream(codec, rate=10, options={"g": "1"} if container == "mpegts" else {})
        assert isinstance(film, av.VideoStream)
        film.width, film.height, film.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            frame: av.VideoFrame = av.VideoFrame.from_image(quadrants(64, 48))  # type: ignore[no-untyped-call] # its stub lacks types
            frame.pts, frame.time_base = number, Fraction(1, 10)
            file.mux(film.encode(frame))
        file.mux(film.encode(None))
    return out.getvalue()


def shown(body: bytes) -> list[bytes]:
    with av.open(io.BytesIO(body), "r") as film:
        return [bytes(frame.to_ndarray()) for frame in film.decode(video=0)]


def grown(film: bytes, at: int, told: bytes, *sizes: int) -> bytes:
    """Returns an AVI with bytes put into it. sizes: positions of the sizes that grow by them."""
    body = bytearray(film)
    for position in sizes:
        struct.pack_into("<I", body, position, len(told) + struct.unpack_from("<I", body, position)[0])
    return bytes(body[:at] + told + body[at:])


def avis() -> Planted:
    for codec in ("mjpeg", "mpeg4"):
        plain = recorded("avi", codec)
        yield f"{codec} texts", plain
        yield f"{codec} date", with_date(plain, MARK)
        movi = plain.index(b"movi")
        yield f"{codec} behind the index", grown(plain, len(plain), chunk(b"_PMX", MARK), 4)
        yield f"{codec} behind the end", plain + MARK
        yield f"{codec} before the media", grown(plain, movi - 8, chunk(b"strd", MARK), 4)
        yield f"{codec} in a list", grown(plain, movi - 8, listed(b"exif", chunk(b"ecor", MARK)), 4)
        header_end = 20 + struct.unpack_from("<I", plain, 16)[0]
        for name in (b"JUNK", b"strn", b"gps0"):
            yield f"{codec} {name!r} in the header", grown(plain, header_end, chunk(name, MARK), 4, 16)


def asfs() -> Planted:
    for codec in ("wmv1", "wmv2"):
        plain = recorded("asf", codec)
        yield f"{codec} texts", plain.replace(MARK.decode().encode("utf-16-le"), (MARK + MARK))
        yield f"{codec} behind the end", plain + MARK
        yield f"{codec} an object behind the end", plain + asf_object(COMMANDS, MARK)
        (size, count) = struct.unpack_from("<QI", plain, 16)
        told = asf_object(COMMANDS, MARK)
        grown_head = plain[:16] + struct.pack("<QI", size + len(told), count + 1) + plain[28:size]
        yield f"{codec} in the header", grown_head + told + plain[size:]


def transport_streams() -> Planted:
    for codec in ("mpeg2video", "libx264", "libx265"):
        plain = recorded("mpegts", codec, frames=25)
        service = plain.find(MARK[:20])
        assert service > 0
        yield f"{codec} name of the service", plain
        yield f"{codec} another stream", plain[:564] + packet(0x777, MARK, starts=True) + plain[564:]
        yield f"{codec} a packet without a meaning", plain + packet(0x1FFF, MARK)
        yield f"{codec} behind the end", plain + MARK * 100
        private = bytearray(packet(0x100, b""))
        private[5:7] = bytes([0x02, len(MARK)])
        private[7 : 7 + len(MARK)] = MARK
        yield f"{codec} private data", plain + bytes(private)
        yield f"{codec} with times before packets", with_times(plain + packet(0x777, MARK))


@pytest.mark.parametrize("planted", [avis, asfs, transport_streams])
async def test_nothing_is_left_of_a_place_wherever_it_was_planted(planted: Callable[[], Planted]) -> None:
    count = 0
    for where, body in planted():
        assert MARK in body or MARK[:20] in body, where
        copy = await without_place(body)
        assert len(copy) == len(body), where
        for mark in (b"Champ", b"48.8577", "48.8577".encode("utf-16-le")):
            assert mark not in copy, where
        assert shown(copy) == shown(body), where
        assert await find_location(BytesSource(copy)) == (), where
        fmt = sniff(copy[:4096])
        assert fmt is not None
        before, after = await probe(BytesSource(body), fmt), await probe(BytesSource(copy), fmt)
        assert (after.width, after.height, after.duration_ms) == (
            before.width,
            before.height,
            before.duration_ms,
        ), where
        count += 1
    assert count >= 8


# AVI


def chunk_of(body: bytes, told: bytes) -> bytes:
    """Returns the name of the chunk that a copy has where the original has these bytes."""
    at = body.index(told)
    return body[at - 8 : at - 4]


async def test_dash_cameras_write_between_pictures() -> None:
    media = listed(
        b"movi",
        chunk(b"00dc", b"picture"),
        chunk(b"JUNK", MARK),
        listed(b"rec ", chunk(b"01wb", b"sound"), chunk(b"02tx", MARK), chunk(b"gps0", MARK)),
        chunk(b"ix00", b"index"),
        chunk(b"00dc", b"more"),
        chunk(b"07dc", MARK),
    )
    body = avi(picture(), SOUND, TEXTS, behind=(media, chunk(b"idx1", b"list")))
    copy = await without_place(body)
    assert MARK not in copy
    for kept in (b"picture", b"sound", b"index", b"more", b"list"):
        assert copy.index(kept) == body.index(kept)
    at = body.index(b"gps0")
    assert copy[at : at + 4] == b"JUNK"


async def test_further_parts_of_a_long_avi_are_cleaned() -> None:
    more = chunk(b"RIFF", b"AVIX" + listed(b"movi", chunk(b"00dc", b"more"), chunk(b"JUNK", MARK)))
    body = avi(picture()) + more + MARK
    copy = await without_place(body)
    assert MARK not in copy
    assert b"more" in copy


async def test_a_long_avi_is_read_once_and_forwards() -> None:
    many = [chunk(b"00dc", b"\x11" * 65_528), chunk(b"JUNK", bytes(2_000)), chunk(b"JUNK", MARK)] * 400
    source = CountingSource(avi(picture(), behind=(listed(b"movi", *many),)))
    assert len(await find_location(source)) == 400
    assert sum(source.reads) < 2 * source.size_bytes
    assert len(source.reads) < 200


async def test_a_list_of_an_unknown_size_has_no_copy() -> None:
    with pytest.raises(Unremovable):
        await find_location(BytesSource(avi(picture(), behind=(b"LIST" + bytes(4) + MEDIA[8:],))))


# ASF


async def test_the_shape_of_a_pixel_stays_and_other_attributes_go() -> None:
    attributes = metadata(
        attribute("Place", MARK, stream=1),
        attribute("AspectRatioX", struct.pack("<I", 4), stream=1),
        attribute("AspectRatioX", MARK, stream=1),
        attribute("AspectRatioY", struct.pack("<I", 3), stream=1),
    )
    named = extended(stream_properties(), name=MARK)
    body = asf(file_properties(), extension(attributes, named), asf_object(COMMANDS, MARK))
    copy = await without_place(body)
    assert MARK not in copy
    fmt = sniff(copy[:4096])
    assert fmt is not None
    assert (await probe(BytesSource(copy), fmt)).width == 427
    assert await find_location(BytesSource(copy)) == ()


@pytest.mark.parametrize(
    "body",
    [
        asf(stream_properties(), stream_properties(COMMANDS, number=2)),
        asf(stream_properties(), extension(extended(stream_properties(COMMANDS)))),
        asf(stream_properties(), extension(extended(asf_object(COMMANDS, MARK)))),
        asf(stream_properties(), media=b""),
        asf(stream_properties(), media=asf_object(COMMANDS, MARK)),
        asf(stream_properties())[:-1],
        asf(stream_properties()[:-1]),
        asf(stream_properties())[:90],
    ],
)
async def test_an_asf_that_may_hide_a_place_has_no_copy(body: bytes) -> None:
    with pytest.raises(Unremovable):
        await find_location(BytesSource(body))


# MPEG-TS


def coded(*, name: str = "libx264") -> bytes:
    codec = av.CodecContext.create(name, "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 64, 48, "yuv420p", Fraction(1, 10)
    frame: av.VideoFrame = av.VideoFrame.from_image(quadrants(64, 48))  # type: ignore[no-untyped-call] # its stub lacks types
    frame.pts = 0
    return b"".join(bytes(part) for part in (*codec.encode(frame), *codec.encode(None)))


H264 = tables([(0x1B, 0x100, b"")])


@pytest.mark.parametrize("shift", range(0, 184, 5))
async def test_what_a_camcorder_writes_goes_wherever_packets_begin(shift: int) -> None:
    """The mark lies across two packets for some of the shifts."""
    marked = with_user_data(coded(), {**PARIS, 0xBB: bytes(4), 0xBC: bytes(4), 0xCA: b"2024"})
    padding = b"\x00\x00\x00\x01\x0c" + b"\xff" * shift + b"\x80"
    film = stream([0, 9_000], coded=padding + marked, head=H264)
    others = b"".join(film[at : at + 188] + packet(0x1FFF, b"") for at in range(0, len(film), 188))
    for body in (film, with_times(film), others):
        fmt = sniff(body[:4096])
        assert fmt is not None
        assert (await probe(BytesSource(body), fmt)).location is not None
        copy = await without_place(body)
        found = await probe(BytesSource(copy), fmt)
        assert (found.location, found.taken_at, found.width) == (None, None, 64)
        assert USER_DATA not in copy
        assert b"2024" not in copy
        assert struct.pack(">HH", 302, 10) not in copy
        assert shown(copy) == shown(body)
        assert await find_location(BytesSource(copy)) == ()


async def test_bytes_between_packets_go() -> None:
    film = stream(range(0, 360_000, 3_600))
    half = len(film) // 376 * 188
    body = film[:half] + MARK * 3 + film[half:]
    copy = await without_place(body)
    assert MARK not in copy
    assert copy[:half] + copy[half + 3 * len(MARK) :] == film


async def test_sound_stays() -> None:
    head = tables([(0x02, 0x100, b""), (0x0F, 0x101, b""), (0x06, 0x102, b"\x05\x04AC-3")])
    sound = packets_of(0x101, unit(0, b"first sound")) + packets_of(0x102, unit(0, b"second sound"))
    copy = await without_place(stream([0, 3_600], head=head + sound))
    assert b"first sound" in copy
    assert b"second sound" in copy


@pytest.mark.parametrize("body", [packet(0x1FFF, b"") * 10, packet(0x100, MARK) * 10])
async def test_a_stream_without_tables_has_no_copy(body: bytes) -> None:
    with pytest.raises(Unremovable):
        await find_location(BytesSource(body))
