"""Reads playlists of HTTP Live Streaming strictly (RFC 8216): anything that is not expected fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

_ATTRIBUTE: Final = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\r\n]+)(?:,|$)')
_DECIMAL: Final = re.compile(r"\d+(\.\d+)?")


class ListedSegment(NamedTuple):
    url: str
    start: int
    length: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """init: URL, start and length of the initialization."""

    target: int
    init: tuple[str, int, int]
    segments: list[ListedSegment]


def variants(text: str) -> list[tuple[str, dict[str, str]]]:
    """Returns the URI and the attributes of each size."""
    lines = _lines(text)
    _header(lines)
    found = []
    for line in lines:
        name, _, attributes = line.partition(":")
        assert name == "#EXT-X-STREAM-INF", line
        known = _attributes(attributes)
        assert int(known["BANDWIDTH"]) >= int(known["AVERAGE-BANDWIDTH"]) > 0
        assert re.fullmatch(r"\d+x\d+", known["RESOLUTION"])
        found.append((_uri(next(lines)), known))
    assert found
    return found


def media(text: str) -> MediaPlaylist:
    """Returns what a media playlist says. Its segments are one after the other in one object."""
    lines = _lines(text)
    known = _header(lines, until="#EXT-X-MAP")
    assert known["#EXT-X-PLAYLIST-TYPE"] == "VOD"
    assert known["#EXT-X-MEDIA-SEQUENCE"] == "0"
    init = _attributes(known["#EXT-X-MAP"])
    length, start = map(int, init["BYTERANGE"].split("@"))
    target = int(known["#EXT-X-TARGETDURATION"])
    found: list[ListedSegment] = []
    end = start + length
    for line in lines:
        if line == "#EXT-X-ENDLIST":
            break
        name, _, seconds = line.partition(":")
        assert name == "#EXTINF", line
        assert seconds.endswith(","), line
        assert _DECIMAL.fullmatch(seconds[:-1]), line
        name, _, place = next(lines).partition(":")
        assert name == "#EXT-X-BYTERANGE"
        size, begin = map(int, place.split("@"))
        assert begin == end
        assert size > 0
        assert round(float(seconds[:-1])) <= target
        end += size
        found.append(ListedSegment(_uri(next(lines)), begin, size, float(seconds[:-1])))
    assert next(lines, None) is None
    assert found
    return MediaPlaylist(target, (_uri(init["URI"]), start, length), found)


def _lines(text: str) -> Iterator[str]:
    assert text.endswith("\n")
    assert "\r" not in text
    assert "\n\n" not in text
    return iter(text.splitlines())


def _header(lines: Iterator[str], *, until: str = "#EXT-X-INDEPENDENT-SEGMENTS") -> dict[str, str]:
    """Returns the tags up to one. EXT-X-MAP needs the version 6, byte ranges need 4."""
    assert next(lines) == "#EXTM3U"
    known: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        assert name not in known, line
        known[name] = value
        if name == until:
            break
    assert int(known["#EXT-X-VERSION"]) >= 6
    assert "#EXT-X-INDEPENDENT-SEGMENTS" in known
    return known


def _attributes(text: str) -> dict[str, str]:
    assert "".join(match.group(0) for match in _ATTRIBUTE.finditer(text)) == text
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}


def _uri(text: str) -> str:
    assert re.fullmatch(r"[!-~]+", text), text
    assert not text.startswith("#")
    return text
