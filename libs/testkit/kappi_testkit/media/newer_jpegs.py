"""Pictures in JPEG XL and JPEG 2000 with the metadata of a camera, and headers that no encoder writes."""

from __future__ import annotations

from typing import Final

import imagecodecs
from PIL import Image

from kappi_testkit.media.containers import box
from kappi_testkit.media.samples import Shot, encode, stored

JXL_START: Final = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \x00\x00\x00\x00jxl ")


def exif_of(shot: Shot) -> bytes:
    """Returns the TIFF structure alone."""
    return shot.exif().removeprefix(b"Exif\x00\x00")


def packed_jpeg(body: bytes) -> bytes:
    """Returns a JPEG packed without loss into JPEG XL."""
    return bytes(imagecodecs.jpegxl_encode_jpeg(body))


def located_jxl(picture: Image.Image, shot: Shot) -> bytes:
    """Returns the picture with EXIF behind it. A packed JPEG gives its orientation to the codestream."""
    packed = packed_jpeg(encode(picture, "JPEG", shot=Shot(orientation=shot.orientation)))
    return packed + box(b"Exif", bytes(4), exif_of(shot))


def located_jp2(picture: Image.Image, shot: Shot) -> bytes:
    """Returns the picture with EXIF before it."""
    body = encode(stored(picture, shot.orientation), "JPEG2000")
    at = body.index(b"jp2c") - 4
    return body[:at] + box(b"uuid", b"JpgTiffExif->JP2", exif_of(shot)) + body[at:]


class JxlBits:
    """Writes the header of a codestream, the lowest bit of each byte first."""

    def __init__(self) -> None:
        self._number = 0
        self._length = 0

    def put(self, *fields: tuple[int, int]) -> JxlBits:
        """Appends numbers, each with its number of bits."""
        for number, length in fields:
            self._number |= number << self._length
            self._length += length
        return self

    def codestream(self, *, behind: int = 64) -> bytes:
        return b"\xff\x0a" + self._number.to_bytes((self._length + 7) // 8, "little") + bytes(behind)
