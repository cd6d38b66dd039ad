"""The parts of a file that a decoder gets, of files made to take long, by format and by the data beside the
picture.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from kappi_media.rendering import essentials as module
from kappi_media.rendering.essentials import essentials
from kappi_media.rendering.pieces import Bytes, joined, spliced
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_media.rendering.tiff_directory import NEEDED, TiffDirectory
from kappi_mediameta.probing import (
    BytesSource,
    MediaFormat,
    ProbeRejected,
    RejectReason,
    RenderRejected,
    probe,
)
from kappi_testkit.media.metadata_bombs import (
    gif_with_extensions,
    heif_with_metadata,
    jpeg_with_segments,
    png_with_chunks,
    tiff_with_fields,
    tiff_with_pages,
    webp_with_chunks,
)
from kappi_testkit.media.samples import Shot, encode, quadrants
from PIL import Image, ImageCms

MIB = 1 << 20
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def file_of(body: bytes) -> RangedFile:
    return RangedFile(
        lambda start, length: body[start : start + length], size_bytes=len(body), block_bytes=1000
    )


def shown(body: bytes, content_type: str) -> bytes:
    file = file_of(body)
    if content_type == "image/tiff":
        file = spliced(file, list(joined(TiffDirectory(Bytes(file)).pieces())))
    else:
        file = essentials(file, content_type=content_type)
    file.seek(0)
    found = file.readall()
    assert len(found) == file.size_bytes
    return found


def same_picture(body: bytes, other: bytes) -> bool:
    return Image.open(io.BytesIO(body)).tobytes() == Image.open(io.BytesIO(other)).tobytes()


BOMB = zlib.compress(bytes(8 * MIB), 9)
PLAIN = {fmt: encode(quadrants(300, 200), fmt) for fmt in ("PNG", "JPEG", "GIF", "WEBP", "TIFF")}
HOSTILE: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
    "png-ztxt": (
        "PNG",
        "image/png",
        lambda body: png_with_chunks(body, b"zTXt", [b"a\x00\x00" + BOMB] * 200),
    ),
    "png-itxt": (
        "PNG",
        "image/png",
        lambda body: png_with_chunks(body, b"iTXt", [b"a\x00\x01\x00\x00\x00" + BOMB] * 200),
    ),
    "png-iccp": ("PNG", "image/png", lambda body: png_with_chunks(body, b"iCCP", [b"a\x00\x00" + BOMB] * 3)),
    "png-unknown": ("PNG", "image/png", lambda body: png_with_chunks(body, b"kaPi", [bytes(10_000)] * 200)),
    "jpeg-app": ("JPEG", "image/jpeg", lambda body: jpeg_with_segments(body, 0xED, [bytes(65_000)] * 60)),
    "jpeg-comments": (
        "JPEG",
        "image/jpeg",
        lambda body: jpeg_with_segments(body, 0xFE, [bytes(65_000)] * 60),
    ),
    "jpeg-xmp": (
        "JPEG",
        "image/jpeg",
        lambda body: jpeg_with_segments(
            body, 0xE1, [b"http://ns.adobe.com/xap/1.0/\x00" + bytes(60_000)] * 60
        ),
    ),
    "jpeg-profile": (
        "JPEG",
        "image/jpeg",
        lambda body: jpeg_with_segments(
            body, 0xE2, [b"ICC_PROFILE\x00" + bytes([n + 1, 100]) + bytes(65_000) for n in range(100)]
        ),
    ),
    "gif-comments": ("GIF", "image/gif", lambda body: gif_with_extensions(body, 0xFE, 2_000)),
    "webp-xmp": ("WEBP", "image/webp", lambda body: webp_with_chunks(body, b"XMP ", [bytes(2 * MIB)])),
    "webp-profile": ("WEBP", "image/webp", lambda body: webp_with_chunks(body, b"ICCP", [bytes(5 * MIB)])),
    "webp-unknown": (
        "WEBP",
        "image/webp",
        lambda body: webp_with_chunks(body, b"KAPI", [bytes(10_000)] * 200),
    ),
    "tiff-fields": ("TIFF", "image/tiff", lambda body: tiff_with_fields(body, range(40_000, 44_000))),
    "tiff-pages": ("TIFF", "image/tiff", lambda body: tiff_with_pages(body, 10_000)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_beside_the_picture_is_not_shown(kind: str) -> None:
    fmt, content_type, spoil = HOSTILE[kind]
    plain = PLAIN[fmt]
    found = shown(spoil(plain), content_type)
    assert same_picture(found, plain)
    if fmt != "TIFF":  # its file keeps its length, without a reference to the rest
        assert len(found) <= len(plain) + 200
    else:
        assert Image.open(io.BytesIO(found)).n_frames == 1  # type: ignore[attr-defined]
        assert set(Image.open(io.BytesIO(found)).tag_v2) <= NEEDED  # type: ignore[attr-defined]


@pytest.mark.parametrize("fmt", PLAIN)
def test_a_plain_file_is_shown_as_it_is(fmt: str) -> None:
    assert shown(PLAIN[fmt], f"image/{fmt.lower()}") == PLAIN[fmt]


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP"])
def test_colours_and_orientation_stay(fmt: str) -> None:
    body = encode(quadrants(60, 40), fmt, shot=Shot(orientation=6), options={"icc_profile": PROFILE})
    picture = Image.open(io.BytesIO(shown(body, f"image/{fmt.lower()}")))
    assert picture.info["icc_profile"] == PROFILE
    assert picture.getexif()[0x0112] == 6


def test_a_tiff_keeps_its_profile_and_orientation() -> None:
    out = io.BytesIO()
    quadrants(60, 40).save(out, "TIFF", icc_profile=PROFILE, tiffinfo={274: 6, 270: "x" * 5_000})
    picture = Image.open(io.BytesIO(shown(out.getvalue(), "image/tiff")))
    assert picture.info["icc_profile"] == PROFILE
    assert (picture.getexif()[0x0112], 270 in picture.tag_v2) == (6, False)  # type: ignore[attr-defined]


def test_a_needed_field_of_a_tiff_has_a_bound() -> None:
    body = tiff_with_fields(PLAIN["TIFF"], [320], count=1 << 30)
    with pytest.raises(RenderRejected) as refused:
        shown(body, "image/tiff")
    assert refused.value.reason is RejectReason.TOO_COMPLEX


def test_what_the_first_frame_of_a_gif_leaves_of_the_screen_is_clear() -> None:
    """As in browsers; decoders make it black, or the colour of the background."""
    frame = encode(quadrants(60, 40), "GIF")
    wide = frame[:6] + (100).to_bytes(2, "little") + frame[8:]
    picture = Image.open(io.BytesIO(shown(wide, "image/gif"))).convert("RGBA")
    assert picture.size == (100, 40)
    assert (picture.getpixel((90, 20)) or ())[3] == 0  # type: ignore[index]
    assert (picture.getpixel((10, 10)) or ())[3] == 255  # type: ignore[index]
    assert shown(frame, "image/gif") == frame


def test_a_tiff_without_a_header_has_nothing_to_show() -> None:
    with pytest.raises(RenderRejected, match="no TIFF header"):
        shown(b"", "image/tiff")


def test_parts_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PARTS", 100)
    with pytest.raises(RenderRejected, match="too many parts"):
        shown(png_with_chunks(PLAIN["PNG"], b"kaPi", [b""] * 100), "image/png")


@pytest.mark.parametrize(
    ("fmt", "share"),
    [(fmt, share) for fmt in PLAIN for share in (0.0, 0.02, 0.3, 0.9) if share or fmt != "TIFF"],
)
def test_half_a_file_is_shown_as_far_as_it_goes(fmt: str, share: float) -> None:
    body = PLAIN[fmt][: int(len(PLAIN[fmt]) * share)]
    assert len(shown(body, f"image/{fmt.lower()}")) <= len(body) + 12


@pytest.mark.parametrize(
    ("packed", "copies", "detail"),
    [(True, 1, "packed metadata"), (False, 200, "items share their bytes")],
)
async def test_metadata_of_a_heif_that_makes_much_of_little_is_refused(
    packed: bool, copies: int, detail: str
) -> None:
    body = heif_with_metadata(encode(quadrants(300, 200), "AVIF"), packed=packed, copies=copies)
    with pytest.raises(ProbeRejected, match=detail) as refused:
        await probe(BytesSource(body), MediaFormat.AVIF)
    assert refused.value.reason is RejectReason.TOO_COMPLEX


async def test_metadata_of_a_heif_as_it_should_be_is_taken() -> None:
    body = heif_with_metadata(encode(quadrants(300, 200), "AVIF"), packed=False, copies=1)
    assert (await probe(BytesSource(body), MediaFormat.AVIF)).width == 300


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=1)
    yield renderer
    await renderer.close()


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_file_costs_its_decoder_no_more_than_a_plain_one(
    renderer: Renderer, kind: str
) -> None:
    fmt, _, spoil = HOSTILE[kind]
    plain = BytesSource(PLAIN[fmt])
    facts = await probe(plain, MediaFormat[fmt])
    sizes = [RenditionSize(height=50)]
    (expected,) = await renderer.render(plain, facts, sizes)
    before, worked_before_s = peak_bytes(renderer), processor_s(renderer)
    (found,) = await renderer.render(BytesSource(spoil(PLAIN[fmt])), facts, sizes)
    assert found.body == expected.body
    # The file itself, three times: as it arrived, joined, and reduced.
    assert peak_bytes(renderer) - before < 64 * MIB
    assert processor_s(renderer) - worked_before_s < 1.0


def peak_bytes(renderer: Renderer) -> int:
    """Returns the resident memory of the one decoder process."""
    (process,) = renderer._idle
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


def processor_s(renderer: Renderer) -> float:
    (process,) = renderer._idle
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
