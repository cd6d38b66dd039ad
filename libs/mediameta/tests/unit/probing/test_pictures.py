import io
import random
import struct
import zlib
from datetime import UTC, datetime

import pytest
import pyvips
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
from kappi_testkit.media.samples import CountingSource, Shot, animation, encode, png_claiming, quadrants
from PIL import Image

SHOT = Shot(
    make="Canon",
    model="Canon EOS R6\x00",
    taken="2024:06:21 17:04:05",
    offset="+02:00",
    place=(-33.8568, 151.2153, 6.0),
)


async def probed(body: bytes) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return await probe(BytesSource(body), fmt)


async def reason_for(body: bytes) -> RejectReason:
    with pytest.raises(ProbeRejected) as refused:
        await probed(body)
    return refused.value.reason


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_dimensions_are_those_displayed(fmt: str, orientation: int) -> None:
    found = await probed(encode(quadrants(120, 80), fmt, shot=Shot(orientation=orientation)))
    assert (found.width, found.height, found.orientation) == (120, 80, orientation)
    assert found.kind == "image"
    assert found.content_type == f"image/{fmt.lower()}"


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
async def test_what_the_camera_wrote_down(fmt: str) -> None:
    found = await probed(encode(quadrants(60, 40), fmt, shot=SHOT))
    assert found.taken_at == datetime(2024, 6, 21, 15, 4, 5, tzinfo=UTC)
    assert found.taken_offset_known
    assert found.camera == Camera(make="Canon", model="Canon EOS R6")
    assert found.location == Coordinates(latitude=-33.8568, longitude=151.2153, altitude=6.0)


@pytest.mark.parametrize(
    ("picture", "options", "codec"),
    [
        (quadrants(90, 60), {}, "jpeg"),
        (quadrants(90, 60), {"progressive": True}, "jpeg-progressive"),
        (quadrants(90, 60).convert("L"), {}, "jpeg"),
        (quadrants(90, 60).convert("CMYK"), {}, "jpeg"),
    ],
)
async def test_jpeg_in_all_its_kinds(picture: Image.Image, options: dict[str, bool], codec: str) -> None:
    found = await probed(encode(picture, "JPEG", options=options))
    assert (found.width, found.height, found.codec) == (90, 60, codec)


@pytest.mark.parametrize(
    "picture",
    [
        quadrants(33, 21),
        quadrants(33, 21).convert("L"),
        quadrants(33, 21).convert("1"),
        quadrants(33, 21).convert("P"),
        quadrants(33, 21).convert("RGBA"),
        Image.new("I;16", (33, 21), 40_000),
    ],
    ids=lambda picture: picture.mode,
)
async def test_png_in_all_its_depths(picture: Image.Image) -> None:
    found = await probed(encode(picture, "PNG"))
    assert (found.width, found.height, found.animated) == (33, 21, False)


async def test_interlaced_png() -> None:
    body = pyvips.Image.black(35, 25, bands=3).pngsave_buffer(interlace=True)
    found = await probed(body)
    assert (found.width, found.height) == (35, 25)


@pytest.mark.parametrize("fmt", ["GIF", "WEBP", "PNG"])
async def test_animations(fmt: str) -> None:
    found = await probed(animation(fmt, 64, 48))  # type: ignore[arg-type]
    assert (found.width, found.height, found.animated) == (64, 48, True)


async def test_a_still_gif_is_not_animated() -> None:
    found = await probed(encode(quadrants(64, 48), "GIF"))
    assert (found.width, found.height, found.animated) == (64, 48, False)


@pytest.mark.parametrize(
    ("options", "picture", "codec"),
    [
        ({"quality": 70}, quadrants(301, 77), "webp"),
        ({"lossless": True}, quadrants(301, 77), "webp-lossless"),
        ({"quality": 70}, quadrants(301, 77).convert("RGBA"), "webp"),
    ],
)
async def test_webp_in_all_its_kinds(options: dict[str, object], picture: Image.Image, codec: str) -> None:
    if picture.mode == "RGBA":
        picture.putalpha(120)
    found = await probed(encode(picture, "WEBP", options=options))
    assert (found.width, found.height, found.codec) == (301, 77, codec)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
async def test_bmp_in_all_its_depths(mode: str) -> None:
    found = await probed(encode(quadrants(31, 17).convert(mode), "BMP"))
    assert (found.width, found.height) == (31, 17)


async def test_bmp_stored_top_down() -> None:
    body = bytearray(encode(quadrants(31, 17), "BMP"))
    struct.pack_into("<i", body, 22, -17)
    assert (await probed(bytes(body))).height == 17


async def test_a_photograph_of_megabytes_is_probed_from_little() -> None:
    body = encode(quadrants(640, 480), "JPEG", shot=SHOT)
    cut = body.rindex(b"\xff\xd9")
    source = CountingSource(body[:cut], gap_bytes=40 << 20, tail=body[cut:])
    found = await probe(source, MediaFormat.JPEG)
    assert (found.width, found.height) == (640, 480)
    assert len(source.reads) <= 3
    assert sum(source.reads) <= 192 << 10


async def test_a_panorama_with_megabytes_of_metadata_before_the_picture() -> None:
    """Some cameras write a second picture, or sound, into the XMP segments of a JPEG."""
    body = encode(quadrants(300, 200), "JPEG")
    segment = b"\xff\xe1\xff\xff" + b"http://ns.adobe.com/xmp/extension/\x00" + bytes(0xFFFD - 35)
    found = await probed(body[:2] + segment * 120 + body[2:])
    assert (found.width, found.height) == (300, 200)


async def test_exif_that_is_nonsense_costs_only_itself() -> None:
    body = encode(quadrants(60, 40), "JPEG", shot=SHOT)
    at = body.index(b"Exif\x00\x00") + 6
    found = await probed(body[: at + 8] + b"\xff" * 40 + body[at + 48 :])
    assert (found.width, found.height, found.orientation, found.camera) == (60, 40, 1, None)


@pytest.mark.parametrize(
    ("taken", "offset", "expected", "known"),
    [
        ("2024:06:21 17:04:05", None, datetime(2024, 6, 21, 17, 4, 5, tzinfo=UTC), False),
        ("2024:06:21 17:04:05", "nonsense", datetime(2024, 6, 21, 17, 4, 5, tzinfo=UTC), False),
        ("2024:01:01 03:00:00", "+05:30", datetime(2023, 12, 31, 21, 30, tzinfo=UTC), True),
        ("1955:11:05 06:00:00", "-08:00", datetime(1955, 11, 5, 14, 0, tzinfo=UTC), True),
        ("0000:00:00 00:00:00", None, None, False),
        ("0001:01:01 00:00:00", "+14:00", None, False),
        ("9999:12:31 23:59:59", "-14:00", None, False),
        ("yesterday", None, None, False),
    ],
)
async def test_capture_times(taken: str, offset: str | None, expected: datetime | None, known: bool) -> None:
    found = await probed(encode(quadrants(8, 8), "JPEG", shot=Shot(taken=taken, offset=offset)))
    assert (found.taken_at, found.taken_offset_known) == (expected, known)


@pytest.mark.parametrize("place", [(0.0, 0.0, 0.0), (91.0, 10.0, 0.0), (10.0, 181.0, 0.0)])
async def test_places_that_are_none(place: tuple[float, float, float]) -> None:
    assert (await probed(encode(quadrants(8, 8), "JPEG", shot=Shot(place=place)))).location is None


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
async def test_a_file_that_was_cut_off(fmt: str, part: float) -> None:
    noise = Image.effect_noise((400, 300), 80).convert("RGB")
    body = encode(noise, fmt)
    assert await reason_for(body[: int(len(body) * part)]) is RejectReason.TRUNCATED


async def test_a_gif_cut_off_where_its_pixels_look_like_its_end() -> None:
    whole = encode(quadrants(16, 16), "GIF")
    assert whole.endswith(b"\x00;")
    assert await reason_for(whole[:-2] + b"\x06ab\x00;c") is RejectReason.TRUNCATED


async def test_a_gif_cut_off_between_two_pieces_of_its_pixels() -> None:
    descriptor = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0, 0, 0)
    picture = b"," + struct.pack("<HHHHB", 0, 0, 64, 64, 0) + b"\x08"
    whole = descriptor + picture + 2 * (b"\xff" + bytes(255)) + b"\x02ab\x00;"
    for lost in (0, 1, 2):  # without the trailer, and without the end of data, all pixels are there
        assert (await probed(whole[: len(whole) - lost])).width == 64
    assert await reason_for(whole[: -2 - 3]) is RejectReason.TRUNCATED
    assert await reason_for(whole[: -2 - 3 - 256]) is RejectReason.TRUNCATED


async def test_a_progressive_jpeg_that_was_cut_off() -> None:
    body = encode(
        Image.effect_noise((700, 500), 80).convert("RGB"),
        "JPEG",
        options={"progressive": True, "quality": 95},
    )
    assert await reason_for(body[: len(body) // 2]) is RejectReason.TRUNCATED


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF"])
@pytest.mark.parametrize("trailer", [b"\x00" * 100, b"SEFT" * 30])
async def test_what_phones_append_does_no_harm(fmt: str, trailer: bytes) -> None:
    found = await probed(encode(quadrants(300, 200), fmt) + trailer)
    assert (found.width, found.height) == (300, 200)


async def test_a_motion_photo_carries_its_movie_behind_the_picture() -> None:
    film = random.Random(1).randbytes(300_000).replace(b"\xff\xd9", b"\xff\xd8")
    found = await probed(encode(quadrants(300, 200), "JPEG") + b"MotionPhoto_Data" + film)
    assert (found.width, found.height) == (300, 200)


def claiming(fmt: str, width: int, height: int) -> bytes:
    """Returns a small file whose header has an enormous size."""
    body = bytearray(encode(quadrants(16, 16), fmt))
    if fmt == "JPEG":
        at = body.index(b"\xff\xc0")
        struct.pack_into(">HH", body, at + 5, height, width)
    elif fmt == "PNG":
        struct.pack_into(">II", body, 16, width, height)
        struct.pack_into(">I", body, 29, zlib.crc32(body[12:29]))
    elif fmt == "GIF":
        struct.pack_into("<HH", body, 6, width, height)
    elif fmt == "BMP":
        struct.pack_into("<ii", body, 18, width, height)
    return bytes(body)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF", "BMP"])
async def test_a_bomb_is_refused_by_its_header(fmt: str) -> None:
    source = CountingSource(claiming(fmt, 30_000, 30_000))
    with pytest.raises(ProbeRejected) as refused:
        await probe(source, MediaFormat[fmt])
    assert refused.value.reason is RejectReason.TOO_MANY_PIXELS
    assert len(source.reads) == 1


async def test_a_png_of_a_few_bytes_that_would_be_gigabytes() -> None:
    assert await reason_for(png_claiming(30_000, 30_000)) is RejectReason.TOO_MANY_PIXELS


async def test_a_webp_canvas_that_is_a_bomb() -> None:
    canvas = b"\x10\x00\x00\x00" + (16_383).to_bytes(3, "little") + (16_383).to_bytes(3, "little")
    chunks = b"WEBPVP8X" + (10).to_bytes(4, "little") + canvas
    assert (
        await reason_for(b"RIFF" + len(chunks).to_bytes(4, "little") + chunks) is RejectReason.TOO_MANY_PIXELS
    )


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "BMP"])
async def test_a_picture_without_area_is_corrupt(fmt: str) -> None:
    assert await reason_for(claiming(fmt, 0, 100)) is RejectReason.CORRUPT


async def test_a_png_whose_header_was_tampered_with() -> None:
    body = bytearray(encode(quadrants(16, 16), "PNG"))
    body[19] ^= 1
    assert await reason_for(bytes(body)) is RejectReason.CORRUPT


async def test_a_jpeg_of_nothing_but_segments_is_not_walked_to_its_end() -> None:
    segment = b"\xff\xe5\xff\xff" + bytes(0xFFFD)
    source = CountingSource(b"\xff\xd8" + segment * 200 + b"\xff\xd9")
    with pytest.raises(ProbeRejected) as refused:
        await probe(source, MediaFormat.JPEG)
    assert refused.value.reason is RejectReason.TOO_COMPLEX
    assert sum(source.reads) <= ProbeLimits().max_read_bytes


def between_segments(jpeg: bytes, nothing: bytes) -> bytes:
    """Returns a JPEG with bytes before the EXIF segment that belong to no segment."""
    at = jpeg.index(b"\xff\xe1")
    return jpeg[:at] + nothing + jpeg[at:]


@pytest.mark.parametrize("nothing", [b"\0\0\0", b"\xff" * 3_000, b"\xff\0?\xff", bytes(4_000)])
async def test_bytes_between_segments_are_skipped_as_decoders_do(nothing: bytes) -> None:
    body = between_segments(encode(quadrants(30, 20), "JPEG", shot=Shot(orientation=6)), nothing)
    with Image.open(io.BytesIO(body)) as picture:
        picture.load()
    found = await probed(body)
    assert (found.width, found.height, found.orientation) == (30, 20, 6)


async def test_many_bytes_between_segments_are_none_of_a_jpeg() -> None:
    jpeg = encode(quadrants(30, 20), "JPEG", shot=Shot(orientation=6))
    assert await reason_for(between_segments(jpeg, bytes(5_000))) is RejectReason.CORRUPT


async def test_lossless_jpeg_is_a_type_of_its_own() -> None:
    body = encode(quadrants(16, 16), "JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1)
    assert await reason_for(body) is RejectReason.UNSUPPORTED_TYPE


async def test_an_object_shorter_than_its_size_says() -> None:
    class Liar(BytesSource):
        size_bytes = 2_000_000_000

    with pytest.raises(ProbeRejected) as refused:
        await probe(Liar(encode(quadrants(16, 16), "JPEG")), MediaFormat.JPEG)
    assert refused.value.reason is RejectReason.TRUNCATED


async def test_errors_of_the_source_pass_through() -> None:
    class Down(BytesSource):
        async def read(self, start: int, length: int) -> bytes:
            raise ConnectionError("store is down")

    with pytest.raises(ConnectionError):
        await probe(Down(b"x" * 100), MediaFormat.PNG)


def test_the_sample_encoder_turns_pixels_as_pillow_would_turn_them_back() -> None:
    from PIL import ImageOps

    upright = quadrants(12, 8)
    for orientation in range(1, 9):
        with Image.open(io.BytesIO(encode(upright, "PNG", shot=Shot(orientation=orientation)))) as picture:
            assert ImageOps.exif_transpose(picture).tobytes() == upright.tobytes()


async def test_the_smallest_webp_is_a_picture() -> None:
    body = bytes.fromhex("5249464614000000574542505650384c080000002f00000000c8cc08")
    assert len(body) == 28
    found = await probe(BytesSource(body), MediaFormat.WEBP)
    assert (found.width, found.height, found.codec) == (1, 1, "webp-lossless")
