"""Time, caption, keywords and title of IPTC records, which are in Photoshop's image resources.

Sources: IPTC-NAA Information Interchange Model 4.2; Adobe Photoshop File Formats Specification. Nothing here
raises: damaged parts are skipped.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Final

from kappi_mediameta.probing.annotations import Annotations, clean_caption, clean_keywords
from kappi_mediameta.probing.details import clean_title
from kappi_mediameta.probing.facts import Details
from kappi_mediameta.probing.written import WrittenTime, decoded, written_time

MAX_IPTC_BYTES: Final = 1 << 20
PHOTOSHOP_START: Final = b"Photoshop 3.0\x00"
_RESOURCE: Final = b"8BIM"
_RECORDS, _DIGEST = 0x0404, 0x0425
_MARK: Final = 0x1C
_MAX_DATASETS: Final = 10_000
_TITLE, _KEYWORD, _CAPTION = (2, 5), (2, 25), (2, 120)
_DATE, _TIME, _SCAN_DATE, _SCAN_TIME = (2, 55), (2, 60), (2, 62), (2, 63)


def resources(block: bytes) -> dict[int, bytes]:
    """Returns image resources by number, the first of each, of one or more segments in a row."""
    found: dict[int, bytes] = {}
    position = 0
    while (position := block.find(_RESOURCE, position)) >= 0 and position + 8 <= len(block):
        (number,) = struct.unpack_from(">H", block, position + 4)
        name_bytes = 1 + block[position + 6]
        size_at = position + 6 + name_bytes + (name_bytes & 1)
        size = int.from_bytes(block[size_at : size_at + 4], "big")
        body = block[size_at + 4 : size_at + 4 + size]
        position = size_at + 4 + len(body)
        found.setdefault(number, body)
    return found


def records_of(found: dict[int, bytes]) -> bytes:
    return found.get(_RECORDS, b"")


def is_changed(found: dict[int, bytes], records: bytes) -> bool:
    """Returns whether the records changed since the XMP was written, by the MD5 that its program left."""
    digest = found.get(_DIGEST, b"")
    return len(digest) == 16 and digest != hashlib.md5(records, usedforsecurity=False).digest()


def read_iptc(records: bytes) -> Annotations:
    values: dict[tuple[int, int], list[str]] = {}
    for dataset, body in _datasets(records[:MAX_IPTC_BYTES]):
        values.setdefault(dataset, []).append(decoded(body))
    return Annotations(
        taken=_time(values, _DATE, _TIME),
        digitized=_time(values, _SCAN_DATE, _SCAN_TIME),
        caption=clean_caption(_first(values, _CAPTION)),
        keywords=clean_keywords(values.get(_KEYWORD, ())),
        details=Details(title=clean_title(_first(values, _TITLE))),
    )


def _datasets(records: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    if records[:1] != bytes([_MARK]) and records[3:4] == bytes([_MARK]):
        # A TIFF may hold them as whole numbers, in another order of bytes.
        whole = len(records) // 4
        records = struct.pack(f">{whole}I", *struct.unpack_from(f"<{whole}I", records))
    position = 0
    for _ in range(_MAX_DATASETS):
        if position + 5 > len(records) or records[position] != _MARK:
            return
        record, number, size = struct.unpack_from(">BBH", records, position + 1)
        position += 5
        if size & 0x8000:
            wide = size & 0x7FFF
            size = int.from_bytes(records[position : position + wide], "big") if wide <= 8 else len(records)
            position += wide
        yield (record, number), records[position : position + size]
        position += size


def _first(values: dict[tuple[int, int], list[str]], dataset: tuple[int, int]) -> str:
    return values.get(dataset, [""])[0].strip(" \x00")


def _time(
    values: dict[tuple[int, int], list[str]], date: tuple[int, int], clock: tuple[int, int]
) -> WrittenTime | None:
    written, time = _first(values, date), _first(values, clock)
    return written_time(f"{written}T{time}" if time else written)
