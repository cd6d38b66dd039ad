"""Extracts the poster frame of a video, in a decoder process. Imports FFmpeg: never import it in a
service.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import av
import pyvips
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream
from kappi_mediameta.probing.movie_tracks import Movie
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected

from kappi_media.rendering.colour import needs_conversion, stretched, to_srgb
from kappi_media.rendering.encoding import in_memory
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale

# The positions at which a frame that is not black is searched: films fade in from black.
_CANDIDATES: Final = (0.0, 0.1, 0.3, 0.6, 0.85)
_DARK: Final = 24  # mean luma, of 0..255, below which a frame counts as black
# A short film may have a single key frame, its first. Then frames are decoded one after the other, with a
# limit of their number and of processor time; one of every few is checked.
_MAX_FRAMES: Final = 600
_MAX_FRAMES_S: Final = 3.0
_EVERY: Final = 5
_LUMA_SIDE: Final = 32
_LEAD_US: Final = 1_000_000
_MAX_PACKETS: Final = 600  # from a seek to its key frame
_HIGH_DEFINITION: Final = 720
_DEEP_SCALING: Final = Interpolation.AREA | Interpolation.ACCURATE_RND
_SCALING: Final = _DEEP_SCALING | Interpolation.FULL_CHR_H_INT  # which FFmpeg gets wrong in sixteen bits
_UNSAID: Final = (2, int(Colorspace.DEFAULT))  # "unspecified" of the file, and of the library
_MOV, _MATROSKA, _AVI, _TRANSPORT_STREAM, _ASF = "mov", "matroska", "avi", "mpegts", "asf"
_DEMUXERS: Final = {
    "video/mp4": _MOV,
    "video/quicktime": _MOV,
    "video/x-m4v": _MOV,
    "video/3gpp": _MOV,
    "image/heic": _MOV,  # as a sequence
    "image/avif": _MOV,
    "video/webm": _MATROSKA,
    "video/x-matroska": _MATROSKA,
    "video/x-msvideo": _AVI,
    "video/mp2t": _TRANSPORT_STREAM,
    "video/x-ms-wmv": _ASF,
}
# The header has named the codec already, so no media data is read to detect it.
_HASTE: Final = {"probesize": "65536", "analyzeduration": "0"}
_OPEN_OPTIONS: Final = {
    **dict.fromkeys((_MATROSKA, _AVI, _ASF), _HASTE),
    _MOV: {**_HASTE, "enable_drefs": "0"},
    # A stream has no header: its tables and its first picture are searched.
    _TRANSPORT_STREAM: {"probesize": "4194304", "analyzeduration": "0"},
}


@dataclass(frozen=True, slots=True)
class FrameTracks:
    """The numbers of the tracks of a sequence of pictures.

    opacity: the track with the opacity of each frame of the picture track. premultiplied: the colours are
    multiplied by it.
    """

    picture: int | None
    opacity: int | None
    premultiplied: bool

    @classmethod
    def of(cls, movie: Movie | None) -> FrameTracks:
        tracks = (None, None) if movie is None else (movie.picture, movie.opacity)
        picture, opacity = (None if track is None else track.id for track in tracks)
        premultiplied = tracks[0] is not None and tracks[0].premultiplied
        return cls(picture=picture, opacity=opacity, premultiplied=premultiplied)


@dataclass(frozen=True, slots=True)
class PosterJob:
    """The job of a poster. width, height: as displayed. orientation: EXIF 1..8, how frames are rotated for
    display.
    """

    content_type: str
    width: int
    height: int
    orientation: int
    sizes: Sequence[RenditionSize]
    max_pixels: int
    max_read_bytes: int
    tracks: FrameTracks | None = None

    def target(self) -> tuple[int, int]:
        """Returns width and height, before orientation and with square pixels, at twice the size that is
        needed.
        """
        scale = min(1.0, 2 * least_scale(self.sizes, self.width, self.height))
        width, height = (max(1, round(side * scale)) for side in (self.width, self.height))
        return (height, width) if self.orientation >= 5 else (width, height)


def open_film(file: RangedFile, content_type: str) -> av.container.InputContainer:
    """Returns the film, to be closed. Raises RenderRejected, FFmpegError."""
    demuxer = _DEMUXERS.get(content_type)
    if demuxer is None:
        raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, content_type)
    return av.open(file, "r", format=demuxer, options=_OPEN_OPTIONS[demuxer], metadata_errors="replace")


def load_poster(file: RangedFile, job: PosterJob) -> pyvips.Image:
    """Returns a frame that represents the film, upright, sRGB. Raises RenderRejected, pyvips.Error."""
    try:
        return _load(file, job)
    except FFmpegError as error:
        reason = RejectReason.TOO_COMPLEX if error.errno == errno.ENOMEM else RejectReason.CORRUPT
        raise RenderRejected(reason, "FFmpeg could not read it") from error


def _load(file: RangedFile, job: PosterJob) -> pyvips.Image:
    with open_film(file, job.content_type) as container:
        stream = picture_stream(container, job.tracks)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(job.max_pixels)}
        frame = _best_frame(container, stream, file=file, max_read_bytes=job.max_read_bytes)
        pixels = max(job.width * job.height, frame.width * frame.height)
        if pixels > job.max_pixels:
            raise RenderRejected(RejectReason.TOO_MANY_PIXELS, f"{frame.width} x {frame.height}")
        image = _pixels(frame, *job.target())
        opacity = _opacity(container, job, frame)
        if opacity is not None:
            image = image.bandjoin(opacity)
            if job.tracks is not None and job.tracks.premultiplied:
                image = image.unpremultiply().cast(image.format)
        return in_memory(_upright(image, job.orientation))


def picture_stream(container: av.container.InputContainer, tracks: FrameTracks | None = None) -> VideoStream:
    """Returns the track that shows the film. Raises RenderRejected."""
    for stream in container.streams.video:
        if stream.disposition & av.stream.Disposition.attached_pic:
            continue
        if tracks is not None and tracks.picture is not None and stream.id != tracks.picture:
            continue
        decoder: object = stream.codec_context  # None, despite its type, when FFmpeg has no decoder
        if decoder is None:
            raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, "no decoder for this video")
        return stream
    raise RenderRejected(RejectReason.NO_PICTURE)


def _opacity(
    container: av.container.InputContainer, job: PosterJob, frame: VideoFrame
) -> pyvips.Image | None:
    """Returns the opacity of each pixel of a frame; None when all are opaque."""
    number = None if job.tracks is None else job.tracks.opacity
    stream = next((stream for stream in container.streams.video if stream.id == number), None)
    if stream is None:
        return None
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(job.max_pixels)}
    width, height = job.target()
    container.seek(container.start_time or 0)
    for count, packet in enumerate(container.demux(stream)):
        for opacity in packet.decode():
            if (opacity.time or 0) >= (frame.time or 0):
                plane = opacity.reformat(width=width, height=height, format="gray", interpolation=_SCALING)
                return plane_image(plane, bands=1)
        if count >= _MAX_FRAMES:
            break
    return None


@dataclass(slots=True)
class _Brightest:
    """The brightest frame of those offered so far. luma: mean, of 0..255."""

    frame: VideoFrame | None = None
    luma: float = -1.0

    @property
    def shows_something(self) -> bool:
        return self.luma >= _DARK

    def offer(self, frame: VideoFrame) -> bool:
        """Returns whether the frame is brighter than those before, and keeps it if so."""
        luma = _mean_luma(frame)
        if luma <= self.luma:
            return False
        self.frame, self.luma = frame, luma
        return True


def _best_frame(
    container: av.container.InputContainer, stream: VideoStream, *, file: RangedFile, max_read_bytes: int
) -> VideoFrame:
    """Returns the first checked key frame that is not black, else a later frame that is not, else the
    brightest.
    """
    best = _Brightest()
    seen: set[int | None] = set()
    for fraction in _CANDIDATES:
        frame = _key_frame_at(container, stream, fraction)
        if frame is None or frame.pts in seen:
            continue
        seen.add(frame.pts)
        best.offer(frame)
        if best.shows_something:
            break
        # A black poster is better than none: in a film without an index each search may read the whole file.
        file.allow(max_read_bytes // 2)
    if best.frame is None:
        raise RenderRejected(RejectReason.CORRUPT, "no decodable frame")
    if not best.shows_something:
        _watch(container, stream, best)
    return best.frame


def _watch(container: av.container.InputContainer, stream: VideoStream, best: _Brightest) -> None:
    """Decode from the start until a frame is not black and the next checked frame is not brighter, because
    films fade in.
    """
    give_up_at = time.process_time() + _MAX_FRAMES_S
    number = 0
    try:
        container.seek(_start(container))
        for packet in container.demux(stream):
            for frame in packet.decode():
                number += 1
                brighter = number % _EVERY == 0 and best.offer(frame)
                if number >= _MAX_FRAMES or (number % _EVERY == 0 and best.shows_something and not brighter):
                    return
            if time.process_time() > give_up_at:
                return
    except (FFmpegError, OSError):
        return  # the frames before the damage, or before the read limit, are used


def _key_frame_at(
    container: av.container.InputContainer, stream: VideoStream, fraction: float
) -> VideoFrame | None:
    """Returns the key frame at or before that fraction of the film; None when none can be decoded there."""
    try:
        if fraction and container.duration:
            container.seek((container.start_time or 0) + int(container.duration * fraction))
        for count, packet in enumerate(container.demux(stream)):
            if packet.is_keyframe and packet.size:
                # One packet, then a flush: decoders hold frames back to reorder them.
                frames = [*stream.decode(packet), *stream.decode(None)]
                stream.codec_context.flush_buffers()
                return frames[0] if frames else None
            if count >= _MAX_PACKETS:
                return None
    except (FFmpegError, OSError):
        if not fraction:
            raise
    return None


def _start(container: av.container.InputContainer) -> int:
    """Returns the position of the first frame, in microseconds.

    A transport stream is searched by times of decoding, which are before those of showing.
    """
    lead_us = _LEAD_US if container.format.name == _TRANSPORT_STREAM else 0
    return (container.start_time or 0) - lead_us


def _mean_luma(frame: VideoFrame) -> float:
    small = frame.reformat(width=_LUMA_SIDE, height=_LUMA_SIDE, format="gray")
    return float(plane_image(small, bands=1).avg())


def _pixels(frame: VideoFrame, width: int, height: int) -> pyvips.Image:
    """Returns the frame in that many square pixels, as sRGB."""
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    deep = needs_conversion(transfer=transfer, primaries=primaries)
    picture = frame.reformat(
        width=width,
        height=height,
        format="rgba64le" if deep else "rgba",
        src_colorspace=matrix_of(frame),
        dst_color_range=ColorRange.JPEG,
        interpolation=_DEEP_SCALING if deep else _SCALING,
        threads=1,
    )
    image = plane_image(picture, bands=4, sample_bytes=2 if deep else 1).extract_band(0, n=3)
    if frame.format.name.startswith("gray") and frame.color_range == ColorRange.MPEG:
        image = stretched(image)  # FFmpeg treats all grey as full range
    if not deep:
        return image.copy(interpretation="srgb")
    image = image.copy(interpretation="rgb16")
    return to_srgb(image, transfer=transfer, primaries=primaries)


def matrix_of(frame: VideoFrame) -> Colorspace | None:
    """Returns the matrix from luma and chroma to RGB. A film that does not name one gets the one of its
    height, as in players.
    """
    if frame.colorspace in _UNSAID and frame.format.name.startswith("yuv"):
        return Colorspace.ITU709 if frame.height >= _HIGH_DEFINITION else Colorspace.ITU601
    return None


def plane_image(frame: VideoFrame, *, bands: int, sample_bytes: int = 1) -> pyvips.Image:
    """Returns the only plane of a frame. bands: of interleaved samples."""
    plane = frame.planes[0]
    padded = plane.line_size // (bands * sample_bytes)  # rows are padded to the decoder's alignment
    sample = "uchar" if sample_bytes == 1 else "ushort"
    image = pyvips.Image.new_from_memory(bytes(plane), padded, frame.height, bands, sample)
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
