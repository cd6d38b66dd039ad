"""Encodes the sound of a film as AAC, in a decoder process, at the times that the film gives it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.packet import Packet

SAMPLE_RATE: Final = 48_000
PACKET_SAMPLES: Final = 1024
"""The samples of a packet. The first packet only prepares the decoder: players skip it."""
_BIT_RATE: Final = 160_000
_SAMPLE_BYTES: Final = 4
_CHANNELS: Final = 2
# A smaller difference between where a frame is and where it says it belongs comes from rounded times.
_TOLERATED: Final = SAMPLE_RATE // 25
# A new encoder's first packets are not what one would make that encoded all before, so they are left out.
_PREPARATION: Final = 4 * PACKET_SAMPLES


class FilmSound:
    """Encodes what follows after a number of packets."""

    def __init__(self, *, packets: int) -> None:
        self.packets = packets
        self._resampler = AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE)
        self._encoder = _encoder()
        self._first = (packets - 1) * PACKET_SAMPLES if packets else -PACKET_SAMPLES
        self.start = max(0, self._first - _PREPARATION)
        self._end = self.start  # of the samples that are buffered or encoded
        self._encoded = self.start
        self._channels = [bytearray() for _ in range(_CHANNELS)]

    @property
    def config(self) -> bytes:
        return bytes(self._encoder.extradata or b"")

    def encode(self, frame: AudioFrame, seconds: float) -> Iterator[bytes]:
        """Yields packets. seconds: when the frame begins."""
        frame.pts = None  # the resampler would fill gaps on its own
        position = round(seconds * SAMPLE_RATE)
        for each in self._resampler.resample(frame):
            yield from self._placed(each, position)
            position += each.samples

    def finish(self) -> Iterator[bytes]:
        """Yields the last packets."""
        left = len(self._channels[0]) // _SAMPLE_BYTES
        if left:
            self._append([bytes((PACKET_SAMPLES - left) * _SAMPLE_BYTES)] * _CHANNELS)
            yield from self._whole()
        yield from self._new(self._encoder.encode(None))

    def _placed(self, frame: AudioFrame, position: int) -> Iterator[bytes]:
        gap = position - self._end
        if abs(gap) <= _TOLERATED and self._end > self.start:
            gap = 0
        while gap > 0:
            silent = min(gap, SAMPLE_RATE)
            self._append([bytes(silent * _SAMPLE_BYTES)] * _CHANNELS)
            yield from self._whole()
            gap -= silent
        skipped = min(-gap, frame.samples) * _SAMPLE_BYTES
        used = frame.samples * _SAMPLE_BYTES
        self._append([bytes(plane)[skipped:used] for plane in frame.planes])
        yield from self._whole()

    def _append(self, channels: list[bytes]) -> None:
        for buffered, samples in zip(self._channels, channels, strict=True):
            buffered += samples
        self._end += len(channels[0]) // _SAMPLE_BYTES

    def _whole(self) -> Iterator[bytes]:
        """Encodes what fills whole packets."""
        size = PACKET_SAMPLES * _SAMPLE_BYTES
        while len(self._channels[0]) >= size:
            frame = AudioFrame(format="fltp", layout="stereo", samples=PACKET_SAMPLES)
            for plane, buffered in zip(frame.planes, self._channels, strict=True):
                plane.update(bytes(buffered[:size]).ljust(plane.buffer_size, b"\0"))
                del buffered[:size]
            frame.sample_rate, frame.pts = SAMPLE_RATE, self._encoded
            frame.time_base = Fraction(1, SAMPLE_RATE)
            self._encoded += PACKET_SAMPLES
            yield from self._new(self._encoder.encode(frame))

    def _new(self, packets: list[Packet[AudioStream]]) -> Iterator[bytes]:
        for packet in packets:
            if packet.pts is not None and packet.pts >= self._first:
                self.packets += 1
                yield bytes(packet)


def _encoder() -> AudioCodecContext:
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = SAMPLE_RATE, "stereo", "fltp"
    encoder.time_base = Fraction(1, SAMPLE_RATE)
    encoder.bit_rate = _BIT_RATE
    encoder.flags |= Flags.global_header
    encoder.thread_count = 1
    encoder.open()
    return encoder
