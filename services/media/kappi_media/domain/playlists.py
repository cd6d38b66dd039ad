"""Playlists of HTTP Live Streaming for films that are made in two sizes (RFC 8216). Without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TICKS: Final = 90_000
"""The ticks of a second."""
CONTENT_TYPE: Final = "application/vnd.apple.mpegurl"
_VERSION: Final = 6
"""The first in which a list of segments may name an initialization."""


@dataclass(frozen=True, slots=True)
class FilmStream:
    """One size of a film, as it is stored in one object. width, height: of its pictures. start: of the
    initialization, which the segments follow, one after the other. ticks: of 90,000 a second.
    """

    size: str
    width: int
    height: int
    codecs: str
    start: int
    init_bytes: int
    segment_bytes: Sequence[int]
    segment_ticks: Sequence[int]

    @property
    def seconds(self) -> float:
        return sum(self.segment_ticks) / TICKS

    @property
    def peak_rate(self) -> int:
        """The most bits per second of a segment that lasts half as long as the longest, or longer: a key
        frame alone says nothing of the network that a player needs.
        """
        least = max(self.segment_ticks) / 2
        rates = zip(self.segment_bytes, self.segment_ticks, strict=True)
        found = [_rate(size_bytes, ticks) for size_bytes, ticks in rates if ticks >= least]
        return max(*found, self.mean_rate)

    @property
    def mean_rate(self) -> int:
        return _rate(sum(self.segment_bytes), sum(self.segment_ticks))


def multivariant_playlist(streams: Sequence[FilmStream], urls: Sequence[str]) -> str:
    """Returns the playlist that names one of each size. urls: of these."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for stream, url in zip(streams, urls, strict=True):
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={stream.peak_rate},AVERAGE-BANDWIDTH={stream.mean_rate},"
            f'CODECS="{stream.codecs}",RESOLUTION={stream.width}x{stream.height},CLOSED-CAPTIONS=NONE'
        )
        lines.append(url)
    return "\n".join((*lines, ""))


def media_playlist(stream: FilmStream, url: str) -> str:
    """Returns the playlist of one size. url: of the object with all segments."""
    longest = max(_rounded(ticks) for ticks in stream.segment_ticks)
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{longest}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="{url}",BYTERANGE="{stream.init_bytes}@{stream.start}"',
    ]
    at = stream.start + stream.init_bytes
    for size_bytes, ticks in zip(stream.segment_bytes, stream.segment_ticks, strict=True):
        lines += (f"#EXTINF:{ticks / TICKS:.5f},", f"#EXT-X-BYTERANGE:{size_bytes}@{at}", url)
        at += size_bytes
    return "\n".join((*lines, "#EXT-X-ENDLIST", ""))


def _rounded(ticks: int) -> int:
    """Returns the duration in whole seconds, as a player rounds it; at least one."""
    return max(1, (2 * ticks + TICKS) // (2 * TICKS))


def _rate(size_bytes: int, ticks: int) -> int:
    return -(-size_bytes * 8 * TICKS // ticks)
