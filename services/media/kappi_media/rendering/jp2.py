"""Decodes JPEG 2000, in a decoder process: by FFmpeg, at a half, a quarter or less of the size where that is
enough. Pillow's OpenJPEG is not used, because it draws white as black where samples have sixteen bits.

Imports libvips: never import it in a service.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import av
import pyvips
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from kappi_contracts.rendition_formats import FALLBACK_FORMAT, RenditionFormat
from kappi_mediameta.probing.blocking import BlockingSource, at_once
from kappi_mediameta.probing.facts import ProbeLimits
from kappi_mediameta.probing.jp2 import Jp2Parts, read_parts
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected
from kappi_mediameta.probing.source import BlockReader

from kappi_media.rendering.encoding import ANY_WIDTH, in_memory
from kappi_media.rendering.picture import ORIENTATION, check_pixels, conversion, displayed
from kappi_media.rendering.pieces import Bytes, Piece, spliced
from kappi_media.rendering.poster import plane_image
from kappi_media.rendering.profiles import PROFILE, SRGB
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale
from kappi_media.rendering.tiff_directory import MAX_PROFILE_BYTES

_LIMITS: Final = ProbeLimits()
_MAX_FILE_BYTES: Final = 512 << 20  # the decoder gets it in one piece
# A sample takes four bytes while it is decoded, and up to two in each of two pictures.
_SAMPLE_BYTES: Final = 8
_MAX_DECODING_BYTES: Final = 1536 << 20
_READY: Final = {  # the forms of frames that libvips gets as they are: bands, bytes of a sample
    "gray": (1, 1, "b-w"),
    "gray16le": (1, 2, "grey16"),
    "ya8": (2, 1, "b-w"),
    "ya16le": (2, 2, "grey16"),
    "rgb24": (3, 1, SRGB),
    "rgb48le": (3, 2, "rgb16"),
    "rgba": (4, 1, SRGB),
    "rgba64le": (4, 2, "rgb16"),
}


def load_jp2(
    file: RangedFile,
    *,
    orientation: int,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
    fmt: RenditionFormat = FALLBACK_FORMAT,
) -> pyvips.Image:
    """Returns the picture, upright, sRGB or grey. orientation: by EXIF, 1..8.

    Raises Rejected, pyvips.Error, OSError, ValueError.
    """
    read = Bytes(file)
    reader = BlockReader(
        BlockingSource(read, size_bytes=file.size_bytes),
        max_reads=_LIMITS.max_reads,
        max_read_bytes=_LIMITS.max_read_bytes,
    )
    parts = at_once(read_parts(reader, _LIMITS))
    check_pixels(parts.width, parts.height, max_pixels)
    turned = (parts.height, parts.width) if orientation >= 5 else (parts.width, parts.height)
    image = _pixels(_frame(_essentials(file, parts), parts, scale=least_scale(sizes, *turned)))
    image.set_type(pyvips.GValue.gint_type, ORIENTATION, orientation)
    profile = _profile(read, parts)
    if profile:
        image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    # The size that was wanted of the whole picture: the decoded one may be a half of it.
    height = math.ceil(turned[1] * least_scale(sizes, *turned))
    height = min(height, displayed(image)[1])
    return in_memory(image.thumbnail_image(ANY_WIDTH, height=height, size="down", **conversion(image, fmt)))


def _essentials(file: RangedFile, parts: Jp2Parts) -> bytes:
    """Returns the file without the boxes that no decoder needs: among many, FFmpeg finds no picture."""
    if parts.boxes:
        pieces: list[Piece] = [(box.begin, box.end) for box in parts.boxes]
        file = spliced(file, pieces)
    if file.size_bytes > _MAX_FILE_BYTES:
        raise RenderRejected(RejectReason.TOO_COMPLEX, "JPEG 2000: too large to be held")
    file.seek(0)
    return file.readall()


def _frame(body: bytes, parts: Jp2Parts, *, scale: float) -> VideoFrame:
    # At least twice the wanted size remains, for the better filter.
    halvings = min(parts.levels, max(0, int(math.log2(1 / scale)) - 1))
    samples = parts.width * parts.height * parts.components >> (2 * halvings)
    if samples * _SAMPLE_BYTES > _MAX_DECODING_BYTES:
        raise RenderRejected(RejectReason.TOO_COMPLEX, "JPEG 2000: too large to be decoded")
    decoder = av.CodecContext.create("jpeg2000", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    if halvings:
        decoder.options = {"lowres": str(halvings)}
    try:
        frames = [*decoder.decode(av.Packet(body)), *decoder.decode(None)]
    except FFmpegError as error:
        raise RenderRejected(RejectReason.CORRUPT, "JPEG 2000: the decoder could not read it") from error
    if not frames:
        raise RenderRejected(RejectReason.CORRUPT, "JPEG 2000: no picture")
    return frames[0]


def _pixels(frame: VideoFrame) -> pyvips.Image:
    if frame.format.name not in _READY:
        deep = any(component.bits > 8 for component in frame.format.components)
        frame = frame.reformat(
            format="rgb48le" if deep else "rgb24",
            src_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
    bands, sample_bytes, interpretation = _READY[frame.format.name]
    image = plane_image(frame, bands=bands, sample_bytes=sample_bytes)
    return image.copy(interpretation=interpretation)


def _profile(read: Bytes, parts: Jp2Parts) -> bytes:
    start, end = parts.profile or (0, 0)
    return read(start, end - start) if end - start <= MAX_PROFILE_BYTES else b""
