"""Places that cameras write into films, each in its own way. A copy has none, and its film is whole."""

from __future__ import annotations

import struct

import pytest
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing import BytesSource, Coordinates, MediaFormat, probe
from kappi_testkit.media.containers import box, full_box
from kappi_testkit.media.located_files import without_place
from kappi_testkit.media.samples import MovieShape, Shot, movie

FILM = movie(MovieShape(seconds=0.5))
EXIF = Shot(place=(48.8577, 2.295, 35.0)).exif().removeprefix(b"Exif\0\0")


def with_user_data(*boxes: bytes) -> bytes:
    """Returns the film with boxes at the end of its index, which is the last box."""
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


# Dash cameras write blocks between the frames, some of them with a table that lists them


def with_blocks(*blocks: bytes) -> bytes:
    """Returns the film with blocks at the end of its media data, before the index."""
    at = FILM.index(b"mdat") - 4
    (size,) = struct.unpack_from(">I", FILM, at)
    more = b"".join(blocks)
    return (
        FILM[:at] + struct.pack(">I", size + len(more)) + FILM[at + 4 : at + size] + more + FILM[at + size :]
    )


BLOCK = box(b"free", b"GPS \x4c\0\0\0", bytes(32), b"ANE48.8577")


async def test_blocks_between_the_frames_are_gone_and_no_frame_is() -> None:
    body = with_blocks(BLOCK, BLOCK)
    copy = await without_place(body)
    assert len(copy) == len(body)
    assert body.count(b"ANE48.8577") == 2
    assert b"ANE48.8577" not in copy
    media = FILM.index(b"mdat") - 4
    (size,) = struct.unpack_from(">I", FILM, media)
    assert copy[media + 8 : media + size] == FILM[media + 8 : media + size]
    assert not any(copy[media + size : media + size + 2 * len(BLOCK)])
    assert await find_location(BytesSource(copy)) == ()


async def test_many_blocks_between_samples_are_gone() -> None:
    count = 200
    sample, block = b"a frame.", b"48.8577N"
    start = box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", (sample + block) * count)
    offsets = struct.pack(f">I{count}I", count, *range(24, 24 + 16 * count, 16))
    table = box(
        b"stbl",
        full_box(b"stsd", struct.pack(">I", 0)),
        full_box(b"stsz", struct.pack(">II", len(sample), count)),
        full_box(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        full_box(b"stco", offsets),
    )
    handler = full_box(b"hdlr", bytes(4), b"vide", bytes(12))
    body = start + box(b"moov", box(b"trak", box(b"mdia", handler, box(b"minf", table))))
    copy = await without_place(body)
    assert copy.count(sample) == count
    assert block not in copy
