"""The visible items of a HEIC or AVIF: which picture, its orientation, its order, its background."""

from __future__ import annotations

import io
import struct
from collections.abc import AsyncIterator
from typing import Final

import numpy as np
import pytest
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import SNIFF_BYTES, BytesSource, Probe, Rejected, RejectReason, probe, sniff
from kappi_testkit.media.containers import clap, imir, irot
from kappi_testkit.media.corpus.variants import clear
from kappi_testkit.media.heif import (
    DEPTH,
    OPACITY,
    Coding,
    Item,
    auxiliary,
    coded,
    grid,
    heif,
    range_of,
)
from kappi_testkit.media.samples import BLUE, GREEN, QUADRANTS, RED, YELLOW, Shot, encode, quadrants, stored
from kappi_testkit.media.tiff import Pixels
from PIL import Image

CODINGS: Final[tuple[Coding, ...]] = ("HEIF", "AVIF")
WHITE: Final = (255, 255, 255)
SHADES: Final = (20, 90, 160, 230)
_each_coding = pytest.mark.parametrize("coding", CODINGS)


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=1)
    yield renderer
    await renderer.close()


async def seen(renderer: Renderer, body: bytes) -> tuple[Probe, Pixels]:
    """Returns the probe of its header, and its picture in full size, which has that size."""
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    facts = await probe(BytesSource(body), fmt)
    (image,) = await renderer.render(BytesSource(body), facts, [RenditionSize(height=facts.height)])
    assert (image.width, image.height) == (facts.width, facts.height)
    return facts, np.asarray(Image.open(io.BytesIO(image.body)).convert("RGB"), "f8")


def corners(pixels: Pixels) -> list[tuple[int, ...]]:
    """Returns the colours near the four corners, row by row."""
    height, width = pixels.shape[:2]
    places = [(height // 5, width // 5), (height // 5, width * 4 // 5)]
    places += [(height * 4 // 5, width // 5), (height * 4 // 5, width * 4 // 5)]
    return [tuple(pixels[place].astype(int)) for place in places]


def alike(found: list[tuple[int, ...]], expected: tuple[tuple[int, ...], ...]) -> bool:
    return bool(np.abs(np.array(found) - np.array(expected)).max() < 25)


def plain(colour: tuple[int, int, int], coding: Coding) -> Item:
    return coded(Image.new("RGB", (64, 64), colour), coding)


@_each_coding
@pytest.mark.parametrize("numbers", [(2, 3, 4, 5), (5, 4, 3, 2), (9, 3, 7, 4)])
@pytest.mark.parametrize("size", [(128, 128), (101, 97)])
async def test_a_grid_is_in_the_order_of_its_references(
    renderer: Renderer, coding: Coding, numbers: tuple[int, ...], size: tuple[int, int]
) -> None:
    tiles = {number: plain(colour, coding) for number, colour in zip(numbers, QUADRANTS, strict=True)}
    items = [*sorted(tiles.items()), (1, grid(2, 2, size, tiles=numbers))]
    facts, pixels = await seen(renderer, heif(items, primary=1))
    assert (facts.width, facts.height) == size
    assert alike(corners(pixels), QUADRANTS)


@_each_coding
async def test_a_thumbnail_that_is_named_stands_for_its_picture(renderer: Renderer, coding: Coding) -> None:
    thumbnail = Item(*_parts(coded(quadrants(64, 64), coding)), refers=((b"thmb", (4,)),))
    items = [(2, plain(RED, coding)), (3, thumbnail), (4, coded(quadrants(160, 96), coding))]
    facts, pixels = await seen(renderer, heif(items, primary=3))
    assert (facts.width, facts.height) == (160, 96)
    assert alike(corners(pixels), QUADRANTS)


@_each_coding
async def test_the_picture_that_is_named_is_seen(renderer: Renderer, coding: Coding) -> None:
    items = [(2, plain(RED, coding)), (3, coded(quadrants(160, 96), coding)), (4, plain(BLUE, coding))]
    facts, pixels = await seen(renderer, heif(items, primary=3))
    assert (facts.width, facts.height) == (160, 96)
    assert alike(corners(pixels), QUADRANTS)


def _parts(item: Item) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    return item.kind, item.data, item.properties


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_exif_turns_a_heic_that_nothing_else_turns(renderer: Renderer, orientation: int) -> None:
    item = coded(stored(quadrants(160, 96), orientation), "HEIF")
    body = heif([(1, item)], primary=1, exif=Shot(orientation=orientation).exif()[6:])
    facts, pixels = await seen(renderer, body)
    assert (facts.width, facts.height, facts.orientation) == (160, 96, orientation)
    assert alike(corners(pixels), QUADRANTS)


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (irot(0), (RED, GREEN, BLUE, YELLOW)),
        (irot(2), (YELLOW, BLUE, GREEN, RED)),
        (imir(1), (GREEN, RED, YELLOW, BLUE)),
    ],
)
async def test_a_turn_of_its_own_is_the_only_one(
    renderer: Renderer, turn: bytes, expected: tuple[tuple[int, ...], ...]
) -> None:
    kind, data, properties = _parts(coded(quadrants(160, 96), "HEIF"))
    item = Item(kind, data, (*properties, turn))
    facts, pixels = await seen(renderer, heif([(1, item)], primary=1, exif=Shot(orientation=6).exif()[6:]))
    assert (facts.width, facts.height) == (160, 96)
    assert alike(corners(pixels), expected)


async def test_exif_turns_no_avif(renderer: Renderer) -> None:
    body = heif([(1, coded(quadrants(160, 96), "AVIF"))], primary=1, exif=Shot(orientation=6).exif()[6:])
    facts, pixels = await seen(renderer, body)
    assert (facts.width, facts.orientation) == (160, 1)
    assert alike(corners(pixels), QUADRANTS)


@_each_coding
@pytest.mark.parametrize("full", [True, False])
async def test_grey_has_its_full_contrast(renderer: Renderer, coding: Coding, full: bool) -> None:
    kind, data, properties = _parts(coded(shades(full=full), coding))
    item = Item(kind, data, (*properties, range_of(full=full)))
    _, pixels = await seen(renderer, heif([(1, item)], primary=1))
    assert [pixels[48, 20 + 40 * number, 1] for number in range(4)] == pytest.approx(SHADES, abs=3)


def shades(*, full: bool) -> Image.Image:
    """Returns four shades, each a quarter of the width, in the full or the limited range."""
    picture = Image.new("L", (160, 96))
    for number, shade in enumerate(SHADES):
        picture.paste(
            shade if full else round(16 + shade * 219 / 255), (number * 40, 0, number * 40 + 40, 96)
        )
    return picture


@_each_coding
async def test_grey_with_opacity_has_its_full_contrast(renderer: Renderer, coding: Coding) -> None:
    kind, data, properties = _parts(coded(shades(full=False), coding))
    opaque = auxiliary(OPACITY, coded(Image.new("L", (160, 96), 255), coding), of=1)
    items = [(1, Item(kind, data, (*properties, range_of(full=False)))), (2, opaque)]
    _, pixels = await seen(renderer, heif(items, primary=1))
    assert [pixels[48, 20 + 40 * number, 1] for number in range(4)] == pytest.approx(SHADES, abs=3)


@pytest.mark.parametrize("hidden", [b"", b"meta"])
async def test_a_grey_sequence_has_its_full_contrast(renderer: Renderer, hidden: bytes) -> None:
    picture = shades(full=True).convert("RGB")
    options = {"save_all": True, "append_images": [picture.rotate(180)], "range": "limited"}
    body = encode(picture, "AVIF", options={**options, "subsampling": "4:0:0", "quality": 95})
    facts, pixels = await seen(renderer, body.replace(hidden, b"free") if hidden else body)
    assert facts.animated
    assert [pixels[48, 20 + 40 * number, 1] for number in range(4)] == pytest.approx(SHADES, abs=3)


async def test_grey_that_says_its_range_in_its_pixels_alone(renderer: Renderer) -> None:
    picture = Image.new("L", (160, 96), 16)
    picture.paste(235, (80, 0, 160, 96))
    body = encode(picture.convert("RGB"), "AVIF", options={"range": "limited", "subsampling": "4:0:0"})
    assert body.count(b"colr") == 1
    _, pixels = await seen(renderer, body.replace(b"colr", b"free"))
    assert (pixels[48, 40, 1], pixels[48, 120, 1]) == pytest.approx((16, 235), abs=3)


@_each_coding
async def test_clear_parts_are_white(renderer: Renderer, coding: Coding) -> None:
    mask = clear(160, 96).getchannel("A")
    items = [(1, coded(quadrants(160, 96), coding)), (2, auxiliary(OPACITY, coded(mask, coding), of=1))]
    _, pixels = await seen(renderer, heif(items, primary=1))
    assert alike(corners(pixels), QUADRANTS)
    assert alike([tuple(pixels[2, 2].astype(int)), tuple(pixels[93, 157].astype(int))], (WHITE, WHITE))


@_each_coding
@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (irot(2), (YELLOW, BLUE, GREEN, RED)),
        (imir(0), (BLUE, YELLOW, RED, GREEN)),
        (imir(1), (GREEN, RED, YELLOW, BLUE)),
    ],
)
@pytest.mark.parametrize("both", [True, False])
async def test_opacity_is_turned_with_its_picture(
    renderer: Renderer, coding: Coding, turn: bytes, expected: tuple[tuple[int, ...], ...], both: bool
) -> None:
    """With or without properties of its own: encoders write the rotation for the picture alone."""
    kind, data, properties = _parts(coded(quadrants(160, 96), coding))
    mask = Image.new("L", (160, 96), 255)
    mask.paste(0, (0, 0, 16, 16))
    kind_of_mask, data_of_mask, properties_of_mask = _parts(coded(mask, coding))
    mask_item = Item(kind_of_mask, data_of_mask, (*properties_of_mask, turn) if both else properties_of_mask)
    items = [(1, Item(kind, data, (*properties, turn))), (2, auxiliary(OPACITY, mask_item, of=1))]
    _, pixels = await seen(renderer, heif(items, primary=1))
    assert alike(corners(pixels), expected)
    ends = [pixels[y, x] for y in (4, -4) for x in (4, -4)]
    assert [tuple(end.astype(int)) for end in ends if end.min() > 230] == [WHITE]
    assert ends[expected.index(RED)].min() > 230


@_each_coding
async def test_what_turns_a_grid_turns_none_of_its_tiles(renderer: Renderer, coding: Coding) -> None:
    """Encoders may let all of them share the property."""
    tiles = [plain(colour, coding) for colour in (RED, GREEN)]
    turned = [Item(tile.kind, tile.data, (*tile.properties, irot(1))) for tile in tiles]
    whole = grid(2, 1, (128, 64), tiles=(2, 3))
    items = [(1, Item(whole.kind, whole.data, (*whole.properties, irot(1)), whole.refers))]
    facts, pixels = await seen(renderer, heif([*items, (2, turned[0]), (3, turned[1])], primary=1))
    assert (facts.width, facts.height) == (64, 128)
    assert alike(corners(pixels), (GREEN, GREEN, RED, RED))


@_each_coding
async def test_a_grid_without_one_of_its_tiles_is_corrupt(renderer: Renderer, coding: Coding) -> None:
    items = [(1, grid(2, 1, (128, 64), tiles=(2,))), (2, plain(RED, coding))]
    with pytest.raises(Rejected) as refused:
        await seen(renderer, heif(items, primary=1))
    assert refused.value.reason is RejectReason.CORRUPT


@_each_coding
async def test_colours_may_be_multiplied_by_their_opacity(renderer: Renderer, coding: Coding) -> None:
    half = coded(Image.new("L", (64, 64), 128), coding)
    kind, data, properties = _parts(plain((128, 0, 0), coding))
    items = [(1, Item(kind, data, properties, ((b"prem", (2,)),))), (2, auxiliary(OPACITY, half, of=1))]
    _, pixels = await seen(renderer, heif(items, primary=1))
    assert alike(corners(pixels), ((255, 127, 127),) * 4)


@pytest.mark.parametrize("hidden", [b"", b"meta"])
async def test_colours_of_a_sequence_may_be_multiplied_by_their_opacity(
    renderer: Renderer, hidden: bytes
) -> None:
    frame = Image.new("RGBA", (64, 64), (255, 0, 0, 128))
    options = {"save_all": True, "append_images": [frame.copy()], "alpha_premultiplied": True, "quality": 95}
    body = encode(frame, "AVIF", options=options)
    assert b"prem" in body
    _, pixels = await seen(renderer, body.replace(hidden, b"free") if hidden else body)
    assert alike(corners(pixels), ((255, 127, 127),) * 4)


async def test_a_cut_picture_with_opacity_that_is_not_is_refused(renderer: Renderer) -> None:
    """Decoders combine the whole of one with a part of the other."""
    kind, data, properties = _parts(coded(quadrants(160, 96), "AVIF"))
    cut = Item(kind, data, (*properties, clap(80, 48)))
    mask = coded(clear(160, 96).getchannel("A"), "AVIF")
    depth = heif([(1, cut), (2, auxiliary(DEPTH, mask, of=1))], primary=1)
    assert (await seen(renderer, depth))[0].width == 80
    turned = Item(kind, data, (*cut.properties, irot(1)))
    cut_mask = Item(mask.kind, mask.data, (*mask.properties, clap(80, 48)))
    for picture, opacity in ((cut, mask), (turned, cut_mask)):
        with pytest.raises(Rejected) as refused:
            await seen(renderer, heif([(1, picture), (2, auxiliary(OPACITY, opacity, of=1))], primary=1))
        assert refused.value.reason is RejectReason.UNSUPPORTED_TYPE


@_each_coding
async def test_layers_may_share_their_bytes(renderer: Renderer, coding: Coding) -> None:
    """Each layer is an item, and contains those below it."""
    picture = coded(quadrants(160, 96), coding)
    items = [(1, picture), *((number, picture) for number in (2, 3, 4, 5))]
    body = heif(items, primary=1)
    at = body.index(picture.data)
    for number in (2, 3, 4, 5):
        entry = struct.pack(">HHH", number, 0, 1)
        place = body.index(entry) + len(entry)
        body = body[:place] + struct.pack(">I", at) + body[place + 4 :]
    body = body[: at + len(picture.data)]
    mdat = body.rindex(b"mdat", 0, at) - 4
    body = body[:mdat] + struct.pack(">I", len(body) - mdat) + body[mdat + 4 :]
    assert alike(corners((await seen(renderer, body))[1]), QUADRANTS)


@_each_coding
async def test_a_map_of_depth_is_no_opacity(renderer: Renderer, coding: Coding) -> None:
    depth = coded(Image.new("L", (160, 96), 0), coding)
    items = [(1, coded(quadrants(160, 96), coding)), (2, auxiliary(DEPTH, depth, of=1))]
    _, pixels = await seen(renderer, heif(items, primary=1))
    assert alike(corners(pixels), QUADRANTS)
    assert alike([tuple(pixels[2, 2].astype(int))], (RED,))


@pytest.mark.parametrize("hidden", [b"", b"meta"])
async def test_clear_parts_of_a_sequence_are_white(renderer: Renderer, hidden: bytes) -> None:
    """By its still picture or, without one, by its frames."""
    out = io.BytesIO()
    frame = clear(96, 64)
    frame.save(out, "AVIF", save_all=True, append_images=[frame, frame], duration=80, quality=90)
    body = out.getvalue()
    assert body.count(b"meta") == 1
    facts, pixels = await seen(renderer, body.replace(hidden, b"free") if hidden else body)
    assert (facts.animated, facts.width, facts.height) == (True, 96, 64)
    assert alike(corners(pixels), QUADRANTS)
    assert alike([tuple(pixels[2, 2].astype(int)), tuple(pixels[61, 93].astype(int))], (WHITE, WHITE))
