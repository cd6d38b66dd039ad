"""Pictures in forms that few programs write. Decoders read them differently, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from PIL import Image, ImageCms

from kappi_testkit.media.bmp import MASKS, of_masks
from kappi_testkit.media.corpus.oracles import run
from kappi_testkit.media.gain_maps import GainNumbers, apple, toned
from kappi_testkit.media.samples import Shot, encode, quadrants, register_heif
from kappi_testkit.media.tiff import Tiff, colours, written

Make = Callable[[Path], None]


def _bytes(make: Callable[[], bytes | None]) -> Make:
    def write(path: Path) -> None:
        body = make()
        assert body is not None
        path.write_bytes(body)

    return write


def _tiff(kind: Tiff) -> Make:
    return _bytes(lambda: written(kind, profile=b""))


def _lab(path: Path) -> None:
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    picture = ImageCms.applyTransform(Image.fromarray(colours()), lab)
    assert picture is not None
    picture.save(path, "TIFF")


def _limited_grey(path: Path) -> None:
    """Makes a grey picture in the limited range, as video encoders write it."""
    source = path.with_suffix(".source.png")
    Image.fromarray(colours()).save(source)
    grey = ("-vf", "scale=out_range=tv,format=gray", "-color_range", "tv", "-frames:v", "1")
    run("ffmpeg", "-y", "-v", "error", "-i", source, *grey, "-c:v", "libaom-av1", "-cpu-used", "8", path)
    source.unlink()


def clear(width: int, height: int) -> Image.Image:
    """Returns the quadrants in the middle of a transparent background."""
    picture = quadrants(width, height)
    mask = Image.new("L", picture.size)
    mask.paste(255, (width // 6, height // 6, width * 5 // 6, height * 5 // 6))
    picture.putalpha(mask)
    return picture


def _clear_animation(path: Path) -> None:
    frame = clear(72, 48)
    frame.save(path, "AVIF", save_all=True, append_images=[frame.rotate(180), frame], duration=80)
    body = path.read_bytes()
    times_at = body.index(b"mvhd") + 8  # the current time, which the generated page cannot contain
    path.write_bytes(body[:times_at] + bytes(16) + body[times_at + 16 :])


def _turned_by_exif() -> bytes:
    """Returns a HEIC without the rotation property, which phones and editors leave out."""
    register_heif()
    body = encode(quadrants(120, 80), "HEIF", shot=Shot(orientation=6, make="samsung"))
    assert body.count(b"irot") == 1
    return body.replace(b"irot", b"free")


VARIANTS: Final[Mapping[str, Make]] = {
    "zstd.tif": _tiff(Tiff("zstd", predicted=True)),
    "deep-lzma.tif": _tiff(Tiff("lzma", "u2")),
    "floating.tif": _tiff(Tiff("zlib", "f4")),
    "half-floating.tif": _tiff(Tiff("lzw", "f2")),
    "long.tif": _tiff(Tiff("lzw", "u4")),
    "selection.tif": _tiff(Tiff("packbits", extras=(0,))),
    "clear.tif": _tiff(Tiff("zlib", extras=(1,), layout="tiles")),
    "planes-of-tiles.tif": _tiff(Tiff("none", layout="planes of tiles")),
    "lab.tif": _lab,
    "bit-fields.bmp": _bytes(lambda: of_masks(colours(), MASKS["5-6-5"])),
    "limited-grey.avif": _limited_grey,
    "clear-animated.avif": _clear_animation,
    "turned-by-exif.heic": _bytes(_turned_by_exif),
    "gain-map.heic": _bytes(lambda: toned("HEIF", numbers=GainNumbers())),
    "gain-map.avif": _bytes(lambda: toned("AVIF", numbers=GainNumbers())),
    "phone-gain-map.heic": _bytes(lambda: apple(headroom=4.5, tiles=2)),
}
