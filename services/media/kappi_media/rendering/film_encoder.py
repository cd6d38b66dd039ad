"""Makes a film that browsers play, in a decoder process, piece by piece (ADR-0077).

Frames keep their times. A piece begins with the first frame after a whole number of `PIECE_TICKS`, wherever
the encoding itself began, so a later attempt continues after any piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Final

import av
import msgspec
from av.audio.frame import AudioFrame
from av.codec.context import Flags
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from kappi_mediameta.probing.blocking import probe_blocking
from kappi_mediameta.probing.facts import ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected

from kappi_media.rendering.film_packing import Packing, picture_config
from kappi_media.rendering.film_pictures import (
    LONG_SIDE,
    SHORT_SIDE,
    SMALL_SIDES,
    TICKS,
    FilmPictures,
    shown_size,
    smaller,
)
from kappi_media.rendering.film_sound import SAMPLE_RATE, FilmSound
from kappi_media.rendering.pieces import Bytes
from kappi_media.rendering.poster import open_film, picture_stream
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.wire import FilmJob, Piece

PIECE_TICKS: Final = 8 * TICKS
_KEY_TICKS: Final = 2 * TICKS
"""How far apart key frames are, to which players jump."""
_CLOSEST_TICKS: Final = 1_300
"""Frames that follow sooner are left out: more than about 60 a second."""
_FRAME_TICKS: Final = 3_000
"""The duration of a frame whose end, or whose time, is unknown."""
_MARGINS: Final = (1.0, 8.0, 64.0)
"""Seconds before what is wanted, at which it is searched."""
_BIT_RATE: Final = 8_000_000
"""The highest, of the largest picture; of smaller ones in proportion, but no less than the next."""
_LEAST_BIT_RATE: Final = 1_000_000
_SMALL_BIT_RATE: Final = 1_200_000
_LEAST_SMALL_BIT_RATE: Final = 300_000


def film_pieces(file: RangedFile, job: FilmJob) -> Iterator[Piece]:
    """Yields the pieces that are missing. Raises Rejected, FFmpegError."""
    if not job.width:
        job = _with_facts(job, file)
    with open_film(file, job.content_type) as container:
        yield from _Film(container, job).pieces()


def _with_facts(job: FilmJob, file: RangedFile) -> FilmJob:
    """Returns the job with the facts of the film in a motion photo, which is an MP4. Raises ProbeRejected."""
    limits = ProbeLimits(max_video_pixels=job.max_pixels)
    facts = probe_blocking(Bytes(file), MediaFormat.MP4, size_bytes=job.size_bytes, limits=limits)
    return msgspec.structs.replace(job, width=facts.width, height=facts.height, orientation=facts.orientation)


class _Film:
    def __init__(self, container: av.container.InputContainer, job: FilmJob) -> None:
        self._container = container
        self._job = job
        self._video = picture_stream(container)
        self._video.codec_context.thread_count = 1
        self._video.codec_context.options = {"max_pixels": str(job.max_pixels)}
        self._audio = _sound_stream(container)
        self._start = (container.start_time or 0) / av.time_base
        size = shown_size(job.width, job.height)
        self._pictures = FilmPictures(size=size, orientation=job.orientation)
        self._encoders = [_encoder(size, crf=22, bit_rate=_bit_rate(size))]
        if job.two_sizes:
            small = shown_size(job.width, job.height, sides=SMALL_SIDES)
            self._encoders.append(_encoder(small, crf=26, bit_rate=_small_bit_rate(small)))
        self._sound = FilmSound(packets=job.sound_packets)
        self._packing = Packing(
            [
                ((each.width, each.height), picture_config(bytes(each.extradata or b"")))
                for each in self._encoders
            ],
            sound_config=self._sound.config if self._audio is not None else b"",
            ticks=job.ticks,
            sound_packets=job.sound_packets,
        )
        self._last_ticks = -1
        self._frame_ticks = _FRAME_TICKS

    def pieces(self) -> Iterator[Piece]:
        if self._job.ticks or self._job.sound_packets:
            self._seek()
        streams = [self._video, *([] if self._audio is None else [self._audio])]
        for packet in self._container.demux(streams):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue  # what is not damaged is shown
            for frame in frames:
                if isinstance(frame, AudioFrame):
                    yield from self._hear(frame)
                elif isinstance(frame, VideoFrame):
                    yield from self._see(frame)
        if self._last_ticks < 0:
            raise RenderRejected(RejectReason.CORRUPT, "no decodable frame")
        yield from self._packing.add_pictures([each.encode(None) for each in self._encoders])
        if self._audio is not None:
            yield from self._packing.add_sounds(self._sound.finish())
        yield self._packing.last(until=self._last_ticks + self._frame_ticks)

    def _seek(self) -> None:
        """Go to a place from which everything that is missing can be decoded."""
        wanted = self._job.ticks / TICKS
        if self._audio is not None:
            wanted = min(wanted, self._sound.start / SAMPLE_RATE)
        # Indices are in the order of decoding, so a search may end at a key frame that is shown too late.
        for margin in _MARGINS:
            if wanted <= margin:
                break
            place = int((self._start + wanted - margin) * av.time_base)
            self._container.seek(place)
            if self._first_ticks() <= self._job.ticks:
                self._container.seek(place)
                return
        self._container.seek(int(self._start * av.time_base))

    def _first_ticks(self) -> int:
        """Returns when the first frame is shown that can be decoded here."""
        for packet in self._container.demux(self._video):
            with suppress(FFmpegError):
                for frame in packet.decode():
                    return self._ticks(frame)
        return self._job.ticks + 1

    def _see(self, frame: VideoFrame) -> Iterator[Piece]:
        ticks = self._ticks(frame)
        if ticks > self._job.max_seconds * TICKS:
            raise RenderRejected(RejectReason.TOO_LONG, "longer than it says")
        if ticks < self._job.ticks or (self._last_ticks >= 0 and ticks < self._last_ticks + _CLOSEST_TICKS):
            return
        if frame.width * frame.height > self._job.max_pixels:
            raise RenderRejected(RejectReason.TOO_MANY_PIXELS, f"{frame.width} x {frame.height}")
        picture = self._pictures.prepared(frame, ticks)
        first = self._last_ticks < 0
        is_key = first or ticks // _KEY_TICKS > self._last_ticks // _KEY_TICKS
        if not first and ticks // PIECE_TICKS > self._last_ticks // PIECE_TICKS:
            self._packing.begin_piece(ticks)
        if not first:
            self._frame_ticks = min(ticks - self._last_ticks, TICKS)
        self._last_ticks = ticks
        yield from self._packing.add_pictures(self._encode(picture, is_key=is_key))

    def _encode(self, picture: VideoFrame, *, is_key: bool) -> list[list[Packet[VideoStream]]]:
        """Returns what the encoder of each size gives, with key frames at the same times."""
        encoded: list[list[Packet[VideoStream]]] = []
        for encoder in self._encoders:
            sized = picture if not encoded else smaller(picture, (encoder.width, encoder.height))
            if is_key:
                sized.pict_type = PictureType.I
            encoded.append(encoder.encode(sized))
        return encoded

    def _hear(self, frame: AudioFrame) -> Iterator[Piece]:
        if frame.time is None or frame.time - self._start > self._job.max_seconds:
            return
        yield from self._packing.add_sounds(self._sound.encode(frame, frame.time - self._start))

    def _ticks(self, frame: VideoFrame) -> int:
        if frame.pts is None or frame.time_base is None:
            return self._last_ticks + _FRAME_TICKS
        return round((float(frame.pts * frame.time_base) - self._start) * TICKS)


def _sound_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """Returns the first sound track; None if there is none, or FFmpeg has no decoder for it."""
    first = next(iter(container.streams.audio), None)
    if first is None:
        return None
    decoder: object = first.codec_context  # None, despite its type, when FFmpeg has no decoder
    return None if decoder is None else first


def _bit_rate(size: tuple[int, int]) -> int:
    return max(_LEAST_BIT_RATE, _BIT_RATE * size[0] * size[1] // (LONG_SIDE * SHORT_SIDE))


def _small_bit_rate(size: tuple[int, int]) -> int:
    return max(
        _LEAST_SMALL_BIT_RATE, _SMALL_BIT_RATE * size[0] * size[1] // (SMALL_SIDES[0] * SMALL_SIDES[1])
    )


def _encoder(size: tuple[int, int], *, crf: int, bit_rate: int) -> VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, TICKS)
    encoder.framerate = Fraction(30)
    encoder.color_range = ColorRange.MPEG
    encoder.colorspace = Colorspace.ITU709
    encoder.color_primaries = ColorPrimaries.BT709
    encoder.color_trc = ColorTrc.BT709
    encoder.thread_count = 1
    encoder.flags |= Flags.global_header
    # Without B-frames each frame is stored where it is shown, so pieces can follow each other.
    encoder.options = {
        "preset": "veryfast",
        "profile": "high",
        "crf": str(crf),
        "bf": "0",
        "g": "600",
        "forced-idr": "1",
        "maxrate": str(bit_rate),
        "bufsize": str(2 * bit_rate),
    }
    encoder.open()
    return encoder
