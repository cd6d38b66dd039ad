"""Metadata in a PNG's text chunks: XMP, description and time by the keywords of the specification, and
profiles in hexadecimal digits, as ImageMagick writes them.

Source: W3C PNG, third edition; XMP specification part 3; ImageMagick's `Raw profile type …`.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from kappi_mediameta.probing.annotations import Annotations, clean_caption
from kappi_mediameta.probing.exif import exif_tags
from kappi_mediameta.probing.iptc import records_of, resources
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.written import written_time
from kappi_mediameta.probing.xmp import MAX_XMP_BYTES, XMP_MARK

TEXT_CHUNKS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt"})
MAX_KEYWORD_BYTES: Final = 79
_MAX_TEXTS: Final = 8
_MAX_TEXT_BYTES: Final = 2 * MAX_XMP_BYTES + 256
"""The limit of an unpacked profile: two digits stand for a byte."""
_MAX_SAID_BYTES: Final = 8 << 10
_XMP_KEYWORD: Final = b"XML:com.adobe.xmp"
_PROFILE: Final = re.compile(rb"raw profile type (exif|app1|xmp|iptc|8bim)", re.IGNORECASE)
# A name and a length, each on a line, then digits in lines.
_PROFILE_TEXT: Final = re.compile(rb"\s{0,8}[^\n]{1,40}\n\s{0,32}(\d{1,9})\s([0-9A-Fa-f\s]*)")
_DESCRIPTION, _CREATION_TIME = b"Description", b"Creation Time"


def is_wanted(head: bytes) -> bool:
    """Returns whether a text chunk with this start holds metadata. Keywords are any text in Latin-1."""
    keyword, separator, _ = head.partition(b"\x00")
    known = keyword in (_XMP_KEYWORD, _DESCRIPTION, _CREATION_TIME)
    return separator != b"" and (known or _PROFILE.fullmatch(keyword) is not None)


class PngMetadata:
    """Metadata of a PNG. A text may unpack to a thousand times its size, so few texts are unpacked."""

    def __init__(self) -> None:
        self.found = Metadata()
        self._texts_left = _MAX_TEXTS

    def note(self, name: bytes, body: bytes) -> None:
        """Notes a chunk of EXIF or of text before the pixels."""
        if name == b"eXIf":
            self.found.exif = exif_tags(body)
        else:
            self._note_text(name, body)

    def note_behind(self, name: bytes, body: bytes) -> None:
        """Notes a chunk of EXIF or of text behind the pixels."""
        if name == b"eXIf":
            # Browsers and libvips show a PNG as it arrives, and turn it by the EXIF before the pixels.
            self.found.secondary_exif = exif_tags(body)
        else:
            self._note_text(name, body)

    def _note_text(self, name: bytes, body: bytes) -> None:
        if not is_wanted(body[: MAX_KEYWORD_BYTES + 1]) or not self._texts_left:
            return
        self._texts_left -= 1
        keyword, _, rest = body.partition(b"\x00")
        text = _unpacked(name, rest)
        profile = _PROFILE.fullmatch(keyword)
        if profile is not None:
            self._note_profile(profile.group(1).lower(), _from_digits(text))
        elif keyword == _XMP_KEYWORD:
            self.found.xmp.append(text[:MAX_XMP_BYTES])
        else:
            said = text[:_MAX_SAID_BYTES].decode("utf-8" if name == b"iTXt" else "latin-1", "replace")
            self._note_said(keyword, said)

    def _note_said(self, keyword: bytes, said: str) -> None:
        found = self.found
        if keyword == _DESCRIPTION:
            found.texts = found.texts.or_else(Annotations(caption=clean_caption(said)))
        else:
            found.texts = found.texts.or_else(Annotations(digitized=written_time(said)))

    def _note_profile(self, kind: bytes, body: bytes) -> None:
        found = self.found
        if kind in (b"iptc", b"8bim"):
            if records_of(resources(body)):
                found.photoshop = found.photoshop or body
            else:
                found.iptc = found.iptc or body
        elif kind == b"xmp" or body.startswith(XMP_MARK):
            found.xmp.append(body.removeprefix(XMP_MARK))
        elif found.secondary_exif is None:
            found.secondary_exif = exif_tags(body)


def _unpacked(name: bytes, rest: bytes) -> bytes:
    """Returns the text behind the keyword and its zero byte, or nothing where it is damaged."""
    if name == b"tEXt":
        return rest
    if name == b"zTXt":
        return _inflated(rest[1:])
    packed = rest[:1] == b"\x01"
    *_, text = rest[2:].split(b"\x00", 2)
    return _inflated(text) if packed else text


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MAX_TEXT_BYTES)
    except zlib.error:
        return b""


def _from_digits(text: bytes) -> bytes:
    match = _PROFILE_TEXT.match(text)
    if match is None:
        return b""
    digits = b"".join(match.group(2).split())[: 2 * min(int(match.group(1)), MAX_XMP_BYTES)]
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
