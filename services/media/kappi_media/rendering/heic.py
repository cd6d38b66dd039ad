"""Decodes HEIC and AVIF, in a decoder process: HEVC by libheif through pillow-heif, AV1 by libvips.

Rotation and mirroring are properties of the picture. libheif applies each item's own properties, also to the
tiles of a grid, but encoders write them for the whole picture. So they are applied here, or EXIF's
orientation if a HEIC has neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import av
import pillow_heif
import pyvips
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from kappi_contracts.rendition_formats import FALLBACK_FORMAT, RenditionFormat
from kappi_mediameta.probing.blocking import BlockingSource, at_once
from kappi_mediameta.probing.facts import ProbeLimits
from kappi_mediameta.probing.heif import Still, codec_of, read_parts
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected
from kappi_mediameta.probing.source import BlockReader

from kappi_media.rendering.colour import BT_709, HLG, PQ, for_format, stretched
from kappi_media.rendering.encoding import ANY_WIDTH, in_memory
from kappi_media.rendering.hdr_avif import shrunk
from kappi_media.rendering.picture import (
    ORIENTATION,
    check_pixels,
    conversion,
    displayed,
    vips_source,
)
from kappi_media.rendering.pieces import Bytes, Piece, spliced
from kappi_media.rendering.poster import FrameTracks
from kappi_media.rendering.profiles import PROFILE, SRGB
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale
from kappi_media.rendering.tiff_directory import MAX_PROFILE_BYTES

_BANDS: Final = {"I": 1, "L": 1, "LA": 2, "La": 2, "RGB": 3, "RGBA": 4, "RGBa": 4}
_COLOURS: Final = 3
_NO_TURN: Final = b"irot\x00"
_NOT_BUILT_IN: Final = "not been built in"
_LIMITS: Final = ProbeLimits()
_DECODERS: Final = {b"av01": "libdav1d", b"hvc1": "hevc", b"hev1": "hevc"}
# In a decoder's settings: the byte, its bits, and their value when there is no colour.
_GREY: Final = {b"av1C": (2, 0x10, 0x10), b"hvcC": (16, 0x03, 0x00)}


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The decoded picture, and libheif's information about it. source: kept as long as the picture, because
    libvips does not keep it.
    """

    image: pyvips.Image
    info: dict[str, Any]
    mode: str
    source: pyvips.Source | None = None


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
    reader = BlockReader(
        BlockingSource(read, size_bytes=file.size_bytes),
        max_reads=_LIMITS.max_reads,
        max_read_bytes=_LIMITS.max_read_bytes,
    )
    still, movie = at_once(read_parts(reader, _LIMITS))
    if still is None:
        return FrameTracks.of(movie)
    decoded = _decoded(_named(file, still), still, max_pixels=max_pixels)
    image = decoded.image
    if _is_limited_grey(read, still, decoded):
        image = stretched(image)
    if still.items.premultiplied and image.hasalpha():
        image = image.unpremultiply().cast(image.format)
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, ORIENTATION, _turn(still, content_type=content_type))
    width, height = displayed(image)
    scale = least_scale(sizes, width, height)
    # It is shrunk before its colours are converted: the other order takes several times the memory.
    if _is_deep(image) and _transfer(decoded.info) in (PQ, HLG):
        return in_memory(_converted(shrunk(image, scale), decoded.info, fmt))
    height = math.ceil(height * scale)
    small = image.thumbnail_image(ANY_WIDTH, height=height, size="down", **conversion(image, fmt))
    return in_memory(small if PROFILE in image.get_fields() else _converted(small, decoded.info, fmt))


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


def _decoded(file: RangedFile, still: Still, *, max_pixels: int) -> _Decoded:
    try:
        picture = _opened(file)
        width, height = picture.size
        check_pixels(width, height, max_pixels)
        if codec_of(still.items) != "av1":
            return _Decoded(_pixels(picture), picture.info, picture.mode)
        source = vips_source(file)
        image = pyvips.Image.new_from_source(source, "", access="sequential")
        return _Decoded(image, picture.info, picture.mode, source)
    except (EOFError, SyntaxError, RuntimeError) as error:
        if _NOT_BUILT_IN in str(error):
            raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, "no decoder for this coding") from error
        raise RenderRejected(RejectReason.CORRUPT, "libheif could not read it") from error


def _opened(file: RangedFile) -> Any:
    """Returns the primary picture with its header read."""
    pillow_heif.options.DECODE_THREADS = 1
    file.seek(0)
    body = file.readall()
    picture = pillow_heif.open_heif(body, convert_hdr_to_8bit=True)
    if _transfer(picture.info) in (PQ, HLG):
        # Sixteen bits per channel only if the dynamic range needs them: they double the memory.
        picture = pillow_heif.open_heif(body, convert_hdr_to_8bit=False)
    return picture


def _pixels(picture: Any) -> pyvips.Image:
    """Returns the decoded pixels with their colour profile. The profile takes precedence over the colour
    numbers, unless these declare a high dynamic range.
    """
    mode, _, depth = picture.mode.partition(";")
    bands, deep = _BANDS[mode], depth == "16"
    width, height = picture.size
    data = picture.data
    if len(data) != width * height * bands * (1 + deep):
        raise RenderRejected(RejectReason.CORRUPT, "not as many pixels as its size says")
    image = pyvips.Image.new_from_memory(data, width, height, bands, "ushort" if deep else "uchar")
    grey, colour = ("grey16", "rgb16") if deep else ("b-w", SRGB)
    image = image.copy(interpretation=grey if bands < 3 else colour)
    profile = picture.info.get("icc_profile")
    if profile and len(profile) <= MAX_PROFILE_BYTES and _transfer(picture.info) not in (PQ, HLG):
        image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    return image


def _is_limited_grey(read: Bytes, still: Still, decoded: _Decoded) -> bool:
    """Returns whether the picture is grey in the limited range. libheif treats it as full range when there is
    no colour.
    """
    if not _is_grey(read, still):
        return False
    numbers = decoded.info.get("nclx_profile")
    if numbers:
        return not numbers.get("full_range_flag")
    frame = _frame(read, still)
    return frame is not None and frame.color_range == ColorRange.MPEG


def _is_grey(read: Bytes, still: Still) -> bool:
    """Returns whether there is no colour, by the decoder settings of the picture, or of the first of its
    tiles.
    """
    coded = _coded(still)
    settings = next((box for box in still.items.properties.get(coded, ()) if box.name in _GREY), None)
    if settings is None:
        return False
    at, mask, grey = _GREY[settings.name]
    told = read(settings.start + at, 1)
    return told != b"" and told[0] & mask == grey


def _coded(still: Still) -> int:
    """Returns the item of the picture, or of the first of its tiles."""
    items = still.items
    primary = items.primary or 0
    candidates = (primary, *items.parts.get(primary, ()))
    return next((item for item in candidates if items.kinds.get(item) in _DECODERS), 0)


def _frame(read: Bytes, still: Still) -> VideoFrame | None:
    """Returns the frame that FFmpeg decodes from the picture, or from the first of its tiles; None when it
    decodes none.
    """
    items, coded = still.items, _coded(still)
    if not coded:
        return None
    decoder = av.CodecContext.create(_DECODERS[items.kinds[coded]], "r")
    assert isinstance(decoder, VideoCodecContext)
    settings = next((box for box in items.properties.get(coded, ()) if box.name == b"hvcC"), None)
    if settings is not None:
        decoder.extradata = read(settings.start, settings.size_bytes)
    data = b"".join(read(extent.start, extent.length) for extent in items.places.get(coded, ()))
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except FFmpegError:
        return None
    return next(iter(frames), None)


def _converted(image: pyvips.Image, info: dict[str, Any], fmt: RenditionFormat) -> pyvips.Image:
    """Returns the picture converted by its colour numbers, for a picture without a profile."""
    transfer = _transfer(info)
    primaries = (info.get("nclx_profile") or {}).get("color_primaries", BT_709)
    return image if image.bands < 3 else for_format(image, fmt, transfer=transfer, primaries=primaries)


def _transfer(info: dict[str, Any]) -> int:
    return int((info.get("nclx_profile") or {}).get("transfer_characteristics", 0))
