"""Shows HEIC and AVIF, in a decoder process.

Rotation and mirroring are properties of the picture. libheif applies each item's own properties, also to the
tiles of a grid, but encoders write them for the whole picture. So they are applied here, or EXIF's
orientation if a HEIC has neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pyvips
from kappi_contracts.rendition_formats import FALLBACK_FORMAT, RenditionFormat
from kappi_mediameta.probing.blocking import BlockingSource, at_once
from kappi_mediameta.probing.facts import ProbeLimits
from kappi_mediameta.probing.heif import Still, codec_of, read_parts
from kappi_mediameta.probing.source import BlockReader

from kappi_media.rendering.colour import BT_709, HLG, PQ, for_format, stretched
from kappi_media.rendering.encoding import ANY_WIDTH, in_memory
from kappi_media.rendering.hdr_avif import shrunk
from kappi_media.rendering.heif_decoding import decoded, is_limited_grey, transfer_of
from kappi_media.rendering.heif_gains import HeifFile, whole_range
from kappi_media.rendering.picture import ORIENTATION, conversion, displayed
from kappi_media.rendering.pieces import Bytes, Piece, spliced
from kappi_media.rendering.poster import FrameTracks
from kappi_media.rendering.profiles import PROFILE
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale

_COLOURS: Final = 3
_NO_TURN: Final = b"irot\x00"
_LIMITS: Final = ProbeLimits()


def load_heif(
    file: RangedFile,
    *,
    content_type: str,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
    fmt: RenditionFormat = FALLBACK_FORMAT,
) -> pyvips.Image | FrameTracks:
    """Returns the still picture, upright, sRGB or grey; if there is none, the tracks that hold frames.

    Raises Rejected, pyvips.Error, OSError, ValueError.
    """
    read = Bytes(file)
    reader = _reader(read)
    still, movie = at_once(read_parts(reader, _LIMITS))
    if still is None:
        return FrameTracks.of(movie)
    picture = decoded(_named(file, still), still, max_pixels=max_pixels)
    image = picture.image
    if is_limited_grey(read, still, picture):
        image = stretched(image)
    if still.items.premultiplied and image.hasalpha():
        image = image.unpremultiply().cast(image.format)
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, ORIENTATION, _turn(still, content_type=content_type))
    width, height = displayed(image)
    scale = least_scale(sizes, width, height)
    if fmt == "avif" and image.bands == _COLOURS and transfer_of(picture.info) not in (PQ, HLG):
        whole = whole_range(HeifFile(file, reader, still), replace(picture, image=image), scale=scale)
        if whole is not None:
            return whole
    # It is shrunk before its colours are converted: the other order takes several times the memory.
    if _is_deep(image) and transfer_of(picture.info) in (PQ, HLG):
        return in_memory(_converted(shrunk(image, scale), picture.info, fmt))
    height = math.ceil(height * scale)
    small = image.thumbnail_image(ANY_WIDTH, height=height, size="down", **conversion(image, fmt))
    return in_memory(small if PROFILE in image.get_fields() else _converted(small, picture.info, fmt))


def _reader(read: Bytes) -> BlockReader:
    source = BlockingSource(read, size_bytes=read.size)
    return BlockReader(source, max_reads=_LIMITS.max_reads, max_read_bytes=_LIMITS.max_read_bytes)


def _is_deep(image: pyvips.Image) -> bool:
    """Returns whether there are sixteen bits of each colour, without opacity and profile."""
    return image.format == "ushort" and image.bands == _COLOURS and PROFILE not in image.get_fields()


def _named(file: RangedFile, still: Still) -> RangedFile:
    """Returns the file with three changes: a brand of still pictures first, by which libvips recognises it;
    the shown picture as the primary item, so that decoders take no thumbnail instead; and no rotation.
    """
    place, primary = still.items.named, still.items.primary
    assert place is not None
    assert primary is not None
    name = primary.to_bytes(place.length, "big")
    brand = b"avif" if codec_of(still.items) == "av1" else b"heic"
    replaced = [(8, brand), (place.start, name)]
    replaced += [(box.start - len(box.name), _NO_TURN) for box in still.turns]
    pieces: list[Piece] = []
    end = 0
    for start, body in sorted(replaced):
        pieces += [(end, start), body]
        end = start + len(body)
    return spliced(file, [*pieces, (end, file.size_bytes)])


def _turn(still: Still, *, content_type: str) -> int:
    """Returns the rotation to apply to decoded pixels, EXIF 1..8."""
    if still.shape.turns and still.turns:
        return still.shape.orientation
    return still.exif_turn if content_type == "image/heic" else 1


def _converted(image: pyvips.Image, info: dict[str, Any], fmt: RenditionFormat) -> pyvips.Image:
    """Returns the picture converted by its colour numbers, for a picture without a profile."""
    transfer = transfer_of(info)
    primaries = (info.get("nclx_profile") or {}).get("color_primaries", BT_709)
    return image if image.bands < 3 else for_format(image, fmt, transfer=transfer, primaries=primaries)
