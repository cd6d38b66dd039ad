"""Codecs by the four letters that Windows names them with, in AVI and ASF (the names are FFprobe's)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

BITMAP_HEADER_BYTES: Final = 40
_LETTERS: Final = {
    "h264": "H264 X264 AVC1 DAVC VSSH",
    "hevc": "HEVC H265 HVC1 HEV1",
    "mpeg4": "FMP4 DIVX DX50 XVID MP4S M4S2 MP4V 3IV2 XVIX UMP4 RMP4 SEDG",
    "msmpeg4v1": "MPG4 MP41",
    "msmpeg4v2": "MP42 DIV2",
    "msmpeg4v3": "MP43 DIV3 DIV4 DIV5 DIV6 MPG3 DVX3 AP41 COL0 COL1",
    "wmv1": "WMV1",
    "wmv2": "WMV2",
    "wmv3": "WMV3",
    "vc1": "WVC1 WMVA",
    "mjpeg": "MJPG AVRN DMB1 JPGL JPEG IJPG",
    "mpeg1video": "MPG1 PIM1",
    "mpeg2video": "MPG2 MPEG MMES",
    "dvvideo": "DVSD DVHD DVH1 DVSL DV25 DV50 CDVC CDVH DVCP DVCS",
    "cinepak": "CVID",
    "indeo3": "IV31 IV32",
    "indeo5": "IV50",
    "msvideo1": "CRAM MSVC",
    "huffyuv": "HFYU",
    "ffvhuff": "FFVH",
    "ffv1": "FFV1",
    "utvideo": "ULRA ULRG ULY0 ULY2 ULY4 ULH0 ULH2 ULH4",
    "lagarith": "LAGS",
    "magicyuv": "MAGY M8RG M8RA M8Y0 M8Y2 M8Y4",
    "rawvideo": "DIB RGB YUY2 YUYV I420 IYUV YV12 UYVY Y800",
    "png": "MPNG",
    "h263": "H263 U263",
    "flv1": "FLV1",
    "vp6": "VP60 VP61 VP62",
    "vp8": "VP80",
    "vp9": "VP90",
    "av1": "AV01",
    "theora": "THEO",
}
_CODECS: Final = {
    letters: codec for codec, all_letters in _LETTERS.items() for letters in all_letters.split()
}
_NO_COMPRESSION: Final = frozenset({bytes(4), b"\x03\x00\x00\x00"})


class Bitmap(NamedTuple):
    """A `BITMAPINFOHEADER`. A negative height in the file says that the rows start at the top."""

    width: int
    height: int
    codec: str


def bitmap_of(header: bytes) -> Bitmap:
    """Returns what a header of at least 40 bytes tells."""
    width, height = struct.unpack_from("<ii", header, 4)
    return Bitmap(abs(width), abs(height), codec_of(header[16:20]))


def codec_of(letters: bytes) -> str:
    """Returns the codec, or the letters in lower case for a codec without a name here."""
    if letters in _NO_COMPRESSION:
        return "rawvideo"
    name = letters.decode("latin-1").strip(" \0")
    known = _CODECS.get(name.upper())
    return known or (name.lower() if name.isascii() and name.isalnum() else "unknown")
