"""Decodes single pictures of a HEIC or AVIF, in a decoder process.

HEVC is decoded by libheif through pillow-heif, AV1 by libvips. Never import it in a service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import av
import pillow_heif
import pyvips
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from kappi_mediameta.probing.heif import Still, codec_of
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected

from kappi_media.rendering.colour import HLG, PQ
from kappi_media.rendering.picture import check_pixels, vips_source
from kappi_media.rendering.pieces import Bytes
from kappi_media.rendering.profiles import PROFILE, SRGB
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.tiff_directory import MAX_PROFILE_BYTES

_BANDS: Final = {"I": 1, "L": 1, "LA": 2, "La": 2, "RGB": 3, "RGBA": 4, "RGBa": 4}
_NOT_BUILT_IN: Final = "not been built in"
_DECODERS: Final = {b"av01": "libdav1d", b"hvc1": "hevc", b"hev1": "hevc"}
# In a decoder's settings: the byte, its bits, and their value when there is no colour.
_GREY: Final = {b"av1C": (2, 0x10, 0x10), b"hvcC": (16, 0x03, 0x00)}


@dataclass(frozen=True, slots=True)
class Decoded:
    """The decoded picture, and libheif's information about it. source: kept as long as the picture, because
    libvips does not keep it.
    """

    image: pyvips.Image
    info: dict[str, Any]
    mode: str
    source: pyvips.Source | None = None


def decoded(file: RangedFile, still: Still, *, max_pixels: int) -> Decoded:
    """Returns the primary picture. still: of the same coding. Raises Rejected, pyvips.Error, OSError,
    ValueError.
    """
    try:
        picture = _opened(file)
        width, height = picture.size
        check_pixels(width, height, max_pixels)
        if codec_of(still.items) != "av1":
            return Decoded(_pixels(picture), picture.info, picture.mode)
        source = vips_source(file)
        image = pyvips.Image.new_from_source(source, "", access="sequential")
        return Decoded(image, picture.info, picture.mode, source)
    except (EOFError, IndexError, SyntaxError, RuntimeError) as error:
        if _NOT_BUILT_IN in str(error):
            raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, "no decoder for this coding") from error
        raise RenderRejected(RejectReason.CORRUPT, "libheif could not read it") from error


def _opened(file: RangedFile) -> Any:
    """Returns the primary picture with its header read."""
    pillow_heif.options.DECODE_THREADS = 1
    file.seek(0)
    body = file.readall()
    picture = pillow_heif.open_heif(body, convert_hdr_to_8bit=True)
    if transfer_of(picture.info) in (PQ, HLG):
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
    if profile and len(profile) <= MAX_PROFILE_BYTES and transfer_of(picture.info) not in (PQ, HLG):
        image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    return image


def is_limited_grey(read: Bytes, still: Still, picture: Decoded) -> bool:
    """Returns whether the picture is grey in the limited range. libheif treats it as full range when there is
    no colour.
    """
    if not _is_grey(read, still):
        return False
    numbers = picture.info.get("nclx_profile")
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


def transfer_of(info: dict[str, Any]) -> int:
    return int((info.get("nclx_profile") or {}).get("transfer_characteristics", 0))
