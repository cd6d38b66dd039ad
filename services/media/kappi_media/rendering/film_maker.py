"""Makes films in a decoder process of their own, one for each film, with the lowest priority."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec
from kappi_mediameta.probing.facts import Probe
from kappi_mediameta.probing.probe import DEFAULT_LIMITS
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected
from kappi_mediameta.probing.source import RangedSource

from kappi_media.rendering.failures import DecoderCrashed
from kappi_media.rendering.mp4_boxes import PICTURE_SCALE
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.wire import FilmJob, Piece

LOWEST: Final = 19
_SPARE_READ_BYTES: Final = 64 << 20
# What a piece may say: more than a film of the decoder does.
_SPARE_SECONDS: Final = 60
_MOST_PACKETS_PER_S: Final = 47
_LONGEST_SIDE: Final = 1920
_LEAST_CONFIG_BYTES, _CONFIG_BYTES = 7, 1024
_SOUND_CONFIG_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class FilmLimits:
    """The limits of making a film. memory_bytes: of its process. time, wall_time_limit: of the processor, and
    of elapsed time, for each piece: some seconds of film, and what precedes them since a key frame.
    """

    memory_bytes: int = 2 << 30
    max_pixels: int = DEFAULT_LIMITS.max_video_pixels
    time: timedelta = timedelta(minutes=15)
    wall_time_limit: timedelta = timedelta(hours=2)
    start_time_limit: timedelta = timedelta(minutes=5)


class FilmMaker:
    """Makes a film, or the rest of one, in pieces."""

    def __init__(self, limits: FilmLimits | None = None) -> None:
        self._limits = limits or FilmLimits()

    async def pieces(
        self,
        source: RangedSource,
        probe: Probe,
        *,
        max_seconds: int,
        ticks: int,
        sound_packets: int,
        two_sizes: bool = False,
    ) -> AsyncGenerator[Piece]:
        """Yields pieces until the last. max_seconds: a longer film is refused. ticks, sound_packets: what
        earlier pieces contain. two_sizes: each piece has the film in a small size, too.

        Raises RenderRejected, DecoderUnavailable; errors of the source pass through.
        """
        limits = self._limits
        job = _job(source, probe, max_pixels=limits.max_pixels)
        job = msgspec.structs.replace(
            job, max_seconds=max_seconds, ticks=ticks, sound_packets=sound_packets, two_sizes=two_sizes
        )
        process = await DecoderProcess.start(memory_bytes=limits.memory_bytes, niceness=LOWEST)
        try:
            await process.readiness(wall_time_limit=limits.start_time_limit)
            film = process.film(job, source, time_limit=limits.time, wall_time_limit=limits.wall_time_limit)
            async with aclosing(film):
                async for piece in film:
                    yield _checked(piece, job, begin=ticks)
                    ticks = piece.ticks
        except DecoderCrashed as crashed:  # the process was new, so the film is the cause
            raise RenderRejected(RejectReason.CORRUPT, "crashes its decoder") from crashed
        finally:
            await process.close()


def _job(source: RangedSource, probe: Probe, *, max_pixels: int) -> FilmJob:
    return FilmJob(
        content_type=probe.content_type,
        size_bytes=source.size_bytes,
        width=probe.width,
        height=probe.height,
        orientation=probe.orientation,
        max_pixels=max_pixels,
        # Tracks that are not interleaved are read in turns, and a block again for each.
        max_read_bytes=4 * source.size_bytes + _SPARE_READ_BYTES,
        max_seconds=0,
    )


def _checked(piece: Piece, job: FilmJob, *, begin: int) -> Piece:
    """Returns the piece. Raises DecoderCrashed if its parts do not fit each other, or no MP4. begin: its
    ticks.
    """
    parts = (piece,) if piece.small is None else (piece, piece.small)
    is_whole = len(parts) == 1 + job.two_sizes and all(
        (part.ticks, part.sound_packets, part.sound_sizes, part.last)
        == (piece.ticks, piece.sound_packets, piece.sound_sizes, piece.last)
        for part in parts
    )
    follows = begin <= piece.ticks and (piece.ticks > 0 or not piece.last)
    if not (is_whole and follows):
        raise DecoderCrashed("sends a piece that does not fit")
    if not all(_fits(part) and _is_bounded(part, max_seconds=job.max_seconds) for part in parts):
        raise DecoderCrashed("sends a piece that does not fit")
    return piece


def _fits(piece: Piece) -> bool:
    """Returns whether the tables of a piece fit its body, and each other."""
    pictures = sum(chunk.samples for chunk in piece.chunks if not chunk.sound)
    sounds = sum(chunk.samples for chunk in piece.chunks if chunk.sound)
    return (
        all(chunk.samples > 0 and chunk.size_bytes >= 0 for chunk in piece.chunks)
        and sum(chunk.size_bytes for chunk in piece.chunks) == len(piece.body)
        and len(piece.picture_sizes) == 4 * pictures
        and len(piece.sound_sizes) == 4 * sounds
        and len(piece.picture_times) % 8 == 0
        and sum(count for count, _ in struct.iter_unpack(">II", piece.picture_times)) == pictures
        and all(0 < number <= pictures for number in piece.keys)
    )


def _is_bounded(piece: Piece, *, max_seconds: int) -> bool:
    longest = max_seconds + _SPARE_SECONDS
    return (
        0 <= piece.ticks <= longest * PICTURE_SCALE
        and 0 <= piece.sound_packets <= longest * _MOST_PACKETS_PER_S
        and 0 < piece.width <= _LONGEST_SIDE
        and 0 < piece.height <= _LONGEST_SIDE
        and _LEAST_CONFIG_BYTES <= len(piece.picture_config) <= _CONFIG_BYTES
        and len(piece.sound_config) <= _SOUND_CONFIG_BYTES
    )
