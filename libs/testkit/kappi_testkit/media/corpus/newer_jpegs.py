"""Pictures in JPEG XL and JPEG 2000, as libjxl, FFmpeg, OpenJPEG, Pillow and ImageMagick write them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from kappi_testkit.media.corpus.oracles import run
from kappi_testkit.media.corpus.pictures import Make, tagged
from kappi_testkit.media.samples import Shot, encode, quadrants, stored
from kappi_testkit.media.tiff import Pixels, colours


def clear_colours() -> Pixels:
    """Returns the colours with an opacity."""
    opacity = np.linspace(0, 255, colours().shape[1], dtype="u1")
    return np.dstack([colours(), np.broadcast_to(opacity, colours().shape[:2])])


def deep(pixels: Pixels) -> Pixels:
    return pixels.astype("u2") * 257


def _turned(path: Path, orientation: int) -> None:
    """Packs a JPEG without loss. The orientation of its EXIF becomes one of the codestream."""
    path.write_bytes(
        imagecodecs.jpegxl_encode_jpeg(encode(quadrants(120, 80), "JPEG", shot=Shot(orientation)))
    )


def _jxl(path: Path, pixels: Callable[[], Pixels], *, lossless: bool = False, profile: bytes = b"") -> None:
    import pyjpegxl  # here, because wheels of it exist for two platforms only

    path.write_bytes(pyjpegxl.encode_from_numpy(pixels(), lossless=lossless, icc=profile or None))


def _boxed(path: Path) -> None:
    path.write_bytes(imagecodecs.jpegxl_encode(colours(), usecontainer=True))


def _jp2(path: Path, pixels: Callable[[], Pixels], *, bits: int = 8) -> None:
    path.write_bytes(imagecodecs.jpeg2k_encode(pixels(), bitspersample=bits, reversible=True))


def _pillow(path: Path, **options: object) -> None:
    Image.fromarray(colours()).save(path, "JPEG2000", **options)


def _codestream(path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(colours()).save(out, "JPEG2000", no_jp2=True, plt=True, progression="RPCL", comment="by")
    path.write_bytes(out.getvalue())


def _turned_jp2(path: Path) -> None:
    stored(quadrants(120, 80), 6).save(path, "JPEG2000")


def _clear_jp2(path: Path) -> None:
    Image.fromarray(clear_colours()).save(path, "JPEG2000")


def _profiled_jxl(path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    _jxl(path, colours, lossless=True, profile=srgb)


def linear(pixels: Pixels) -> Pixels:
    """Returns light, which floating point has by itself."""
    shades = pixels / 255
    return np.where(shades <= 0.04045, shades / 12.92, ((shades + 0.055) / 1.055) ** 2.4).astype("f4")


def _ffmpeg(path: Path, pixels: str, options: tuple[str, ...] = ()) -> None:
    source = path.with_suffix(".source.png")
    Image.fromarray(colours()).save(source)
    how = ("-vf", f"scale=out_range=pc,format={pixels}", "-frames:v", "1", "-f", "image2")
    run("ffmpeg", "-y", "-v", "error", "-i", source, *how, *options, path)
    source.unlink()


NEWER_JPEGS: Final[Mapping[str, Make]] = {
    **{f"turned-{n}.jxl": partial(_turned, orientation=n) for n in range(1, 9)},
    "lossy.jxl": partial(_jxl, pixels=colours),
    "lossless.jxl": partial(_jxl, pixels=colours, lossless=True),
    "boxed.jxl": _boxed,
    "profiled.jxl": _profiled_jxl,
    "grey.jxl": partial(_jxl, pixels=lambda: colours()[..., :1].copy()),
    "clear.jxl": partial(_jxl, pixels=clear_colours),
    "deep.jxl": partial(_jxl, pixels=lambda: deep(colours()), lossless=True),
    "deep-clear.jxl": partial(_jxl, pixels=lambda: deep(clear_colours())),
    "floating.jxl": partial(_jxl, pixels=lambda: linear(colours())),
    "ffmpeg.jxl": partial(_ffmpeg, pixels="rgb24"),
    "tagged.jxl": tagged(_boxed),
    "pillow.jp2": partial(_pillow, irreversible=True, quality_mode="rates", quality_layers=[8]),
    "tiled.jp2": partial(_pillow, tile_size=(32, 32)),
    "clear.jp2": _clear_jp2,
    "codestream.j2k": _codestream,
    "ten-bits.jp2": partial(_jp2, pixels=lambda: deep(colours()) >> 6, bits=10),
    "deep.jp2": partial(_jp2, pixels=lambda: deep(colours()), bits=16),
    "deep-grey.jp2": partial(_jp2, pixels=lambda: deep(colours()[..., 0]), bits=16),
    "halved.jp2": partial(_ffmpeg, pixels="yuv420p", options=("-c:v", "libopenjpeg")),
    "tagged.jp2": tagged(_pillow),
    "turned-6.jp2": tagged(_turned_jp2, "-EXIF:Orientation=6"),
}
