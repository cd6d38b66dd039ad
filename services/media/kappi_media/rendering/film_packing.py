"""Packs encoded pictures and sound into pieces of a film, in a decoder process."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple

import msgspec
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


class _Pictures:
    """The pictures of a film in one size, until they are in a piece. config: avcC."""

    def __init__(self, size: tuple[int, int], config: bytes) -> None:
        self.size = size
        self.config = config
        self._waiting: list[_Picture] = []

    def add(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            assert packet.pts is not None
            self._waiting.append(_Picture(packet.pts, packet.is_keyframe, _prefixed(bytes(packet))))

    def have(self, ticks: int) -> bool:
        return bool(self._waiting) and self._waiting[-1].ticks >= ticks

    def before(self, ticks: int) -> list[_Picture]:
        """Takes the pictures that are shown before that time."""
        taken = [picture for picture in self._waiting if picture.ticks < ticks]
        self._waiting = self._waiting[len(taken) :]
        return taken


class Packing:
    """Collects samples. sizes: of the pictures, with the avcC of each; the second is the small one. ticks,
    sound_packets: what earlier pieces contain. sound_config: of a film with sound.
    """

    def __init__(
        self,
        sizes: Sequence[tuple[tuple[int, int], bytes]],
        *,
        sound_config: bytes,
        ticks: int,
        sound_packets: int,
    ) -> None:
        self._sizes = [_Pictures(size, config) for size, config in sizes]
        self._sound_config = sound_config
        self._from = ticks
        self._sounds: list[bytes] = []
        self._sound_bytes = 0
        self._sound_packets = sound_packets
        self._begins: deque[int] = deque()

    def begin_piece(self, ticks: int) -> None:
        """Note that the picture of that time begins a piece, before it is added."""
        self._begins.append(ticks)

    def add_pictures(self, packets: Sequence[list[Packet[VideoStream]]]) -> Iterator[Piece]:
        """Yields the pieces that are complete with these pictures, of each size."""
        for pictures, encoded in zip(self._sizes, packets, strict=True):
            pictures.add(encoded)
        while self._begins and all(pictures.have(self._begins[0]) for pictures in self._sizes):
            yield self._piece(until=self._begins.popleft())

    def add_sounds(self, packets: Iterator[bytes]) -> Iterator[Piece]:
        for packet in packets:
            self._sounds.append(packet)
            self._sound_bytes += len(packet)
            if self._sound_bytes > _MAX_SOUND_BYTES:
                yield self._piece(until=self._from)

    def last(self, *, until: int) -> Piece:
        """Returns the last piece. until: when the film ends."""
        return self._piece(until=until, last=True)

    def _piece(self, *, until: int, last: bool = False) -> Piece:
        sounds, begin = self._sounds, self._from
        number = self._sound_packets
        self._sounds, self._sound_bytes = [], 0
        self._sound_packets += len(sounds)
        self._from = until
        first, *more = (
            self._of_size(each, begin=begin, until=until, sounds=sounds, number=number, last=last)
            for each in self._sizes
        )
        return msgspec.structs.replace(first, small=more[0]) if more else first

    def _of_size(
        self, size: _Pictures, *, begin: int, until: int, sounds: list[bytes], number: int, last: bool
    ) -> Piece:
        """number: of the first packet of sound, in the film."""
        pictures = size.before(until)
        times = [begin, *(picture.ticks for picture in pictures[1:]), until] if pictures else []
        durations = [after - before for before, after in pairwise(times)]
        chunks, body = _arranged(pictures, sounds, number=number)
        width, height = size.size
        return Piece(
            width=width,
            height=height,
            picture_sizes=b"".join(_LENGTH.pack(len(picture.body)) for picture in pictures),
            picture_times=b"".join(_RUN.pack(len(list(run)), each) for each, run in groupby(durations)),
            keys=tuple(number for number, picture in enumerate(pictures, 1) if picture.key),
            sound_sizes=b"".join(_LENGTH.pack(len(sound)) for sound in sounds),
            chunks=chunks,
            picture_config=size.config,
            sound_config=self._sound_config,
            ticks=until,
            sound_packets=self._sound_packets,
            last=last,
            body=body,
        )


def _arranged(
    pictures: list[_Picture], sounds: list[bytes], *, number: int
) -> tuple[tuple[FilmChunk, ...], bytes]:
    """Returns the samples with the sound of each second behind its pictures, as players need them."""
    samples = [(picture.ticks // TICKS, False, picture.body) for picture in pictures]
    samples += [
        (packet * PACKET_SAMPLES // SAMPLE_RATE, True, sound) for packet, sound in enumerate(sounds, number)
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
