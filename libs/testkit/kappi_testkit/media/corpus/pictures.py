"""Pictures as Pillow, libheif, ImageMagick and FFmpeg write them, with metadata by ExifTool.

`PICTURES` maps a file's name to its maker; the stem names what is special about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

from kappi_testkit.media.corpus.oracles import run
from kappi_testkit.media.live_photos import live_id_of, live_picture
from kappi_testkit.media.samples import MovieShape as Film
from kappi_testkit.media.samples import (
    Shot,
    animation,
    encode,
    movie,
    quadrants,
    register_heif,
    stored,
)

Make = Callable[[Path], None]

LIVE_ID: Final = live_id_of("CORPUS")
_SHOT: Final = Shot(
    orientation=6,
    make="Canon",
    model="Canon EOS R6m2",
    taken="2024:06:21 17:04:05",
    offset="+02:00",
    place=(48.858370, 2.294481, 35.0),
)
_SOUTH_WEST: Final = Shot(
    make="NIKON CORPORATION",
    model="NIKON Z 6_3",
    taken="2023:12:31 23:59:58",
    offset="-05:00",
    place=(-13.163100, -72.545000, 2430.0),
)
_CONVERTED: Final = replace(_SHOT, orientation=1)
_NO_ZONE: Final = Shot(make="Panasonic", model="DMC-TZ7", taken="2011:08:02 09:10:11")
_BY_EXIFTOOL: Final = (
    "-overwrite_original",
    "-EXIF:DateTimeOriginal=2022:03:04 05:06:07",
    "-EXIF:SubSecTimeOriginal=250",
    "-EXIF:OffsetTimeOriginal=+09:00",
    "-EXIF:Make=SONY",
    "-EXIF:Model=ILCE-7M4",
    "-EXIF:GPSLatitude=35.360556",
    "-EXIF:GPSLatitudeRef=N",
    "-EXIF:GPSLongitude=138.727778",
    "-EXIF:GPSLongitudeRef=E",
    "-EXIF:GPSAltitude=3776",
    "-EXIF:GPSAltitudeRef=0",
    "-n",
)
Turning = Literal["JPEG", "HEIF", "AVIF", "TIFF", "WEBP", "PNG"]


def _pillow(path: Path, fmt: str, shot: Shot | None = None, **options: object) -> None:
    if fmt == "HEIF":
        register_heif()
    path.write_bytes(encode(quadrants(120, 80), fmt, shot=shot, options=options))


def _pillow_mode(path: Path, fmt: str, mode: str) -> None:
    quadrants(96, 64).convert(mode).save(path, fmt)


def _turned(fmt: Turning, orientation: int) -> Make:
    return partial(_pillow, fmt=fmt, shot=Shot(orientation=orientation))


def _animated(path: Path, fmt: Literal["GIF", "WEBP", "PNG"]) -> None:
    path.write_bytes(animation(fmt, 72, 48))


def _magick(*arguments: str, size: str = "130x90") -> Make:
    def make(path: Path) -> None:
        run("convert", "-size", size, "gradient:red-blue", *arguments, path)

    return make


def tagged(make: Make, *more: str) -> Make:
    """Returns a maker that adds tags with ExifTool."""

    def tag(path: Path) -> None:
        make(path)
        run("exiftool", *_BY_EXIFTOOL, *more, path)

    return tag


def _heif_enc(path: Path, *arguments: str, size: tuple[int, int] = (128, 96)) -> None:
    source = path.with_suffix(".source.png")
    quadrants(*size).save(source)
    run("heif-enc", *arguments, "-o", path, source)
    source.unlink()


def _ffmpeg(*arguments: str) -> Make:
    def make(path: Path) -> None:
        source = ("-f", "lavfi", "-i", "testsrc=size=128x72:rate=10:duration=1")
        run("ffmpeg", "-y", "-v", "error", *source, *arguments, path)

    return make


def _live(path: Path, fmt: str) -> None:
    path.write_bytes(live_picture("CORPUS", fmt))


def _motion_photo(path: Path) -> None:
    """Makes an Android motion photo: the film follows the picture's end."""
    path.write_bytes(encode(quadrants(120, 80), "JPEG", shot=_NO_ZONE) + movie(Film(seconds=0.5)))


def _converted(path: Path) -> None:
    """Converts with ImageMagick, which puts the EXIF after the pixels."""
    source = path.with_suffix(".source.jpg")
    _pillow(source, "JPEG", _CONVERTED)
    run("convert", source, path)
    source.unlink()


def _old_bmp(path: Path) -> None:
    run("convert", "-size", "130x90", "gradient:red-blue", "-type", "TrueColor", f"BMP2:{path}")


def _big_tiff(path: Path) -> None:
    stored(quadrants(120, 80), 8).save(path, "TIFF", big_tiff=True, exif=Shot(orientation=8).exif())


PICTURES: Final[Mapping[str, Make]] = {
    **{f"turned-{n}.jpg": _turned("JPEG", n) for n in range(1, 9)},
    "camera.jpg": partial(_pillow, fmt="JPEG", shot=_SHOT, quality=92),
    "south-west.jpg": partial(_pillow, fmt="JPEG", shot=_SOUTH_WEST),
    "no-zone.jpg": partial(_pillow, fmt="JPEG", shot=_NO_ZONE),
    "progressive.jpg": partial(_pillow, fmt="JPEG", progressive=True),
    "grey.jpg": partial(_pillow_mode, fmt="JPEG", mode="L"),
    "cmyk.jpg": partial(_pillow_mode, fmt="JPEG", mode="CMYK"),
    "magick.jpg": tagged(_magick("-interlace", "Plane")),
    "motion-photo.jpg": _motion_photo,
    "live.jpg": partial(_live, fmt="JPEG"),
    "plain.png": partial(_pillow, fmt="PNG"),
    "palette.png": partial(_pillow_mode, fmt="PNG", mode="P"),
    "deep-interlaced.png": _magick("-depth", "16", "-interlace", "PNG"),
    "tagged.png": tagged(_magick("-depth", "8")),
    "converted.png": _converted,
    "turned-6.png": _turned("PNG", 6),
    "animated.png": _ffmpeg("-f", "apng", "-plays", "0"),
    "still.gif": _magick("-colors", "16"),
    "animated.gif": partial(_animated, fmt="GIF"),
    "film.gif": _ffmpeg("-loop", "0"),
    "lossy.webp": partial(_pillow, fmt="WEBP", shot=_SHOT, quality=80),
    "lossless.webp": _magick("-define", "webp:lossless=true"),
    "animated.webp": partial(_animated, fmt="WEBP"),
    "film.webp": _ffmpeg("-c:v", "libwebp_anim", "-loop", "0"),
    "true-colour.bmp": partial(_pillow, fmt="BMP"),
    "palette.bmp": _magick("-colors", "16", "-type", "Palette"),
    "old.bmp": _old_bmp,
    **{f"turned-{n}.heic": _turned("HEIF", n) for n in (1, 2, 3, 4, 5, 6, 7, 8)},
    "camera.heic": partial(_pillow, fmt="HEIF", shot=_SHOT),
    "odd.heic": partial(_heif_enc, size=(131, 77)),
    "with-thumbnail.heic": lambda path: _heif_enc(path, "-t", "64"),
    "tagged.heic": tagged(_heif_enc),
    "live.heic": partial(_live, fmt="HEIF"),
    "plain.avif": partial(_pillow, fmt="AVIF"),
    "turned-8.avif": _turned("AVIF", 8),
    "mirrored.avif": _turned("AVIF", 5),
    "libheif.avif": lambda path: _heif_enc(path, "-A"),
    "animated.avif": _ffmpeg("-c:v", "libaom-av1", "-cpu-used", "8"),
    "still.avif": _ffmpeg("-frames:v", "1", "-c:v", "libaom-av1", "-still-picture", "1", "-cpu-used", "8"),
    "plain.tif": partial(_pillow, fmt="TIFF"),
    "lzw.tif": partial(_pillow, fmt="TIFF", compression="tiff_lzw"),
    "jpeg.tif": partial(_pillow, fmt="TIFF", compression="jpeg"),
    "camera.tif": partial(_pillow, fmt="TIFF", shot=_SHOT),
    "big-endian.tif": tagged(_magick("-endian", "MSB", "-compress", "Zip")),
    "tiled.tif": _magick("-define", "tiff:tile-geometry=64x64"),
    "pages.tif": _magick("(", "+clone", "-rotate", "90", ")", "-compress", "LZW"),
    "big.tif": _big_tiff,
}
