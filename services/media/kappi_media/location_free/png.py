"""Places out of a PNG: eXIf and XMP in place, other chunks that tell one emptied; checksums set right."""

from __future__ import annotations

import binascii
import re
import struct
import zlib
from typing import Final

from kappi_media.location_free.edits import MAX_VALUE_BYTES, Outside, Region, Unremovable
from kappi_media.location_free.tiff import clean_tiff
from kappi_media.location_free.xmp import clean_xmp, cleaned_xmp

_XMP_KEYWORD: Final = b"XML:com.adobe.xmp"
_RAW_PROFILE: Final = b"Raw profile type "
_TELLING_KEYWORD: Final = re.compile(rb"gps|latitude|longitude|location", re.IGNORECASE)
# Ancillary, private, safe to copy: whoever reads PNG passes over it.
_EMPTY_CHUNK: Final = b"paDd"
_MAX_CHUNKS: Final = 100_000
_MAX_TEXT_BYTES: Final = 8 << 20


async def clean_png(region: Region) -> None:
    position = 8
    for _ in range(_MAX_CHUNKS):
        if position + 12 > region.size_bytes:
            return
        length, name = struct.unpack(">I4s", await region.read(position, 8))
        if name == b"IEND":
            return
        if name in _CLEANERS or name == b"eXIf":
            chunk = region.part(position, 12 + length)
            await _clean_chunk(chunk, name, length)
        position += 12 + length
    raise Unremovable("too many chunks")


async def _clean_chunk(chunk: Region, name: bytes, length: int) -> None:
    body = chunk.part(8, length)
    if name == b"eXIf":
        # Some writers keep the prefix that belongs to JPEG.
        skipped = 6 if length > 6 and await body.read(0, 4) == b"Exif" else 0
        await clean_tiff(body.part(skipped, length - skipped))
    elif await _is_xmp_in_clear(body, name):
        await clean_xmp(body.part(await _text_at(body), length - await _text_at(body)))
    elif await _tells(body, name):
        await chunk.write(4, _EMPTY_CHUNK + bytes(length))
    checksum = zlib.crc32(await chunk.read(4, 4 + length))
    await chunk.write(8 + length, struct.pack(">I", checksum))


async def _is_xmp_in_clear(body: Region, name: bytes) -> bool:
    if name != b"iTXt" or body.size_bytes < len(_XMP_KEYWORD) + 5:
        return False
    return await body.read(0, len(_XMP_KEYWORD) + 2) == _XMP_KEYWORD + b"\0\0"


async def _text_at(body: Region) -> int:
    """Behind keyword, compression, language and translated keyword."""
    block = await body.read_all()
    language_end = block.find(b"\0", len(_XMP_KEYWORD) + 3)
    end = block.find(b"\0", language_end + 1)
    if language_end < 0 or end < 0:
        raise Outside("text without an end")
    return end + 1


async def _tells(body: Region, name: bytes) -> bool:
    """Whether a text chunk holds a place, or cannot be read."""
    block = await body.read_all()
    keyword, separator, rest = block.partition(b"\0")
    if not separator:
        return False
    text = _text(name, rest)
    if _TELLING_KEYWORD.search(keyword) or text is None:
        return True
    if keyword == _XMP_KEYWORD:
        return cleaned_xmp(text) != text
    if keyword.startswith(_RAW_PROFILE):
        # Hexadecimal after a title and a length. EXIF and IPTC in it are not taken apart: they go whole.
        return keyword.removeprefix(_RAW_PROFILE).strip().lower() in _PROFILES or _profile_tells(text)
    return False


_PROFILES: Final = frozenset({b"exif", b"app1", b"iptc", b"8bim"})


def _profile_tells(text: bytes) -> bool:
    try:
        profile = binascii.unhexlify(b"".join(text.split()[2:]))
    except (binascii.Error, ValueError):
        return True
    return cleaned_xmp(profile) != profile


def _text(name: bytes, rest: bytes) -> bytes | None:
    """The text of a chunk, unpacked; None where that is impossible."""
    if name == b"tEXt":
        return rest
    if name == b"zTXt":
        return _unpacked(rest[1:])
    packed = rest[:1] == b"\1"
    _, _, after_language = rest[2:].partition(b"\0")
    _, _, text = after_language.partition(b"\0")
    return _unpacked(text) if packed else text


def _unpacked(packed: bytes) -> bytes | None:
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(packed, _MAX_TEXT_BYTES)
    except zlib.error:
        return None
    return None if unpacking.unconsumed_tail else text


_CLEANERS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt"})
assert _MAX_TEXT_BYTES <= MAX_VALUE_BYTES
