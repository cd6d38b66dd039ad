"""Which films browsers play as they are. Without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

State = Literal["waiting", "making"]

_MP4: Final = frozenset({"video/mp4", "video/quicktime", "video/x-m4v"})
_WEBM: Final = frozenset({"video/webm"})
# By codec of the picture: in which containers browsers play it.
_PICTURES: Final = {"h264": _MP4, "av1": _MP4 | _WEBM, "vp9": _MP4 | _WEBM, "vp8": _WEBM}
_SOUNDS: Final = {
    "aac": _MP4,
    "mp3": _MP4,
    "mp3float": _MP4,
    "flac": _MP4,
    "opus": _MP4 | _WEBM,
    "vorbis": _WEBM,
}
_DECODERS: Final = {
    "libdav1d": "av1",
    "libvpx": "vp8",
    "libvpx-vp9": "vp9",
    "libopus": "opus",
    "libvorbis": "vorbis",
}
_PIXELS: Final = frozenset({"yuv420p", "yuvj420p"})  # eight bits, 4:2:0


class Coding(Protocol):
    """How a film is coded: FFmpeg's names of decoders and pixels. wide: high dynamic range, or colours beyond
    those of BT.709. sound: None for a film without.
    """

    @property
    def codec(self) -> str: ...
    @property
    def pixels(self) -> str: ...
    @property
    def wide(self) -> bool: ...
    @property
    def sound(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class PlaybackBounds:
    """Bounds of making films playable. minutes: of one film; by_tier: for galleries of the tier of that name
    instead, in lower case. in_all, of_one: films that may wait, of all and of one owner or client.
    long_ms: films that are longer are made in two sizes.
    """

    minutes: int = 180
    by_tier: Mapping[str, int] = field(default_factory=dict)
    in_all: int = 1_000
    of_one: int = 20
    long_ms: int = 600_000

    def minutes_of(self, tier: str) -> int:
        return self.by_tier.get(tier.lower(), self.minutes)


def may_play(content_type: str, codec: str | None) -> bool:
    """Returns whether browsers may play a film, by what its header says. codec: as the item has it."""
    return content_type in _PICTURES.get(codec or "", ())


def plays(content_type: str, coding: Coding) -> bool:
    """Returns whether browsers play a film."""
    picture = _DECODERS.get(coding.codec, coding.codec)
    sound = None if coding.sound is None else _DECODERS.get(coding.sound, coding.sound)
    return (
        may_play(content_type, picture)
        and coding.pixels in _PIXELS
        and not coding.wide
        and (sound is None or content_type in _SOUNDS.get(sound, ()))
    )
