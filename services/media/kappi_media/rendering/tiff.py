"""Decodes TIFF, in a decoder process: libvips unpacks the samples, their meaning is decided here.

By itself libvips treats a fourth sample as opacity whatever the file says, and samples of 32 bits or in
floating point as those of eight bits, and draws black for a compression that libtiff lacks. Imports libvips:
never import it in a service.
"""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import pyvips
import zstandard
from kappi_contracts.rendition_formats import FALLBACK_FORMAT, RenditionFormat
from kappi_mediameta.containers.tiff_directories import Field
from kappi_mediameta.probing import tiff_samples as tag
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected
from kappi_mediameta.probing.tiff_fields import Tags, integer
from kappi_mediameta.probing.tiff_samples import Samples, samples_of

from kappi_media.rendering.encoding import ANY_WIDTH, in_memory
from kappi_media.rendering.picture import (
    check_decoded,
    check_pixels,
    conversion,
    displayed,
    vips_source,
)
from kappi_media.rendering.pieces import Bytes, Piece, joined, spliced
from kappi_media.rendering.profiles import PROFILE, SRGB
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale
from kappi_media.rendering.tiff_directory import TiffDirectory

_LOADER: Final = "tiffload_source"
_SIZE: Final = (256, 257)  # width, height
_TILE_SIZE: Final = (tag.TILE_WIDTH, tag.TILE_HEIGHT)
_ROWS_PER_STRIP: Final = 278
_DEFLATE: Final = 8
_DEEP: Final = 65_535
_ZSTD_WINDOW_BYTES: Final = 128 << 20
_LZMA_MEMORY_BYTES: Final = 256 << 20
_LAB: Final = frozenset({tag.CIE_LAB, tag.ICC_LAB})


def load_tiff(
    file: RangedFile,
    *,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
    fmt: RenditionFormat = FALLBACK_FORMAT,
) -> pyvips.Image:
    """Returns the picture, upright, sRGB or grey. Raises Rejected, pyvips.Error."""
    read = Bytes(file)
    directory = TiffDirectory(read)
    tags = directory.tags
    if tag.PHOTOMETRIC not in tags:
        raise RenderRejected(RejectReason.CORRUPT, "TIFF: no photometric interpretation")
    samples = samples_of(tags)
    width, height = (integer(tags, name) or 0 for name in _SIZE)
    check_pixels(width, height, max_pixels)
    shown = [spliced(file, pieces) for pieces in _layers(read, directory, samples)]
    small = _small(shown, samples, sizes, size=(width, height), fmt=fmt)
    check_decoded(small, shown)
    return small


def _small(
    layers: Sequence[RangedFile],
    samples: Samples,
    sizes: Sequence[RenditionSize],
    *,
    size: tuple[int, int],
    fmt: RenditionFormat,
) -> pyvips.Image:
    sources = [vips_source(layer) for layer in layers]  # held until the end: libvips does not hold them
    images = [pyvips.Image.new_from_source(source, "", access="sequential") for source in sources]
    if any(image.get("vips-loader") != _LOADER for image in images):
        raise RenderRejected(RejectReason.CORRUPT, "not image/tiff")
    image = images[0].bandjoin(images[1:]) if len(images) > 1 else images[0]
    image = image.crop(0, 0, *size)
    width, height = displayed(image)
    scale = least_scale(sizes, width, height)
    if _is_plain(samples) or samples.compression == tag.JPEG:
        image = _meant(image, samples, shrink=int(1 / scale))
    small = image.thumbnail_image(
        ANY_WIDTH, height=math.ceil(height * scale), size="down", **conversion(image, fmt)
    )
    small = in_memory(small)
    if samples.bits == 32 and not samples.is_float and _is_black(small):
        raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, "TIFF: small numbers in 32 bits")
    return small


def _is_black(image: pyvips.Image) -> bool:
    """Returns whether all colours, of eight bits per sample, are black apart from rounding."""
    colours = image.extract_band(0, n=image.bands - 1) if image.hasalpha() else image
    return bool(colours.max() <= 1)


def _is_plain(samples: Samples) -> bool:
    """Returns whether libvips gets plain numbers. For other samples it applies its own interpretation."""
    ready_made = samples.photometric in (tag.PALETTE, tag.YCBCR) or samples.compression == tag.JPEG
    return samples.bits >= 8 and not ready_made


def _layers(read: Bytes, directory: TiffDirectory, samples: Samples) -> Iterator[list[Piece]]:
    """Yields the file that libvips gets; one file per needed plane if samples are stored in planes."""
    replaced: dict[int, Field | None] = {tag.EXTRA: None}  # libvips divides by an opacity that it detects
    if _is_plain(samples):
        replaced[tag.PHOTOMETRIC] = directory.short(tag.PHOTOMETRIC, tag.RGB)
    for side, tile_side in zip(_SIZE, _TILE_SIZE, strict=True):
        tile = integer(directory.tags, tile_side) or 0
        if tile > (integer(directory.tags, side) or 0):  # libvips refuses tiles larger than the picture
            replaced[side] = directory.short(side, tile)
    blocks = _unpacked(read, directory, samples)
    if blocks is not None:
        replaced[tag.COMPRESSION] = directory.short(tag.COMPRESSION, _DEFLATE)
    if not samples.has_planes:
        yield list(joined(directory.pieces(replaced, blocks=blocks)))
        return
    if samples.compression == tag.JPEG:
        replaced[tag.PHOTOMETRIC] = directory.short(tag.PHOTOMETRIC, tag.BLACK_IS_ZERO)
    offsets, counts = directory.blocks
    each, rest = divmod(offsets.count, samples.per_pixel)
    if rest or not each or counts.count != offsets.count:
        raise RenderRejected(RejectReason.CORRUPT, f"{offsets.count} parts of {samples.per_pixel} planes")
    replaced |= {name: directory.short(name, 1) for name in (tag.SAMPLES, tag.PLANAR)}
    replaced[tag.BITS] = directory.short(tag.BITS, samples.bits)
    if samples.is_float:
        replaced[tag.FORMAT] = directory.short(tag.FORMAT, tag.FLOAT)
    for plane in _shown(samples):
        start = plane * each
        own = {field.tag: directory.part(field, start=start, count=each) for field in (offsets, counts)}
        kept = None if blocks is None else blocks[start : start + each]
        yield list(joined(directory.pieces(replaced | own, blocks=kept)))


def _shown(samples: Samples) -> list[int]:
    """Returns the samples of a pixel that are visible."""
    return [*range(samples.colours), *([] if samples.alpha is None else [samples.alpha])]


def _unpacked(read: Bytes, directory: TiffDirectory, samples: Samples) -> list[bytes] | None:
    """Returns the strips or tiles recompressed in Deflate, if libtiff lacks their codec; predictors
    are kept.
    """
    if samples.compression not in (tag.ZSTD, tag.LZMA):
        return None
    size = _block_bytes(directory.tags, samples)
    offsets, counts = (directory.integers(field) for field in directory.blocks)
    unpack = _unzstd if samples.compression == tag.ZSTD else _unlzma
    return [
        zlib.compress(unpack(read(at, length), size), 1) for at, length in zip(offsets, counts, strict=False)
    ]


def _block_bytes(tags: Tags, samples: Samples) -> int:
    """Returns the unpacked size of one strip or tile."""
    width, height = (integer(tags, name) or 0 for name in _SIZE)
    across = integer(tags, tag.TILE_WIDTH) or width
    down = integer(tags, tag.TILE_HEIGHT) or min(integer(tags, _ROWS_PER_STRIP) or height, height)
    together = 1 if samples.has_planes else samples.per_pixel
    return (across * together * samples.bits + 7) // 8 * down


def _unzstd(packed: bytes, size: int) -> bytes:
    """Returns as much of the data as can be unpacked."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    with unpacker.stream_reader(packed) as stream:
        try:
            return stream.read(size)
        except zstandard.ZstdError:
            return b""


def _unlzma(packed: bytes, size: int) -> bytes:
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_MEMORY_BYTES)
    try:
        return unpacker.decompress(packed, size)
    except lzma.LZMAError:
        return b""


def _meant(image: pyvips.Image, samples: Samples, *, shrink: int) -> pyvips.Image:
    """Returns the samples as a picture of eight or sixteen bits, without those that are neither colour nor
    opacity.
    """
    if not samples.has_planes and samples.per_pixel > samples.colours:
        bands = [image.extract_band(number) for number in _shown(samples)]
        image = bands[0].bandjoin(bands[1:]) if len(bands) > 1 else bands[0]
    if samples.is_float:
        image = _from_float(image, shrink=shrink)
    elif samples.bits == 32:
        image = (image >> 16).cast("ushort")
    colour = image.extract_band(0, n=samples.colours)
    top = 255 if image.format == "uchar" else _DEEP
    if samples.photometric == tag.WHITE_IS_ZERO and _is_plain(samples):
        colour = (top - colour).cast(image.format)
    if samples.photometric in _LAB:
        colour = _from_lab(colour, samples)
    else:
        colour = colour.copy(interpretation=_interpretation(samples, image.format))
    if samples.alpha is None or (samples.associated and samples.photometric == tag.CMYK):
        return colour  # ink that is multiplied by its opacity is ink on white paper
    alpha = image.extract_band(samples.colours)
    if samples.photometric in _LAB:
        alpha = (alpha * (255 / top)).cast("uchar")
        top = 255
    if samples.associated:
        return (colour + (top - alpha)).cast(colour.format).copy(interpretation=colour.interpretation)
    return colour.bandjoin(alpha.cast(colour.format))


def _interpretation(samples: Samples, fmt: str) -> str:
    if samples.photometric == tag.CMYK:
        return "cmyk"
    deep = fmt == "ushort"
    if samples.colours == 1:
        return "grey16" if deep else "b-w"
    return "rgb16" if deep else SRGB


def _from_float(image: pyvips.Image, *, shrink: int) -> pyvips.Image:
    """Returns sixteen bits, from 0 for black to 1 for white, as in pictures.

    Raises RenderRejected for other measurements, such as heights or temperatures.
    """
    if shrink > 1:  # before it is held in memory, which the check needs
        image = image.shrink(shrink, shrink)
    image = (image != image).ifthenelse(0.0, image).copy_memory()
    if not 0 <= image.avg() <= 1:
        raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, "TIFF: floating point beyond 0 to 1")
    return (image * _DEEP + 0.5).cast("ushort")


def _from_lab(colour: pyvips.Image, samples: Samples) -> pyvips.Image:
    """Returns sRGB of eight bits. The profile is removed, because it does not describe the result."""
    deep = samples.bits == 16
    if samples.photometric == tag.CIE_LAB:
        signed = "short" if deep else "char"
        light = colour.extract_band(0) * (100 / (_DEEP if deep else 255))
        shades = colour.extract_band(1, n=2).copy(format=signed) / (256 if deep else 1)
    else:
        light = colour.extract_band(0) * (100 / (0xFF00 if deep else 255))
        shades = colour.extract_band(1, n=2) / (256 if deep else 1) - 128
    lab = light.bandjoin(shades).copy(interpretation="lab")
    if PROFILE in lab.get_fields():
        lab.remove(PROFILE)
    return lab.icc_export(output_profile=SRGB)  # its white is that of TIFF; `colourspace` uses another one
