"""Refuses files that are a picture and also something else: an archive, a document, a script.

Readers of pictures ignore the hidden part, so such a file would pass, and a person who downloads it could
run or unpack it. Phones append to pictures (the MP4 of a motion photo, depth maps, trailers of makers): such
files pass. Only parts that another program would open are refused. A mark of another format alone is not
enough: captions contain HTML, and the width of a GIF may look like a sign. `docs/formats.md` lists the rules.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

# PDF readers search their mark in the first kilobyte, browsers search markup in about the first 512 bytes.
_HEAD_BYTES: Final = 1024
_DOCUMENTS: Final = (
    re.compile(rb"%pdf-\d\.\d\s*(%[^\r\n]*\s*)?\d+\s+\d+\s+obj\b"),
    re.compile(rb"<script\b[^<>]*>[^\x00]+</script"),
    re.compile(rb"<[a-z][^<>]*[\s/\"']on(load|error|click|focus|begin|toggle|mouse\w+|pointer\w+)\s*="),
    re.compile(rb"<\?php\s[^\x00]*?(\?>|;|\()"),
)
# A GIF that is a script: its width is the sign of an assignment or of a comment, which hides the pixels.
_SCRIPTED_GIF: Final = re.compile(rb"GIF8[79]a(?:=[\t\n\r -~]*?(/\*|[\"'`])|(/\*))")
_COMMENT_END: Final = b"*/"
_TAR_MARK_AT: Final = 257
# Self-extracting archives begin with a program, so their readers search the archive this far and further.
# The end is searched, too, because an archive may follow a longer picture.
_ARCHIVE_BYTES: Final = 64 << 10
_ARCHIVE_MARKS: Final = (b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00", b"7z\xbc\xaf\x27\x1c")

_ZIP_END: Final = b"PK\x05\x06"
_ZIP_END_BYTES: Final = 22
_ZIP_DIRECTORY_ENTRY: Final = b"PK\x01\x02"
_ZIP_DIRECTORY_ENTRY_BYTES: Final = 46
_ZIP64_LOCATOR: Final = b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES: Final = 20
_MAX_ZIP_COMMENT_BYTES: Final = 0xFFFF
_MAX_ZIP_ENDS: Final = 16  # no file has so many by chance


async def refuse_polyglots(reader: BlockReader) -> None:
    """Raises ProbeRejected `polyglot`. Reads the first block and the last, which most formats need, too."""
    head = await reader.read_upto(0, _ARCHIVE_BYTES)
    lowered = head[:_HEAD_BYTES].lower()
    tail = await reader.tail(_ZIP_END_BYTES + _MAX_ZIP_COMMENT_BYTES)
    if any(document.search(lowered) for document in _DOCUMENTS) or _is_script(head, tail):
        raise ProbeRejected(RejectReason.POLYGLOT, "document or script")
    if head[_TAR_MARK_AT : _TAR_MARK_AT + 5] == b"ustar" or any(
        mark in part for mark in _ARCHIVE_MARKS for part in (head, tail)
    ):
        raise ProbeRejected(RejectReason.POLYGLOT, "archive")
    if await _ends_a_zip(reader, tail):
        raise ProbeRejected(RejectReason.POLYGLOT, "ZIP")


def _is_script(head: bytes, tail: bytes) -> bool:
    start = _SCRIPTED_GIF.match(head)
    if start is None:
        return False
    opened = start.group(1) or start.group(2)
    end = _COMMENT_END if opened == b"/*" else opened
    return end in head[start.end() :] or end in tail


async def _ends_a_zip(reader: BlockReader, tail: bytes) -> bool:
    """Returns whether the tail has the end record of a ZIP, where readers of ZIPs search it."""
    at = len(tail)
    for _ in range(_MAX_ZIP_ENDS):
        at = tail.rfind(_ZIP_END, 0, at)
        if at < 0:
            return False
        record = tail[at : at + _ZIP_END_BYTES]
        if len(record) == _ZIP_END_BYTES and (
            _hangs_together(record)
            or await _leads_to_entries(reader, record, at=reader.size_bytes - len(tail) + at)
        ):
            return True
    return True


def _hangs_together(record: bytes) -> bool:
    """Returns whether the numbers of an end record agree, which they do not by chance. Then the record counts
    wherever its entries are hidden."""
    disk, directory_disk, here, entries, directory_bytes = struct.unpack_from("<HHHHI", record, 4)
    if (disk, directory_disk) not in ((0, 0), (0xFFFF, 0xFFFF)) or here != entries:
        return False
    return bool(entries == 0 or directory_bytes >= entries * _ZIP_DIRECTORY_ENTRY_BYTES or entries == 0xFFFF)


async def _leads_to_entries(reader: BlockReader, record: bytes, *, at: int) -> bool:
    """Returns whether an end record leads to entries. Then wrong numbers do not matter: unpackers ignore
    wrong disks and counts. They measure from the end record or from the start of the file."""
    directory_bytes, offset = struct.unpack_from("<II", record, 12)
    places = (at - directory_bytes, offset)
    return await _stands_at(reader, at - _ZIP64_LOCATOR_BYTES, _ZIP64_LOCATOR) or any(
        [await _stands_at(reader, place, _ZIP_DIRECTORY_ENTRY) for place in places]
    )


async def _stands_at(reader: BlockReader, position: int, mark: bytes) -> bool:
    if not 0 <= position <= reader.size_bytes - len(mark):
        return False
    return await reader.read(position, len(mark)) == mark
