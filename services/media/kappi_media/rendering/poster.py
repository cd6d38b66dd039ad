"""The poster frame of a video, in a decoder process. Imports FFmpeg: never import it in a service."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Final

import av
import pyvips
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from kappi_media.probing.rejection import RejectReason, RenderRejected
from kappi_media.rendering.encoding import in_memory
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize

# Where to look for a frame that shows something: films fade in from black.
_CANDIDATES: Final = (0.0, 0.1, 0.3, 0.6)
_DARK: Final = 24  # mean luma of 0..255 below which a frame counts as black
_LUMA_SIDE: Final = 32
_MAX_PACKETS: Final = 600  # from a seek to its key frame
# The index has told the codec already: nothing of the media data is read just to guess at it.
_OPEN_OPTIONS: Final = {"probesize": "65536", "analyzeduration": "0", "enable_drefs": "0"}


def render_poster(
    file: RangedFile,
    *,
    displayed: tuple[int, int],
    orientation: int,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
) -> pyvips.Image:
    """Raises RenderRejected, pyvips.Error."""
    try:
        return _render(file, displayed=displayed, orientation=orientation, sizes=sizes, max_pixels=max_pixels)
    except FFmpegError as error:
        reason = RejectReason.TOO_COMPLEX if error.errno == errno.ENOMEM else RejectReason.CORRUPT
        raise RenderRejected(reason, str(error)) from error


def _render(
    file: RangedFile,
    *,
    displayed: tuple[int, int],
    orientation: int,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
) -> pyvips.Image:
    with av.open(file, "r", format="mov", options=_OPEN_OPTIONS, metadata_errors="replace") as container:
        stream = _picture_stream(container)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(max_pixels)}
        frame = _best_frame(container, stream)
        turned = orientation >= 5
        width, height = displayed[::-1] if turned else displayed
        if width * height > max_pixels or frame.width * frame.height > max_pixels:
            raise RenderRejected(RejectReason.TOO_MANY_PIXELS, f"{frame.width} x {frame.height}")
        return in_memory(_upright(_pixels(frame, width, height), orientation))


def _picture_stream(container: av.container.InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if stream.disposition & av.stream.Disposition.attached_pic:
            continue
        decoder: object = stream.codec_context  # None, whatever its type says, where FFmpeg has no decoder
        if decoder is None:
            raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, "no decoder for this video")
        return stream
    raise RenderRejected(RejectReason.NO_PICTURE)


def _best_frame(container: av.container.InputContainer, stream: VideoStream) -> VideoFrame:
    """The first candidate that is not black, else the brightest."""
    best: VideoFrame | None = None
    best_luma = -1.0
    seen: set[int | None] = set()
    for fraction in _CANDIDATES:
        frame = _key_frame_at(container, stream, fraction)
        if frame is None or frame.pts in seen:
            continue
        seen.add(frame.pts)
        luma = _mean_luma(frame)
        if luma > best_luma:
            best, best_luma = frame, luma
        if luma >= _DARK:
            break
    if best is None:
        raise RenderRejected(RejectReason.CORRUPT, "no decodable frame")
    return best


def _key_frame_at(
    container: av.container.InputContainer, stream: VideoStream, fraction: float
) -> VideoFrame | None:
    """The key frame at or before that part of the whole; None where there is nothing decodable."""
    try:
        if fraction and container.duration:
            container.seek(int(container.duration * fraction))
        for count, packet in enumerate(container.demux(stream)):
            if packet.is_keyframe and packet.size:
                # One packet, then a flush: decoders hold frames back to reorder them.
                frames = [*stream.decode(packet), *stream.decode(None)]
                stream.codec_context.flush_buffers()
                return frames[0] if frames else None
            if count >= _MAX_PACKETS:
                return None
    except FFmpegError:
        if not fraction:
            raise
    return None


def _mean_luma(frame: VideoFrame) -> float:
    small = frame.reformat(width=_LUMA_SIDE, height=_LUMA_SIDE, format="gray")
    return float(_plane_image(small, bands=1).avg())


def _pixels(frame: VideoFrame, width: int, height: int) -> pyvips.Image:
    """The frame with square pixels, as sRGB. width, height: before orientation."""
    picture = frame.reformat(width=width, height=height, format="rgba", dst_color_range="JPEG")
    return _plane_image(picture, bands=4).extract_band(0, n=3).copy(interpretation="srgb")


def _plane_image(frame: VideoFrame, *, bands: int) -> pyvips.Image:
    plane = frame.planes[0]
    padded = plane.line_size // bands  # rows are padded to the decoder's alignment
    image = pyvips.Image.new_from_memory(bytes(plane), padded, frame.height, bands, "uchar")
    return image.crop(0, 0, frame.width, frame.height)


def _upright(image: pyvips.Image, orientation: int) -> pyvips.Image:
    turns = {
        2: lambda i: i.fliphor(),
        3: lambda i: i.rot180(),
        4: lambda i: i.flipver(),
        5: lambda i: i.rot90().fliphor(),
        6: lambda i: i.rot90(),
        7: lambda i: i.rot270().fliphor(),
        8: lambda i: i.rot270(),
    }
    turn = turns.get(orientation)
    return image if turn is None else turn(image)
