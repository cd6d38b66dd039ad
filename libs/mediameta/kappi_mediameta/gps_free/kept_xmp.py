"""Writes XMP anew with the facts that a copy keeps: where the film of a motion photo lies, and how a gain map
is applied to its picture. Numbers and listed words are kept, all else becomes white space.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_mediameta.gps_free.edits import Region

# Google's motion photos, old and new; Adobe's and Google's gain maps (Ultra HDR).
_NUMBER: Final = re.compile(
    rb"\b(GCamera:(?:MotionPhoto(?:Version|PresentationTimestampUs)?"
    rb"|MicroVideo(?:Version|Offset|PresentationTimestampUs)?)"
    rb"|hdrgm:(?:Version|GainMapMin|GainMapMax|Gamma|OffsetSDR|OffsetHDR|HDRCapacityMin|HDRCapacityMax"
    rb"|BaseRenditionIsHDR))\s*=\s*[\"'](-?\d{1,19}(?:\.\d{1,19})?|True|False)[\"']"
)
_ITEM: Final = re.compile(rb"<(?:Container|GContainer):Item\b([^<>]{0,2000})>")
_OF_ITEM: Final = re.compile(
    rb"\b(?:Item|GContainerItem):(Mime|Semantic|Length|Padding)\s*=\s*[\"']"
    rb"(image/(?:jpeg|heic|avif)|video/(?:mp4|quicktime)|Primary|MotionPhoto|GainMap|\d{1,19})[\"']"
)
_MAX_ITEMS: Final = 16
_SPACES: Final = (
    b' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
    b' xmlns:Container="http://ns.google.com/photos/1.0/container/"'
    b' xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
    b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
)


async def keep_little_xmp(region: Region) -> None:
    """Writes a packet anew. region: the packet, in one segment or element."""
    packet = await region.read_all()
    await region.write(0, little_of(packet))


def little_of(packet: bytes) -> bytes:
    """Returns a packet of the same length, of white space alone where nothing is kept or fits."""
    numbers = dict(_NUMBER.findall(packet))
    items = [dict(_OF_ITEM.findall(found)) for found in _ITEM.findall(packet)[:_MAX_ITEMS]]
    items = [item for item in items if item]
    if not numbers and not items:
        return b" " * len(packet)
    attributes = b"".join(b' %s="%s"' % pair for pair in sorted(numbers.items()))
    kept = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about=""' + _SPACES + attributes + b">" + _directory(items)
    ) + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    return kept.ljust(len(packet)) if len(kept) <= len(packet) else b" " * len(packet)


def _directory(items: list[dict[bytes, bytes]]) -> bytes:
    if not items:
        return b""
    listed = b"".join(
        b'<rdf:li rdf:parseType="Resource"><Container:Item'
        + b"".join(b' Item:%s="%s"' % pair for pair in sorted(item.items()))
        + b"/></rdf:li>"
        for item in items
    )
    return b"<Container:Directory><rdf:Seq>" + listed + b"</rdf:Seq></Container:Directory>"
