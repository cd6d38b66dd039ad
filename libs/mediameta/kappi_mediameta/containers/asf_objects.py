"""Objects of an ASF file (Microsoft Advanced Systems Format specification 1.2)."""

from __future__ import annotations

import codecs
import struct
from collections.abc import AsyncIterator
from typing import Final, NamedTuple
from uuid import UUID

from kappi_mediameta.containers.byte_source import ByteSource

OBJECT_HEADER_BYTES: Final = 24
HEADER_BYTES: Final = 30
"""Size of the fields at the start of the header object, which holds others."""
EXTENSION_BYTES: Final = 46
"""Size of the fields at the start of the header extension, which holds others."""


def guid(text: str) -> bytes:
    """Returns an identifier as files contain it."""
    return UUID(text).bytes_le


HEADER: Final = guid("75B22630-668E-11CF-A6D9-00AA0062CE6C")
DATA: Final = guid("75B22636-668E-11CF-A6D9-00AA0062CE6C")
FILE_PROPERTIES: Final = guid("8CABDCA1-A947-11CF-8EE4-00C00C205365")
STREAM_PROPERTIES: Final = guid("B7DC0791-A9B7-11CF-8EE6-00C00C205365")
HEADER_EXTENSION: Final = guid("5FBF03B5-A92E-11CF-8EE3-00C00C205365")
EXTENDED_STREAM: Final = guid("14E6A5CB-C672-4332-8399-A96952065B5A")
METADATA: Final = guid("C5F8CBEA-5BAF-4877-8467-AA8C44FA4CCA")
PADDING: Final = guid("1806D474-CADF-4509-A4BA-9AABCB96AAE8")
VIDEO: Final = guid("BC19EFC0-5B4D-11CF-A8FD-00805F5C442B")
AUDIO: Final = guid("F8699E40-5B4D-11CF-A8FD-00805F5C442B")

# Looked up on import: the first use of a codec opens a file, which a confined decoder may not do.
_UTF_16: Final = codecs.lookup("utf-16-le").decode
_RECORD: Final = struct.Struct("<HHHHI")


class AsfObject(NamedTuple):
    """One object. begin: position of its header. start, end: of its body."""

    id: bytes
    begin: int
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class Attribute(NamedTuple):
    """One record of a metadata object. stream: 0 for the whole file. record: all of its bytes."""

    stream: int
    name: str
    value: bytes
    record: bytes


async def object_at(source: ByteSource, start: int) -> AsfObject | None:
    """Returns the object at a position, which may reach beyond the end, or None for an impossible size.

    There must be room for its header.
    """
    identifier, size = struct.unpack("<16sQ", await source.read(start, OBJECT_HEADER_BYTES))
    if size < OBJECT_HEADER_BYTES:
        return None
    return AsfObject(identifier, start, start + OBJECT_HEADER_BYTES, start + size)


async def asf_objects(source: ByteSource, start: int, end: int, *, most: int) -> AsyncIterator[AsfObject]:
    """Yields the objects between two positions, as far as there is room for a header. The last one may reach
    beyond `end`.

    most: number of objects. Raises the source's error for more, and for an object smaller than its header.
    """
    for _ in range(most):
        if end - start < OBJECT_HEADER_BYTES:
            return
        found = await object_at(source, start)
        if found is None:
            raise source.damaged("object smaller than its header")
        yield found
        start = found.end
    raise source.too_many("objects")


def attributes_of(body: bytes) -> list[Attribute]:
    """Returns the records of a metadata object, as far as they are whole."""
    found = []
    position = 2
    for _ in range(int.from_bytes(body[:2], "little")):
        if position + _RECORD.size > len(body):
            break
        _, stream, name_bytes, _, value_bytes = _RECORD.unpack_from(body, position)
        value_at = position + _RECORD.size + name_bytes
        end = value_at + value_bytes
        if end > len(body):
            break
        name = str(_UTF_16(body[position + _RECORD.size : value_at], "replace")[0]).rstrip("\0")
        found.append(Attribute(stream & 0x7F, name, body[value_at:end], body[position:end]))
        position = end
    return found
