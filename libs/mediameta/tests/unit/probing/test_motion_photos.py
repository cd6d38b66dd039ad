"""The film of a motion photo is found where its boxes are, and nowhere else."""

from __future__ import annotations

import pytest
from kappi_mediameta.probing import BytesSource, EmbeddedFilm, Probe, probe, sniff
from kappi_testkit.media.containers import box
from kappi_testkit.media.located_files import without_place
from kappi_testkit.media.metadata_blocks import jpeg
from kappi_testkit.media.motion_photos import (
    film_of_photo,
    google_photo,
    heic_photo,
    micro_video,
    parts_xmp,
    samsung_photo,
)

FILM = film_of_photo()


async def probed(body: bytes) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return await probe(BytesSource(body), fmt)


async def film_in(body: bytes) -> bytes | None:
    film = (await probed(body)).details.film
    return None if film is None else body[film.start : film.start + film.size_bytes]


@pytest.mark.parametrize(
    "body",
    [
        google_photo(FILM),
        google_photo(FILM, gain_map=jpeg()),
        google_photo(FILM, behind=bytes(900)),
        micro_video(FILM),
        samsung_photo(FILM),
        heic_photo(FILM),
    ],
    ids=["google", "with a gain map", "with a part behind", "older", "samsung", "heic"],
)
async def test_the_film_is_found(body: bytes) -> None:
    assert await film_in(body) == FILM


async def test_the_film_of_samsung_ends_before_the_trailer() -> None:
    photo = samsung_photo(FILM)
    behind = len(photo) - photo.index(FILM)
    told = jpeg(parts_xmp(("Primary", 0), ("MotionPhoto", behind))) + photo[len(jpeg()) :]
    assert await film_in(told) == FILM


@pytest.mark.parametrize("body", [google_photo(FILM), heic_photo(FILM)], ids=["jpeg", "heic"])
async def test_a_copy_without_the_place_has_the_film_at_the_same_place(body: bytes) -> None:
    copy = await without_place(body)
    assert (await probed(copy)).details.film == (await probed(body)).details.film is not None


async def test_the_film_can_be_probed_by_itself() -> None:
    film = await film_in(micro_video(FILM))
    assert film is not None
    assert (await probed(film)).kind == "video"


@pytest.mark.parametrize(
    "body",
    [
        jpeg() + FILM,
        jpeg(parts_xmp(("Primary", 0), ("MotionPhoto", len(FILM) - 5))) + FILM,
        jpeg(parts_xmp(("Primary", 0), ("MotionPhoto", 10**14))) + FILM,
        jpeg(parts_xmp(("Primary", 0), ("MotionPhoto", 4))) + FILM,
        jpeg(parts_xmp(("Primary", 0), ("MotionPhoto", -1))) + FILM,
        jpeg(parts_xmp(("Primary", 0), ("GainMap", len(FILM)))) + FILM,
        micro_video(FILM[:40]),
        micro_video(box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", bytes(50))),
        micro_video(box(b"ftyp", b"isom", bytes(4)) * 70 + FILM),
        samsung_photo(FILM[:200]),
        samsung_photo(FILM).replace(b"SEFH", b"SEFX"),
        samsung_photo(FILM)[:-8] + b"\xff\xff\x00\x00SEFT",
        samsung_photo(FILM)[:-8] + b"\x00\x00\x00\x00SEFT",
        heic_photo(b""),
        heic_photo(bytes(100)),
    ],
)
async def test_a_picture_without_a_film_that_is_there_is_a_picture(body: bytes) -> None:
    found = await probed(body)
    assert (found.kind, found.details.film) == ("image", None)


async def test_each_number_of_the_trailer_may_lie() -> None:
    photo = samsung_photo(FILM)
    begin = photo.rindex(b"SEFH")
    for at in range(begin, len(photo) - 4):
        body = photo[:at] + b"\xff" + photo[at + 1 :]
        film = (await probed(body)).details.film
        assert film is None or film == EmbeddedFilm(start=photo.index(FILM), size_bytes=len(FILM))
