"""The blocks of metadata of a picture, and the facts of all of them.

Where blocks disagree, EXIF counts first, then XMP, then IPTC. IPTC counts before XMP where a program that
ignores XMP changed it (Metadata Working Group, Guidelines for Handling Image Metadata 2.0).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from kappi_mediameta.probing.annotations import NO_ANNOTATIONS, Annotations
from kappi_mediameta.probing.exif import NO_EXIF, ExifTags, facts_of
from kappi_mediameta.probing.facts import CaptureFacts
from kappi_mediameta.probing.iptc import is_changed, read_iptc, records_of, resources
from kappi_mediameta.probing.xmp import read_xmp


@dataclass(slots=True)
class Metadata:
    """exif: the block that viewers read. secondary_exif: a block that does not turn the picture, and counts
    where there is no other. xmp: packets as they are in the file, the main one first. photoshop: image
    resources. iptc: records outside of these. texts: facts in text chunks of a format."""

    exif: ExifTags | None = None
    secondary_exif: ExifTags | None = None
    xmp: list[bytes] = field(default_factory=list)
    photoshop: bytes = b""
    iptc: bytes = b""
    texts: Annotations = NO_ANNOTATIONS

    def capture(self) -> CaptureFacts:
        facts = facts_of(self.exif or self.secondary_exif or NO_EXIF, self._annotations())
        return facts if self.exif is not None else replace(facts, orientation=1)

    def _annotations(self) -> Annotations:
        found = resources(self.photoshop)
        records = records_of(found) or self.iptc
        xmp, iptc = read_xmp(self.xmp), read_iptc(records)
        first, second = (iptc, xmp) if is_changed(found, records) else (xmp, iptc)
        return first.or_else(second).or_else(self.texts)
