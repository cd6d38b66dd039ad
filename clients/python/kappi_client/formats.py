"""The content type of a file by its first bytes or, where those say nothing, by its name.

The server identifies each file again, and strictly. This module only has to name the right family of formats.
Sources: the formats' specifications; ISO/IEC 14496-12 and mp4ra.org for brands.
"""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 4096
UNKNOWN: Final = "application/octet-stream"
ACCEPTED: Final = (
    "JPEG, PNG, GIF, WebP, BMP, HEIC/HEIF, AVIF, TIFF, JPEG XL, JPEG 2000, MP4, MOV, M4V, 3GP, WebM or MKV"
)
"""The accepted formats, for people to read."""

CONTENT_TYPES: Final = {
    ".3g2": "video/3gpp2",
    ".3gp": "video/3gpp",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".hif": "image/heic",
    ".j2c": "image/jp2",
    ".j2k": "image/jp2",
    ".jp2": "image/jp2",
    ".jpeg": "image/jpeg",
    ".jpf": "image/jp2",
    ".jpg": "image/jpeg",
    ".jpx": "image/jp2",
    ".jxl": "image/jxl",
    ".m4v": "video/x-m4v",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
"""By suffix, in lower case."""

_STARTS: Final = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"II+\x00": "image/tiff",
    b"MM\x00+": "image/tiff",
    b"\xff\x0a": "image/jxl",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "image/jxl",
    b"\xff\x4f\xff\x51": "image/jp2",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "image/jp2",
}
_LONGEST_DIB_HEADER: Final = 124
_QUICKTIME_BOXES: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_IMAGE_BRANDS: Final = frozenset({b"mif1", b"msf1", b"mif2"}) | _AVIF_BRANDS | _HEIC_BRANDS
# Sound and RAW photographs: their files often list `mp42` or `isom` as compatible.
_OTHER_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"crx ", b"jxl ", b"jp2 "})
_MP4_BRANDS: Final = frozenset({b"MSNV", b"XAVC", b"avc1", b"cmfc", b"dash", b"f4v ", b"hvc1", b"mmp4"})


def content_type_of(head: bytes) -> str | None:
    """Returns the content type of a file that starts with `head`, or None for an unknown format."""
    for start, content_type in _STARTS.items():
        if head.startswith(start):
            return content_type
    if head.startswith(b"RIFF"):
        return "image/webp" if head[8:12] == b"WEBP" else None
    if head.startswith(b"BM"):
        return "image/bmp" if 0 < int.from_bytes(head[14:18], "little") <= _LONGEST_DIB_HEADER else None
    if head.startswith(b"\x1aE\xdf\xa3"):
        start = head[:64]
        return "video/webm" if b"webm" in start else "video/x-matroska" if b"matroska" in start else None
    if head[4:8] == b"ftyp":
        return _by_brands(head)
    return "video/quicktime" if head[4:8] in _QUICKTIME_BOXES else None


def _by_brands(head: bytes) -> str | None:
    size = int.from_bytes(head[:4], "big")
    major = head[8:12]
    brands = {major, *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))}
    if major in _OTHER_BRANDS:
        return None
    if major in _IMAGE_BRANDS:
        if brands & _AVIF_BRANDS:
            return "image/avif"
        return "image/heic" if brands & _HEIC_BRANDS else None
    if major.startswith((b"3g", b"M4V")):
        return "video/3gpp" if major.startswith(b"3g") else "video/x-m4v"
    if major == b"qt  ":
        return "video/quicktime"
    if any(brand in _MP4_BRANDS or brand.startswith((b"iso", b"mp4", b"mp7")) for brand in brands):
        return "video/mp4"
    return "video/quicktime" if b"qt  " in brands else None
