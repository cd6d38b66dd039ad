"""Properties of renditions, with the code that a decoder process runs, called in this one."""

import io
import sys
import zlib
from fractions import Fraction

import msgspec
import pytest
import pyvips
from kappi_contracts.rendition_formats import OUTPUT_FORMATS
from kappi_media.rendering.wire import Done, Refused, RenderJob, WireSize
from kappi_media.rendering.worker import render
from kappi_mediameta.probing import RejectReason
from kappi_testkit.media.metadata_blocks import png
from kappi_testkit.media.rendering import (
    HEIGHT_100,
    answer_for,
    assert_upright,
    corners,
    job_for,
    rendered,
)
from kappi_testkit.media.samples import (
    QUADRANTS,
    MovieShape,
    Shot,
    animation,
    encode,
    movie,
    mutations,
    quadrants,
    register_heif,
)
from PIL import Image, ImageCms

FORMATS = tuple(OUTPUT_FORMATS)
COVER = WireSize(height=90, cover_width=90)
SHOT = Shot(orientation=6, make="Canon", model="R6", taken="2024:06:21 17:04:05", place=(48.1, 11.5, 520.0))


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_renditions_are_upright_and_tell_nothing(fmt: str, orientation: int) -> None:
    register_heif()
    shot = Shot(orientation=orientation, make="Canon", place=(48.1, 11.5, 520.0))
    wanted = FORMATS[orientation % 3]
    (picture,) = await rendered(encode(quadrants(300, 200), fmt, shot=shot), fmt=wanted)
    assert picture.size == (150, 100)
    assert_upright(picture)
    assert not picture.getexif()
    assert not {"exif", "icc_profile", "xmp", "comment", "photoshop"} & picture.info.keys()


async def test_a_phones_heic_is_turned_once() -> None:
    """Phones write the rotation twice: as a property of the picture, which counts, and into EXIF."""
    register_heif()
    body = encode(quadrants(300, 200), "HEIF", shot=Shot(orientation=6, make="Apple"))
    assert b"irot" in body
    assert b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06" in body
    (picture,) = await rendered(body)
    assert picture.size == (150, 100)
    assert_upright(picture)


@pytest.mark.parametrize(
    ("body", "tolerance"),
    [
        (encode(quadrants(300, 200), "JPEG", options={"progressive": True}), 25),
        (encode(quadrants(300, 200).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), 25),
        (encode(quadrants(300, 200), "BMP"), 25),
        (encode(quadrants(300, 200).convert("P", palette=Image.Palette.ADAPTIVE), "BMP"), 25),
        (encode(quadrants(300, 200), "WEBP", options={"lossless": True}), 25),
        (encode(quadrants(300, 200), "GIF"), 40),
        (animation("GIF", 300, 200), 40),
        (animation("WEBP", 300, 200), 25),
        (animation("PNG", 300, 200), 25),
    ],
    ids=[
        "progressive",
        "palette-png",
        "bmp",
        "palette-bmp",
        "lossless-webp",
        "gif",
        "moving-gif",
        "moving-webp",
        "apng",
    ],
)
async def test_every_format_shows_its_first_picture(body: bytes, tolerance: int) -> None:
    (picture,) = await rendered(body)
    assert picture.size == (150, 100)
    assert_upright(picture, tolerance=tolerance)


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", b"Cr\xe9\xe9 par\x00GIMP \xe9"),
        (b"zTXt", b"Cr\xe9\xe9 par\x00\x00" + zlib.compress(b"\xe9")),
        (b"iTXt", b"Cr\xe9\xe9 par\x00\x00\x00\xff\x00\xfe\x00\xe9"),
    ],
    ids=lambda chunk: chunk[0].decode(),
)
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
async def test_text_in_latin_1_is_no_fault_of_a_png(chunk: tuple[bytes, bytes], behind: bool) -> None:
    body = png(chunk, behind=behind)
    (picture,) = await rendered(body)
    assert_upright(picture)


async def test_interlaced_and_sixteen_bit_png() -> None:
    upright = quadrants(300, 200)
    base = pyvips.Image.new_from_memory(upright.tobytes(), 300, 200, 3, "uchar").copy(interpretation="srgb")
    for body in (base.pngsave_buffer(interlace=True), base.colourspace("rgb16").pngsave_buffer(bitdepth=16)):
        (picture,) = await rendered(body)
        assert_upright(picture)


async def test_grey_pictures_keep_their_greys() -> None:
    grey, deep = Image.new("L", (200, 200), 180), Image.new("I;16", (200, 200), 180 * 257)
    register_heif()
    for picture, fmt in (
        (grey, "PNG"),
        (deep, "PNG"),
        (grey, "TIFF"),
        (deep, "TIFF"),
        (grey, "JPEG"),
        (grey, "HEIF"),
        (deep, "HEIF"),
        (grey, "AVIF"),
    ):
        (found,) = await rendered(encode(picture, fmt))
        assert found.convert("L").getpixel((50, 50)) == pytest.approx(180, abs=3)


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
async def test_transparency_becomes_white(fmt: str) -> None:
    register_heif()
    see_through = quadrants(300, 200).convert("RGBA")
    see_through.paste((0, 0, 0, 0), (0, 0, 150, 200))
    for wanted in FORMATS:
        (picture,) = await rendered(encode(see_through, fmt), fmt=wanted)
        assert picture.mode == "RGB"
        assert corners(picture)[0] == pytest.approx((255, 255, 255), abs=4)
        assert corners(picture)[1] == pytest.approx(QUADRANTS[1], abs=25)


@pytest.mark.parametrize("fmt", ["JPEG", "TIFF"])
async def test_cmyk_keeps_its_colours_apart(fmt: str) -> None:
    (picture,) = await rendered(encode(quadrants(300, 200).convert("CMYK"), fmt))
    assert picture.mode == "RGB"
    red, green, blue, yellow = corners(picture)
    assert red[0] > 1.5 * max(red[1:])
    assert green[1] > 1.2 * max(green[0], green[2])
    assert blue[2] > 1.2 * max(blue[:2])
    assert min(yellow[:2]) > 1.5 * yellow[2]


async def test_a_colour_profile_is_applied_not_dropped() -> None:
    """A picture in a profile whose red and green are swapped is shown with them swapped back."""
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = wide.replace(b"rXYZ", b"tmpZ").replace(b"gXYZ", b"rXYZ").replace(b"tmpZ", b"gXYZ")
    red, green, blue = quadrants(300, 200).split()
    body = encode(Image.merge("RGB", (green, red, blue)), "PNG", options={"icc_profile": swapped})
    (picture,) = await rendered(body)
    assert_upright(picture, tolerance=30)


async def test_heights_are_exact_and_never_enlarged() -> None:
    body = encode(quadrants(301, 203), "JPEG")
    pictures = await rendered(body, *(WireSize(height=h) for h in (37, 100, 203, 400)))
    assert [p.height for p in pictures] == [37, 100, 203, 203]
    for picture in pictures:
        assert picture.width == pytest.approx(301 * picture.height / 203, abs=1)
        assert_upright(picture)


@pytest.mark.parametrize("dimensions", [(300, 200), (200, 300), (40, 30), (90, 90), (91, 400)])
async def test_a_cover_is_exactly_its_size(dimensions: tuple[int, int]) -> None:
    pictures = await rendered(encode(quadrants(*dimensions), "JPEG"), COVER, HEIGHT_100)
    assert pictures[0].size == (90, 90)
    assert_upright(pictures[0], tolerance=40)


@pytest.mark.parametrize("dimensions", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
async def test_shapes_of_little_use(dimensions: tuple[int, int]) -> None:
    (picture,) = await rendered(encode(quadrants(*dimensions), "PNG"))
    assert picture.height == min(100, dimensions[1])
    assert picture.width >= 1


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"])
async def test_pixels_are_counted_before_they_are_decoded(fmt: str) -> None:
    register_heif()
    answer = await answer_for(encode(quadrants(60, 50), fmt), max_pixels=2_999)
    assert isinstance(answer, Refused)
    assert answer.reason is RejectReason.TOO_MANY_PIXELS


@pytest.mark.parametrize("container", ["mp4", "mov"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
async def test_posters_are_upright(container: str, rotation: int) -> None:
    shape = MovieShape(container=container, rotation=rotation, seconds=0.5)  # type: ignore[arg-type] # a Literal
    (picture,) = await rendered(movie(shape))
    assert picture.size == ((56, 100) if rotation % 180 else (178, 100))
    assert_upright(picture, tolerance=40)


async def test_a_mirrored_movie_is_mirrored_back() -> None:
    (picture,) = await rendered(movie(MovieShape(seconds=0.5, mirrored=True)))
    top_left, top_right, *_ = corners(picture)
    assert top_left == pytest.approx(QUADRANTS[1], abs=40)
    assert top_right == pytest.approx(QUADRANTS[0], abs=40)


@pytest.mark.parametrize("rotation", [0, 90])
async def test_oblong_pixels_become_square(rotation: int) -> None:
    (picture,) = await rendered(movie(MovieShape(pixel_shape=Fraction(4, 3), rotation=rotation, seconds=0.5)))
    assert picture.size == ((42, 100) if rotation else (237, 100))
    assert_upright(picture, tolerance=40)


async def test_a_poster_is_not_the_black_that_films_begin_with() -> None:
    (picture,) = await rendered(movie(MovieShape(seconds=4, dark_seconds=1.0)))
    assert_upright(picture, tolerance=40)


async def test_a_film_that_stays_black_has_a_black_poster() -> None:
    (picture,) = await rendered(movie(MovieShape(seconds=1, dark_seconds=5)))
    assert max(max(colour) for colour in corners(picture)) < 24


@pytest.mark.parametrize(
    "shape", [MovieShape(faststart=True), MovieShape(fragmented=True), MovieShape(codec="mpeg4")]
)
async def test_posters_of_other_layouts(shape: MovieShape) -> None:
    (picture,) = await rendered(movie(shape))
    assert_upright(picture, tolerance=40)


@pytest.mark.parametrize(
    "body",
    [
        encode(quadrants(60, 40), "JPEG", shot=SHOT),
        encode(quadrants(60, 40), "PNG"),
        animation("GIF", 60, 40),
        encode(quadrants(60, 40), "WEBP"),
        encode(quadrants(60, 40), "BMP"),
        movie(MovieShape(seconds=0.5)),
    ],
    ids=["jpeg", "png", "gif", "webp", "bmp", "mp4"],
)
async def test_damaged_files_end_in_a_picture_or_in_a_refusal(body: bytes) -> None:
    job = await job_for(body)
    answers = set()
    for damaged in mutations(body, seed=11, count=150):
        damaged_job = msgspec.structs.replace(job, size_bytes=len(damaged))
        answers.add(type(render(damaged_job, lambda start, length, b=damaged: b[start : start + length])))  # type: ignore[misc] # a default binds the loop's value
    assert Done in answers


async def test_a_file_that_only_claims_to_be_a_jpeg_meets_no_other_loader() -> None:
    good = await job_for(encode(quadrants(30, 20), "JPEG"))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"></svg>'
    answer = render(good, lambda start, length: svg[start : start + length])
    assert isinstance(answer, Refused)
    assert answer.reason is RejectReason.CORRUPT


async def test_a_photograph_with_a_damaged_stretch_is_still_shown() -> None:
    body = bytearray(encode(quadrants(300, 200), "JPEG", options={"quality": 95}))
    middle = (body.index(b"\xff\xda") + len(body)) // 2
    body[middle : middle + 4] = b"\x11\x22\x33\x44"
    (picture,) = await rendered(bytes(body))
    assert corners(picture)[0] == pytest.approx(QUADRANTS[0], abs=40)


async def test_a_type_without_a_loader() -> None:
    body = encode(quadrants(30, 20), "JPEG")
    job = RenderJob("image/unheard-of", len(body), 30, 20, 1, (HEIGHT_100,), 1_000)
    answer = render(job, lambda start, length: body[start : start + length])
    assert answer == Refused(RejectReason.UNSUPPORTED_TYPE, "image/unheard-of")


def test_jpeg_xl_is_refused_where_there_is_no_decoder_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its wheels exist for some platforms only, so waiting for the library would not help."""
    monkeypatch.setitem(sys.modules, "kappi_media.rendering.jxl", None)
    job = RenderJob("image/jxl", 16, 30, 20, 1, (HEIGHT_100,), 1_000)
    answer = render(job, lambda start, length: bytes(16)[start : start + length])
    assert answer == Refused(RejectReason.UNSUPPORTED_TYPE, "no JPEG XL on this platform")


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
async def test_a_picture_of_one_colour_is_one_unless_nothing_of_it_was_read(compression: str | None) -> None:
    """Decoders that read nothing draw black."""
    options = {"compression": compression} if compression else {}
    body = encode(Image.new("RGB", (300, 200), (0, 0, 0)), "TIFF", options=options)
    (picture,) = await rendered(body)
    assert picture.getextrema() == ((0, 0), (0, 0), (0, 0))
    if compression is not None:
        with Image.open(io.BytesIO(body)) as tiff:
            at, length = tiff.tag_v2[273][0], sum(tiff.tag_v2[279])  # type: ignore[attr-defined]
        noise = b"\x07\x03" * (length // 2 + 1)
        answer = await answer_for(body[:at] + noise[:length] + body[at + length :])
        assert isinstance(answer, Refused)
        assert answer.reason is RejectReason.CORRUPT
