"""Each walker is bounded, and raises the error of its source: a typed refusal or Unremovable."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable

import pytest
from kappi_mediameta.containers.byte_source import ByteSource
from kappi_mediameta.containers.chunks import PNG_START, RIFF_START, png_chunks, riff_chunks
from kappi_mediameta.containers.gif_blocks import read_blocks
from kappi_mediameta.containers.heif_tables import CutShort, TooMany, item_entry, item_locations
from kappi_mediameta.containers.tiff_directories import Layout, read_directory
from kappi_mediameta.gps_free.edits import EditedFile, Region, Unremovable
from kappi_mediameta.probing import BytesSource, ProbeRejected
from kappi_mediameta.probing.source import BlockReader

PARTS = 5
PNG = bytes(PNG_START) + struct.pack(">I4s2sI", 2, b"tEXt", b"ab", 0) * PARTS
RIFF = bytes(RIFF_START) + struct.pack("<4sI2s", b"EXIF", 1, b"a") * PARTS
GIF = b"GIF89a" + bytes(7) + b"\x21\xfe\1a\1b\0" * PARTS


def walk(source: ByteSource, fmt: str, most: int) -> AsyncIterator[object]:
    if fmt == "PNG":
        return png_chunks(source, PNG_START, most=most)
    if fmt == "RIFF":
        return riff_chunks(source, RIFF_START, source.size_bytes, most=most)
    return read_blocks(source, most=most, most_pieces=3, pixels_end=source.size_bytes)


def for_reading(body: bytes) -> BlockReader:
    return BlockReader(BytesSource(body), max_reads=9, max_read_bytes=1 << 20)


def for_removal(body: bytes) -> Region:
    return Region.whole(EditedFile(BytesSource(body)))


SOURCES = pytest.mark.parametrize(
    ("source_of", "error"), [(for_reading, ProbeRejected), (for_removal, Unremovable)]
)


@SOURCES
@pytest.mark.parametrize(("fmt", "body"), [("PNG", PNG), ("RIFF", RIFF), ("GIF", GIF)])
async def test_a_walk_has_a_limit_of_parts(
    fmt: str, body: bytes, source_of: Callable[[bytes], ByteSource], error: type[Exception]
) -> None:
    assert len([part async for part in walk(source_of(body), fmt, PARTS + 1)]) == PARTS
    with pytest.raises(error, match="too many"):
        _ = [part async for part in walk(source_of(body), fmt, PARTS - 1)]


@SOURCES
async def test_the_data_of_an_extension_have_a_limit_of_pieces(
    source_of: Callable[[bytes], ByteSource], error: type[Exception]
) -> None:
    with pytest.raises(error):
        _ = [block async for block in read_blocks(source_of(GIF), most=9, most_pieces=2, pixels_end=0)]


@SOURCES
async def test_a_directory_is_read_as_far_as_it_goes(
    source_of: Callable[[bytes], ByteSource], error: type[Exception]
) -> None:
    field = struct.pack("<HHI4s", 256, 3, 1, b"\x10\0\0\0")
    body = b"II*\0\x08\0\0\0" + struct.pack("<H", 9) + field * 2 + b"\1\2\3"
    found = await read_directory(source_of(body), Layout("<"), 8, most=512)
    assert (found.stated_count, len(found.fields), found.following) == (9, 2, b"")
    one = await read_directory(source_of(body), Layout("<"), 8, most=1)
    assert (one.stated_count, len(one.fields), one.following) == (9, 1, b"")
    with pytest.raises(error):
        await read_directory(source_of(body), Layout("<"), len(body) - 1, most=512)


def iloc(*extent_counts: int) -> bytes:
    items = b"".join(
        struct.pack(">HHH", number, 0, count) + struct.pack(">II", 100, 7) * count
        for number, count in enumerate(extent_counts, start=1)
    )
    return struct.pack(">IHH", 0, 0x4400, len(extent_counts)) + items


def test_item_locations_have_limits() -> None:
    assert [len(item.extents) for item in item_locations(iloc(2, 1), most_items=2, most_extents=3)] == [2, 1]
    for items, extents in ((1, 3), (2, 2)):
        with pytest.raises(TooMany):
            list(item_locations(iloc(2, 1), most_items=items, most_extents=extents))
    with pytest.raises(CutShort):
        list(item_locations(iloc(2, 1)[:-1], most_items=2, most_extents=3))


@pytest.mark.parametrize(
    ("texts", "is_xmp", "is_packed"),
    [
        (b"name\0application/rdf+xml\0", True, False),
        (b"\0application/rdf+xml\0\0", True, False),
        (b"\0application/rdf+xml\0deflate\0", False, True),
        (b"\0text/plain\0", False, False),
    ],
)
def test_items_by_their_texts(texts: bytes, is_xmp: bool, is_packed: bool) -> None:
    entry = item_entry(b"\2\0\0\0" + struct.pack(">HH4s", 7, 0, b"mime") + texts)
    assert entry is not None
    assert (entry.item_id, entry.is_xmp, entry.is_packed) == (7, is_xmp, is_packed)
    assert item_entry(b"\1\0\0\0" + bytes(8)) is None
