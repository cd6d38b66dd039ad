"""The content type of a file by its first bytes or, where those say nothing, by its name.

The server identifies each file again, and strictly. This module only has to name the right family of formats.
Sources: the formats' specifications; ISO/IEC 14496-12 and mp4ra.org for brands.
"""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 4096
UNKNOWN: Final = "application/octet-stream"
ACCEPTED: Final = (
    "JPEG, PNG, GIF, WebP, BMP, HEIC/HEIF, AVIF, TIFF, JPEG XL, JPEG 2000, "
    "CR2, CR3, CRW, NEF, NRW, ARW, SR2, DNG, RAF, ORF, RW2, PEF, 3FR, IIQ, "
    "MP4, MOV, M4V, 3GP, WebM, MKV, AVI, MPEG-TS or WMV"
)
"""The accepted formats, for people to read."""

CONTENT_TYPES: Final = {
    ".3fr": "image/x-hasselblad-3fr",
    ".3g2": "video/3gpp2",
    ".3gp": "video/3gpp",
    ".arw": "image/x-sony-arw",
    ".asf": "video/x-ms-asf",
    ".avi": "video/x-msvideo",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".cr2": "image/x-canon-cr2",
    ".cr3": "image/x-canon-cr3",
    ".crw": "image/x-canon-crw",
    ".dng": "image/x-adobe-dng",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".hif": "image/heic",
    ".iiq": "image/x-phaseone-iiq",
    ".j2c": "image/jp2",
    ".j2k": "image/jp2",
    ".jp2": "image/jp2",
    ".jpeg": "image/jpeg",
    ".jpf": "image/jp2",
    ".jpg": "image/jpeg",
    ".jpx": "image/jp2",
    ".jxl": "image/jxl",
    ".m2ts": "video/mp2t",
    ".m4v": "video/x-m4v",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".mts": "video/mp2t",
    ".nef": "image/x-nikon-nef",
    ".nrw": "image/x-nikon-nrw",
    ".orf": "image/x-olympus-orf",
    ".pef": "image/x-pentax-pef",
    ".png": "image/png",
    ".raf": "image/x-fuji-raf",
    ".rw2": "image/x-panasonic-rw2",
    ".sr2": "image/x-sony-sr2",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".ts": "video/mp2t",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".wmv": "video/x-ms-wmv",
}
"""By suffix, in lower case."""

CAMERA_RAW: Final = frozenset(each for each in CONTENT_TYPES.values() if each.startswith("image/x-"))

_STARTS: Final = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"II+\x00": "image/tiff",
    b"MM\x00+": "image/tiff",
    b"FUJIFILMCCD-RAW ": "image/x-fuji-raf",
    b"IIRO": "image/x-olympus-orf",
    b"IIRS": "image/x-olympus-orf",
    b"MMOR": "image/x-olympus-orf",
    b"IIU\x00": "image/x-panasonic-rw2",
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"): "video/x-ms-wmv",
    b"\xff\x0a": "image/jxl",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "image/jxl",
    b"\xff\x4f\xff\x51": "image/jp2",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "image/jp2",
}
_LONGEST_DIB_HEADER: Final = 124
# Packets of an MPEG transport stream: position of the first sync byte, and bytes from one to the next.
_PACKETS: Final = ((0, 188), (4, 192))
_SYNC, _FEWEST_PACKETS = b"G", 5
_QUICKTIME_BOXES: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_IMAGE_BRANDS: Final = frozenset({b"mif1", b"msf1", b"mif2"}) | _AVIF_BRANDS | _HEIC_BRANDS
# Sound: its files often list `mp42` or `isom` as compatible.
_OTHER_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"jxl ", b"jp2 "})
_MP4_BRANDS: Final = frozenset({b"MSNV", b"XAVC", b"avc1", b"cmfc", b"dash", b"f4v ", b"hvc1", b"mmp4"})


def content_type_of(head: bytes) -> str | None:
    """Returns the content type of a file that starts with `head`, or None for an unknown format."""
    for start, content_type in _STARTS.items():
        if head.startswith(start):
            return content_type
    if head[6:14] == b"HEAPCCDR":
        return "image/x-canon-crw"
    if head.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}.get(head[8:12])
    if head.startswith(b"BM"):
        return "image/bmp" if 0 < int.from_bytes(head[14:18], "little") <= _LONGEST_DIB_HEADER else None
    if head.startswith(b"\x1aE\xdf\xa3"):
        start = head[:64]
        return "video/webm" if b"webm" in start else "video/x-matroska" if b"matroska" in start else None
    if any(_is_run(head[first::stride]) for first, stride in _PACKETS):
        return "video/mp2t"
    if head[4:8] == b"ftyp":
        return _by_brands(head)
    return "video/quicktime" if head[4:8] in _QUICKTIME_BOXES else None


def _is_run(syncs: bytes) -> bool:
    return len(syncs) >= _FEWEST_PACKETS and syncs.count(_SYNC) == len(syncs)


def _by_brands(head: bytes) -> str | None:
    size = int.from_bytes(head[:4], "big")
    major = head[8:12]
    brands = {major, *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))}
    if major in _OTHER_BRANDS:
        return None
    if major == b"crx ":
        return "image/x-canon-cr3"
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
