"""The records of a ZIP file, byte for byte. Source: PKWARE's APPNOTE 6.3.10, Info-ZIP's extra field 0x5455.

Every field is known before the file's bytes follow, so there are no data descriptors: several readers, among
them the one with which Macs open ZIPs, do not understand them on stored files (ADR-0018).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kappi_media.archive.times import EntryTime

MAX_32 = 0xFFFF_FFFF
"""In a field of 32 bits this value refers to the Zip64 extra field, so it is no value itself."""
MAX_16 = 0xFFFF

_LOCAL = struct.Struct("<IHHHIIIIHH")
_CENTRAL = struct.Struct("<IHHHHIIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_END_64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR_64 = struct.Struct("<IIQI")
_ZIP64_ID, _TIME_ID = 0x0001, 0x5455
_UTF8 = 1 << 11
_STORED = 0
_PLAIN_VERSION, _ZIP64_VERSION = 20, 45
_MADE_ON_UNIX = 3 << 8 | _ZIP64_VERSION
_REGULAR_FILE = 0o100644 << 16
_MODIFIED = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as the archive describes it. name: UTF-8."""

    name: bytes
    size_bytes: int
    time: EntryTime

    @property
    def is_large(self) -> bool:
        return self.size_bytes >= MAX_32


def local_header(entry: Entry, crc32: int) -> bytes:
    """Returns the record before a file's bytes."""
    sizes: tuple[int, ...] = ()
    shown = entry.size_bytes
    if entry.is_large:
        sizes, shown = (entry.size_bytes, entry.size_bytes), MAX_32
    extra = _extra(entry, sizes)
    return (
        _LOCAL.pack(
            0x04034B50,
            _version(sizes),
            _UTF8,
            _STORED,
            entry.time.dos,
            crc32,
            shown,
            shown,
            len(entry.name),
            len(extra),
        )
        + entry.name
        + extra
    )


def local_header_bytes(entry: Entry) -> int:
    """Returns the length of the local header."""
    return _LOCAL.size + len(entry.name) + _extra_bytes(entry, 2 * entry.is_large)


def central_header(entry: Entry, crc32: int, *, offset: int) -> bytes:
    """Returns the directory's record of a file. offset: of its local header."""
    wide: tuple[int, ...] = ()
    size = shown_offset = MAX_32
    if entry.is_large:
        wide += (entry.size_bytes, entry.size_bytes)
    else:
        size = entry.size_bytes
    if offset >= MAX_32:
        wide += (offset,)
    else:
        shown_offset = offset
    extra = _extra(entry, wide)
    return (
        _CENTRAL.pack(
            0x02014B50,
            _MADE_ON_UNIX,
            _version(wide),
            _UTF8,
            _STORED,
            entry.time.dos,
            crc32,
            size,
            size,
            len(entry.name),
            len(extra),
            0,
            0,
            0,
            _REGULAR_FILE,
            shown_offset,
        )
        + entry.name
        + extra
    )


def central_header_bytes(entry: Entry, *, offset: int) -> int:
    """Returns the length of the central header."""
    return _CENTRAL.size + len(entry.name) + _extra_bytes(entry, 2 * entry.is_large + (offset >= MAX_32))


def end_of_directory(*, entries: int, size_bytes: int, offset: int) -> bytes:
    """Returns the end of the archive. size_bytes, offset: of the directory."""
    end = _END.pack(
        0x06054B50,
        0,
        0,
        min(entries, MAX_16),
        min(entries, MAX_16),
        min(size_bytes, MAX_32),
        min(offset, MAX_32),
        0,
    )
    if entries < MAX_16 and size_bytes < MAX_32 and offset < MAX_32:
        return end
    wide = _END_64.pack(
        0x06064B50,
        _END_64.size - 12,
        _MADE_ON_UNIX,
        _ZIP64_VERSION,
        0,
        0,
        entries,
        entries,
        size_bytes,
        offset,
    )
    return wide + _LOCATOR_64.pack(0x07064B50, 0, offset + size_bytes, 1) + end


def _version(wide: tuple[int, ...]) -> int:
    return _ZIP64_VERSION if wide else _PLAIN_VERSION


def _extra(entry: Entry, wide: tuple[int, ...]) -> bytes:
    extra = b""
    if wide:
        extra = struct.pack(f"<HH{len(wide)}Q", _ZIP64_ID, 8 * len(wide), *wide)
    if entry.time.instant is not None:
        extra += struct.pack("<HHBi", _TIME_ID, 5, _MODIFIED, entry.time.instant)
    return extra


def _extra_bytes(entry: Entry, wide: int) -> int:
    return (4 + 8 * wide if wide else 0) + (0 if entry.time.instant is None else 9)
