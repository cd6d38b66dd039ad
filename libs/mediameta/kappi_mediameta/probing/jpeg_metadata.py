"""Metadata in a JPEG's application segments: EXIF, XMP with its extension segments, Photoshop's resources
(EXIF 3.0; XMP specification part 3)."""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.probing.exif import exif_tags
from kappi_mediameta.probing.facts import CaptureFacts
from kappi_mediameta.probing.iptc import MAX_IPTC_BYTES, PHOTOSHOP_START
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.xmp import MAX_XMP_BYTES, XMP_MARK

_EXIF: Final = b"Exif\x00\x00"
_MORE_XMP: Final = b"http://ns.adobe.com/xmp/extension/\x00"
_DIGEST_BYTES: Final = 32
MARK_BYTES: Final = len(_MORE_XMP)
"""Length of the longest mark at the start of a segment."""


class JpegMetadata:
    def __init__(self) -> None:
        self._found = Metadata()
        self._digest = b""
        self._more: dict[int, bytes] = {}
        self._more_bytes = 0

    def is_wanted(self, head: bytes) -> bool:
        """Returns whether to note the segment that begins with `head`. Of EXIF and XMP the first counts."""
        if head.startswith(_EXIF):
            return self._found.exif is None
        if head.startswith(XMP_MARK):
            return not self._found.xmp
        if head.startswith(_MORE_XMP):
            return self._more_bytes < MAX_XMP_BYTES
        return head.startswith(PHOTOSHOP_START) and len(self._found.photoshop) < MAX_IPTC_BYTES

    def note(self, body: bytes) -> None:
        """Notes a segment. body: of a wanted segment, whole."""
        if body.startswith(_EXIF):
            self._found.exif = exif_tags(body)
        elif body.startswith(XMP_MARK):
            self._found.xmp = [body.removeprefix(XMP_MARK)]
        elif body.startswith(_MORE_XMP):
            self._note_more(body.removeprefix(_MORE_XMP))
        elif body.startswith(PHOTOSHOP_START):
            self._found.photoshop += body.removeprefix(PHOTOSHOP_START)

    def capture(self) -> CaptureFacts:
        # An extension belongs to the packet that names its digest. Editors leave extensions of older packets.
        if self._more and any(self._digest in packet for packet in self._found.xmp):
            self._found.xmp.append(b"".join(self._more[at] for at in sorted(self._more)))
        return self._found.capture()

    def _note_more(self, body: bytes) -> None:
        if len(body) < _DIGEST_BYTES + 8:
            return
        digest, piece = body[:_DIGEST_BYTES], body[_DIGEST_BYTES + 8 :]
        (at,) = struct.unpack_from(">I", body, _DIGEST_BYTES + 4)
        self._more_bytes += len(body)
        self._digest = self._digest or digest
        if digest == self._digest:
            self._more.setdefault(at, piece)
