"""Packs encoded pictures and sound into pieces of a film, in a decoder process."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from av.packet import Packet
from av.video.stream import VideoStream

from kappi_media.rendering.film_pictures import TICKS
from kappi_media.rendering.film_sound import PACKET_SAMPLES, SAMPLE_RATE
from kappi_media.rendering.wire import FilmChunk, Piece

_MAX_SOUND_BYTES: Final = 16 << 20
"""Of one piece, in films whose sound comes long before their pictures."""
_SPS, _PPS = 7, 8
_LENGTH: Final = struct.Struct(">I")
_RUN: Final = struct.Struct(">II")


class _Picture(NamedTuple):
    ticks: int
    key: bool
    body: bytes


class Packing:
    """Collects samples. ticks, sound_packets: what earlier pieces contain. sound_config: of a film with
    sound.
    """

    def __init__(
        self, size: tuple[int, int], *, config: bytes, sound_config: bytes, ticks: int, sound_packets: int
    ) -> None:
        self._size = size
        self._config = config
        self._sound_config = sound_config
        self._from = ticks
        self._pictures: list[_Picture] = []
        self._sounds: list[bytes] = []
        self._sound_bytes = 0
        self._sound_packets = sound_packets
        self._begins: set[int] = set()

    def begin_piece(self, ticks: int) -> None:
        """Note that the picture of that time begins a piece, before it is added."""
        self._begins.add(ticks)

    def add_pictures(self, packets: list[Packet[VideoStream]]) -> Iterator[Piece]:
        """Yields the pieces that are complete with these pictures."""
        for packet in packets:
            assert packet.pts is not None
            if packet.pts in self._begins:
                self._begins.discard(packet.pts)
                if self._pictures:
                    yield self._piece(until=packet.pts)
            self._pictures.append(_Picture(packet.pts, packet.is_keyframe, _prefixed(bytes(packet))))

    def add_sounds(self, packets: Iterator[bytes]) -> Iterator[Piece]:
        for packet in packets:
            self._sounds.append(packet)
            self._sound_bytes += len(packet)
            if self._sound_bytes > _MAX_SOUND_BYTES:
                pictures, self._pictures = self._pictures, []
                yield self._piece(until=self._from)
                self._pictures = pictures

    def last(self, *, until: int) -> Piece:
        """Returns the last piece. until: when the film ends."""
        return self._piece(until=until, last=True)

    def _piece(self, *, until: int, last: bool = False) -> Piece:
        pictures, sounds = self._pictures, self._sounds
        times = [self._from, *(picture.ticks for picture in pictures[1:]), until] if pictures else []
        durations = [after - before for before, after in pairwise(times)]
        chunks, body = self._arranged(pictures, sounds)
        self._pictures, self._sounds, self._sound_bytes = [], [], 0
        self._sound_packets += len(sounds)
        self._from = until
        return Piece(
            width=self._size[0],
            height=self._size[1],
            picture_sizes=b"".join(_LENGTH.pack(len(picture.body)) for picture in pictures),
            picture_times=b"".join(_RUN.pack(len(list(run)), each) for each, run in groupby(durations)),
            keys=tuple(number for number, picture in enumerate(pictures, 1) if picture.key),
            sound_sizes=b"".join(_LENGTH.pack(len(sound)) for sound in sounds),
            chunks=chunks,
            picture_config=self._config,
            sound_config=self._sound_config,
            ticks=until,
            sound_packets=self._sound_packets,
            last=last,
            body=body,
        )

    def _arranged(self, pictures: list[_Picture], sounds: list[bytes]) -> tuple[tuple[FilmChunk, ...], bytes]:
        """Returns the samples with the sound of each second behind its pictures, as players need them."""
        samples = [(picture.ticks // TICKS, False, picture.body) for picture in pictures]
        samples += [
            ((self._sound_packets + number) * PACKET_SAMPLES // SAMPLE_RATE, True, sound)
            for number, sound in enumerate(sounds)
        ]
        samples.sort(key=lambda sample: sample[:2])
        chunks, bodies = [], []
        for (_, is_sound), of_second in groupby(samples, key=lambda sample: sample[:2]):
            parts = [body for _, _, body in of_second]
            bodies += parts
            chunks.append(FilmChunk(sound=is_sound, samples=len(parts), size_bytes=sum(map(len, parts))))
        return tuple(chunks), b"".join(bodies)


def picture_config(parameters: bytes) -> bytes:
    """Returns an avcC. parameters: with start codes, as an encoder gives them."""
    units = list(_units(parameters))
    sequence = [unit for unit in units if unit[0] & 31 == _SPS]
    picture = [unit for unit in units if unit[0] & 31 == _PPS]
    config = bytes([1, *sequence[0][1:4], 0xFF, 0xE0 | len(sequence)])
    config += b"".join(struct.pack(">H", len(unit)) + unit for unit in sequence)
    config += bytes([len(picture)])
    config += b"".join(struct.pack(">H", len(unit)) + unit for unit in picture)
    if sequence[0][1] >= 100:  # the high profiles name chroma format and depths once more: 4:2:0 in 8 bits
        config += bytes([0xFC | 1, 0xF8, 0xF8, 0])
    return config


def _prefixed(body: bytes) -> bytes:
    """Returns a sample whose units follow their lengths, as in an MP4, in place of start codes."""
    return b"".join(_LENGTH.pack(len(unit)) + unit for unit in _units(body))


def _units(body: bytes) -> Iterator[bytes]:
    """Yields what is between start codes. No unit contains one, and none ends with a zero."""
    for part in body.split(b"\0\0\1")[1:]:
        unit = part.rstrip(b"\0")
        if unit:
            yield unit
