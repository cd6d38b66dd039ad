"""Recognises the format of a file by its first bytes, and ignores its name and declared type.

It is strict on purpose: an uncertain file has no format, so an executable, an archive, SVG, HTML or PDF never
passes as a picture. Sources: specifications of the formats; ISO/IEC 14496-12 and mp4ra.org for brands.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from kappi_mediameta.containers import asf_objects
from kappi_mediameta.containers.ebml import element_at, parts, string
from kappi_mediameta.containers.jpeg2000 import CODESTREAM_START, FILE_START
from kappi_mediameta.containers.transport_packets import layout_of
from kappi_mediameta.probing.camera_raw.marks import raw_format
from kappi_mediameta.probing.formats import MediaFormat

SNIFF_BYTES: Final = 4096  # the start of a file that `sniff` reads

_JPEG_START: Final = re.compile(rb"\xff\xd8\xff+[\xc0-\xfe]")  # any number of fill bytes may precede a marker
_PNG_START: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_DIB_HEADER_SIZES: Final = frozenset({12, 40, 52, 56, 108, 124})
_CORE_HEADER_BYTES: Final = 12
_BMP_DEPTHS: Final = frozenset({0, 1, 2, 4, 8, 16, 24, 32})  # 0 where the pixels are a JPEG or PNG
_OS2_HEADER_SIZES: Final = range(16, 65)  # a writer may leave out any of the last fields
_JXL_CODESTREAM: Final = b"\xff\x0a"
_LEAST_JXL_BYTES: Final = 12
_JXL_FILE: Final = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_DOC_TYPE: Final = 0x4282
_DOC_TYPES: Final = {"webm": MediaFormat.WEBM, "matroska": MediaFormat.MKV}
_SPACER_BOXES: Final = frozenset({b"wide", b"free", b"skip"})
_MAX_SPACE_BYTES: Final = 1 << 29  # as a number smaller than any letters
_ASF_RESERVED: Final = b"\x01\x02"
_SEEN_BYTES: Final = 64  # a first box, its brands included

_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_IMAGE_COLLECTION_BRANDS: Final = frozenset({b"mif1", b"msf1", b"mif2"})
_M4V_BRANDS: Final = frozenset({b"M4V ", b"M4VH", b"M4VP"})
# Sound and JPEG XL use the same container and often list `mp42` or `isom` as compatible.
_FOREIGN_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"crx ", b"jxl ", b"jp2 "})
_MP4_BRANDS: Final = frozenset(
    b"isom mp41 mp42 mp71 avc1 dash MSNV mmp4 XAVC cmfc hvc1 iso2 iso3 iso4 iso5 iso6 iso7 iso8 iso9".split()
) | {b"f4v "}


def sniff(head: bytes) -> MediaFormat | None:
    """Returns the format of a file, or None. head: its first `SNIFF_BYTES`, or all of a shorter file."""
    if _JPEG_START.match(head):
        return MediaFormat.JPEG
    if head.startswith(_PNG_START):
        return MediaFormat.PNG
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 13:
        return MediaFormat.GIF
    if head.startswith(b"RIFF"):
        return MediaFormat.WEBP if _is_webp(head) else MediaFormat.AVI if _is_avi(head) else None
    if head.startswith(b"BM"):
        return MediaFormat.BMP if _is_bmp(head) else None
    if (raw := raw_format(head)) is not None:
        return raw
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return MediaFormat.TIFF
    if head.startswith(_JXL_CODESTREAM):
        return MediaFormat.JXL if len(head) >= _LEAST_JXL_BYTES else None
    if head.startswith(CODESTREAM_START):
        return MediaFormat.JP2
    if head.startswith((_JXL_FILE, FILE_START)):
        return _jpeg_format(head)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _matroska_format(head)
    if head.startswith(asf_objects.HEADER):
        return MediaFormat.WMV if head[28:30] == _ASF_RESERVED and len(head) >= _SEEN_BYTES else None
    if layout_of(head) is not None:
        return MediaFormat.MPEG_TS
    return _boxed_format(head)


def _boxed_format(head: bytes) -> MediaFormat | None:
    """Returns the format of a file of boxes, which may begin with empty space of any size."""
    position = 0
    while head[position + 4 : position + 8] in _SPACER_BOXES and len(head) >= position + 16:
        size, _, long_size = struct.unpack_from(">I4sQ", head, position)
        size, least = (long_size, 16) if size == 1 else (size, 8)
        if not least <= size <= _MAX_SPACE_BYTES:
            return None
        position += size
        if position > len(head) - _SEEN_BYTES and len(head) >= SNIFF_BYTES:
            # The next box is not in `head`. Most such files are MOV, and `probe` reads on.
            return MediaFormat.MOV
    head = head[position:]
    if head[4:8] == b"ftyp":
        return _iso_media_format(head)
    return MediaFormat.MOV if _is_bare_quicktime(head) else None


def _is_webp(head: bytes) -> bool:
    if len(head) < 20 or head[8:12] != b"WEBP" or head[12:16] not in (b"VP8 ", b"VP8L", b"VP8X"):
        return False
    (riff_size,) = struct.unpack_from("<I", head, 4)
    return int(riff_size) >= 12


def _is_avi(head: bytes) -> bool:
    return head[8:16] == b"AVI LIST" and head[20:28] == b"hdrlavih" and len(head) >= _SEEN_BYTES


def _is_bmp(head: bytes) -> bool:
    if len(head) < 30:
        return False
    pixels_at, dib_size = struct.unpack_from("<II", head, 10)
    if dib_size not in _DIB_HEADER_SIZES and dib_size not in _OS2_HEADER_SIZES:
        return False
    # Writers leave any value in the file size and in the reserved words before it.
    planes, depth = struct.unpack_from("<HH", head, 22 if dib_size == _CORE_HEADER_BYTES else 26)
    return planes == 1 and depth in _BMP_DEPTHS and 14 + dib_size <= pixels_at <= (1 << 20)


def _jpeg_format(head: bytes) -> MediaFormat | None:
    """Returns the format of a file of boxes that begins with the signature of a JPEG standard."""
    size, name = struct.unpack_from(">I4s", head.ljust(20, b"\x00"), len(FILE_START))
    at = len(FILE_START) + 8
    if name != b"ftyp" or not 12 <= size <= SNIFF_BYTES or size % 4 or len(head) < at + size - 8:
        return None
    brands = {head[at : at + 4], *(head[other : other + 4] for other in range(at + 8, at + size - 8, 4))}
    if head.startswith(_JXL_FILE):
        return MediaFormat.JXL if b"jxl " in brands else None
    return MediaFormat.JP2 if b"jp2 " in brands else None


def _matroska_format(head: bytes) -> MediaFormat | None:
    """Returns the format by the type in the first element. Lengths may be of any number of bytes."""
    first = element_at(head, 0)
    if first is None or first.end is None:
        return None
    name = dict(parts(head[first.start : first.end])).get(_DOC_TYPE, b"")
    return _DOC_TYPES.get(string(name))


def _iso_media_format(head: bytes) -> MediaFormat | None:
    (size,) = struct.unpack_from(">I", head)
    start = 8
    if size == 1 and len(head) >= 16:  # the size is the 64-bit number that follows
        (size,), start = struct.unpack_from(">Q", head, 8), 16
    if size < start + 8 or size > SNIFF_BYTES or size % 4 or len(head) < size:
        return None
    major = head[start : start + 4]
    brands = {major, *(head[at : at + 4] for at in range(start + 8, size, 4))}
    if major in _FOREIGN_BRANDS:
        return None
    if major in _AVIF_BRANDS | _HEIC_BRANDS | _IMAGE_COLLECTION_BRANDS:
        if brands & _AVIF_BRANDS:
            return MediaFormat.AVIF
        return MediaFormat.HEIC if brands & _HEIC_BRANDS else None
    if major == b"qt  ":
        return MediaFormat.MOV
    if major in _M4V_BRANDS:
        return MediaFormat.M4V
    if major[:3] in (b"3gp", b"3g2", b"3ge", b"3gg", b"3gs"):
        return MediaFormat.THREE_GP
    if brands & _MP4_BRANDS:
        return MediaFormat.MP4
    return MediaFormat.MOV if b"qt  " in brands else None


def _is_bare_quicktime(head: bytes) -> bool:
    """Returns whether a file is QuickTime without `ftyp`, by a known first box of a plausible size."""
    if len(head) < 16:
        return False
    size, name = struct.unpack_from(">I4s", head)
    if name == b"moov":
        return size >= 16 and head[12:16] in (b"mvhd", b"cmov")
    if name == b"mdat":
        return bool(size >= 8 or size == 1)
    return bool(name == b"pnot" and size == 20)
