"""Finds how a film is coded, in a decoder process, from its headers and its first frame."""

from __future__ import annotations

from typing import Final

from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected

from kappi_media.rendering.colour import needs_conversion
from kappi_media.rendering.poster import open_film, picture_stream
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.wire import Looked

_MAX_PACKETS: Final = 600


def look_at(file: RangedFile, content_type: str, *, max_pixels: int) -> Looked:
    """Returns how the film is coded. Raises RenderRejected, FFmpegError."""
    with open_film(file, content_type) as container:
        stream = picture_stream(container)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(max_pixels)}
        sound = next(iter(container.streams.audio), None)
        coding = None if sound is None else sound.codec_context
        frame = _first_frame(container, stream)
        return Looked(
            codec=stream.codec_context.name,
            pixels=frame.format.name,
            wide=needs_conversion(transfer=int(frame.color_trc), primaries=int(frame.color_primaries)),
            sound=None if sound is None else "unknown" if coding is None else coding.name,
        )


def _first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame:
    for count, packet in enumerate(container.demux(stream)):
        frames: list[VideoFrame]
        try:
            frames = [*stream.decode(packet), *(stream.decode(None) if packet.is_keyframe else ())]
        except FFmpegError:
            frames = []
        if frames:
            return frames[0]
        if count >= _MAX_PACKETS:
            break
    raise RenderRejected(RejectReason.CORRUPT, "no decodable frame")
