"""Places that cameras keep in films, each in its own way: gone from a copy, and the film still whole."""

from __future__ import annotations

import struct

import pytest
from kappi_media.testing.containers import box, full_box
from kappi_media.testing.places import without_place
from kappi_media.testing.samples import MovieShape, Shot, movie
from kappi_mediameta.gps_free.edits import Unremovable
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing import BytesSource, Coordinates, MediaFormat, probe

FILM = movie(MovieShape(seconds=0.5))
EXIF = Shot(place=(48.8577, 2.295, 35.0)).exif().removeprefix(b"Exif\0\0")


def with_user_data(*boxes: bytes) -> bytes:
    """The film with these at the end of its index, which comes last in it."""
    at = FILM.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", FILM, at)
    assert at + size == len(FILM)
    more = box(b"udta", *boxes)
    return FILM[:at] + struct.pack(">I", size + len(more)) + FILM[at + 4 :] + more


def sony_metadata(*items: str) -> bytes:
    xml = "".join(f'<Item name="{name}" value="{value}"/>' for name, value in (i.split("=") for i in items))
    head = full_box(b"hdlr", bytes(4), b"nrtm", bytes(13))
    return full_box(b"meta", head, full_box(b"xml ", f"<NonRealTimeMeta>{xml}</NonRealTimeMeta>".encode()))


def nikon_record(tag: int, value: bytes) -> bytes:
    return struct.pack(">IHH", tag, 2, len(value)) + value


TOLD = {
    "Sony": (FILM + sony_metadata("Latitude=48:51:27.720", "Longitude=2:17:42.000"), b"48:51:27"),
    "Nikon": (
        with_user_data(
            box(b"NCDT", box(b"NCTG", nikon_record(0x1, b"Z 6"), nikon_record(0x1200002, b"48N")))
        ),
        b"48N",
    ),
    "Ricoh": (with_user_data(box(b"@xyz", b"+48.8577+002.2950/")), b"+48.8577"),
    "Ricoh's EXIF": (with_user_data(box(b"RMKN", EXIF)), struct.pack(">H", 0x8825)),
    "Canon": (
        FILM + box(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48"), box(b"CMT4", b"MM\0*48N")),
        b"48N",
    ),
    "Garmin": (
        FILM + box(b"uuid", bytes.fromhex("9b630f8d637440ec8204bc5ff5091728"), b"48.8577"),
        b"48.8577",
    ),
    "Pittasoft": (FILM + box(b"free", box(b"cprt", b"(c)"), box(b"gps ", b"[1720174272]$GPRMC,48N")), b"48N"),
    "Datakam": (with_user_data(box(b"udat", b"$GPRMC,48N")), b"48N"),
    "a block by itself": (FILM + box(b"free", b"GPS 48N"), b"48N"),
}


@pytest.mark.parametrize("maker", TOLD)
async def test_the_place_is_gone_and_the_film_is_whole(maker: str) -> None:
    body, told = TOLD[maker]
    copy = await without_place(body)
    assert len(copy) == len(body)
    assert told in body
    assert told not in copy
    media = FILM.index(b"mdat")
    assert copy[media : FILM.index(b"moov") - 4] == FILM[media : FILM.index(b"moov") - 4]
    assert await find_location(BytesSource(copy)) == ()
    assert (await probe(BytesSource(copy), MediaFormat.MP4)).width == 320


async def test_a_bare_place_is_read() -> None:
    found = await probe(BytesSource(TOLD["Ricoh"][0]), MediaFormat.MP4)
    assert found.location == Coordinates(48.8577, 2.295)


# Dash cameras list blocks that lie between the frames


def driven(blocks: list[bytes], *, listed: list[tuple[int, int]] | None = None) -> bytes:
    """A film whose media data hold these blocks, listed in its index."""
    start = box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", bytes(100), *blocks)
    at, places = len(start) - sum(map(len, blocks)), []
    for block in blocks:
        places.append((at, len(block)))
        at += len(block)
    table = b"".join(struct.pack(">II", *place) for place in listed or places)
    return start + box(b"moov", box(b"gps ", struct.pack(">II", 0x101, len(blocks)), table))


BLOCK = box(b"free", b"GPS \x4c\0\0\0", bytes(32), b"ANE48.8577")


async def test_blocks_that_a_table_lists_are_gone_and_still_boxes() -> None:
    body = driven([BLOCK, BLOCK])
    copy = await without_place(body)
    assert len(copy) == len(body)
    assert body.count(b"ANE48.8577") == 2
    assert b"ANE48.8577" not in copy
    assert copy.count(box(b"free", bytes(len(BLOCK) - 8))) == 2
    assert await find_location(BytesSource(copy)) == ()


async def test_a_table_that_lists_something_else_leaves_it_alone() -> None:
    body = driven([BLOCK], listed=[(20, 50), (1 << 31, 8), (0, 0)])
    copy = await without_place(body)
    assert copy[: body.index(b"moov")] == body[: body.index(b"moov")]


async def test_a_table_that_goes_on_and_on_is_no_copy() -> None:
    many = [(position << 16, 100) for position in range(1, 5_000)]
    body = driven([BLOCK], listed=many) + bytes(5_000 << 16)
    with pytest.raises(Unremovable):
        await find_location(BytesSource(body))
