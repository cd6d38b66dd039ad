"""Places out of an XMP packet: properties become white space, all else stays (ISO 16684-1).

Not parsed as XML: writers put the same property as attribute or element, packets are damaged, and whatever is
written back must have the same length. A packet that does not yield to this loses all its content.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_media.location_free.edits import Region

# In any namespace; DJI really writes "Longtitude". A name is taken whole and never given back: packets are
# strangers', and backtracking over their names takes the square of their length.
_TELLING: Final = (
    rb"(?=[\w.-]*?(?:GPS|Gps|gps|Latitude|Longitude|Longtitude|latitude|longitude|GeoTag|Geotag))[\w.-]*+"
)
# Places in words, of the schemas that people fill in (IPTC, Photoshop, Premiere, publishers, Media Pro).
_IN_WORDS: Final = (
    rb"(?:photoshop:(?:City|State|Country)|Iptc4xmpCore:(?:Location|CountryCode)"
    rb"|Iptc4xmpExt:Location(?:Created|Shown)|xmpDM:shotLocation|prism:location|mediapro:Location)"
)
_NAME: Final = rb"(?:[A-Za-z_][\w.-]*+:" + _TELLING + rb"|" + _IN_WORDS + rb")"
_ATTRIBUTE: Final = re.compile(rb"(?<=\s)" + _NAME + rb"\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')")
_OPENING: Final = re.compile(rb"<(" + _NAME + rb")(?=[\s/>])")
_LEFT: Final = re.compile(rb"[\s<]" + _NAME + rb"[\s=/>]")
_WIDE: Final = re.compile(
    rb"(?:G\0P\0S|L\0a\0t\0i\0t\0u\0d\0e|L\0o\0n\0g\0i\0t\0u\0d\0e|C\0i\0t\0y)", re.IGNORECASE
)


async def clean_xmp(region: Region) -> None:
    """region: the packet, or all of it joined where it lies in pieces."""
    packet = await region.read_all()
    cleaned = cleaned_xmp(packet)
    if cleaned != packet:
        await region.write(0, cleaned)


def cleaned_xmp(packet: bytes) -> bytes:
    """As long as it was."""
    if b"\0" in packet[:64]:  # UTF-16 or UTF-32, which hardly anybody writes
        return b" " * len(packet) if _WIDE.search(packet) else packet
    without_attributes = _ATTRIBUTE.sub(lambda found: b" " * len(found[0]), packet)
    cleaned = _without_elements(without_attributes)
    if cleaned is None or _LEFT.search(cleaned):
        return b" " * len(packet)
    return cleaned


def _without_elements(packet: bytes) -> bytes | None:
    """None where one is never closed."""
    kept = bytearray(packet)
    position = 0
    while (opening := _OPENING.search(packet, position)) is not None:
        end = _end_of_element(packet, opening)
        if end is None:
            return None
        kept[opening.start() : end] = b" " * (end - opening.start())
        position = end
    return bytes(kept)


def _end_of_element(packet: bytes, opening: re.Match[bytes]) -> int | None:
    tag_end = packet.find(b">", opening.end())
    if tag_end < 0:
        return None
    if packet[tag_end - 1 : tag_end] == b"/":
        return tag_end + 1
    closing = packet.find(b"</" + opening[1], tag_end)
    end = packet.find(b">", closing) if closing >= 0 else -1
    return end + 1 if end >= 0 else None
