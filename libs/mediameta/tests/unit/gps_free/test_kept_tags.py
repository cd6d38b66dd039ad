"""The time of capture and the camera stay in a copy. A place in the same tags does not."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction

import av
import pytest
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.gps_free.kept_tags import kept_tags
from kappi_mediameta.probing import BytesSource, Camera, Probe, probe, sniff
from kappi_testkit.media.containers import box, full_box
from kappi_testkit.media.located_files import without_place
from kappi_testkit.media.samples import MovieShape, Shot, encode, movie, quadrants, register_heif

APPLE = "com.apple.quicktime."
FILM = movie(MovieShape(seconds=0.3, container="mov"))
SHOT_AT = datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC)
DISGUISED = (
    *(
        "Paris",
        "Champ de Mars",
        "+48.8577+002.2950/",
        "48.8577 2.295",
        "48,51,27N 2,17,42E",
        "N48 51 27 E2 17 42",
    ),
    *(
        "4885770 22950",
        "8FW4V75V+8Q",
        "48d51m27s",
        "Apple Paris",
        "https://maps.example/48.8,2.3",
        "\u00a9 Paris 8",
    ),
)

Told = tuple[str, str, str]
"""Maker, model and time."""
TRUE: Told = ("Apple", "iPhone 15 Pro", "2024-07-05T12:11:12+0200")


def keyed(names: dict[str, str]) -> bytes:
    """Returns a `meta` box as iPhones write it."""
    keys = b"".join(box(b"mdta", name.encode()) for name in names)
    values = b"".join(
        box(struct.pack(">I", number), box(b"data", struct.pack(">II", 1, 0x55530409), text.encode()))
        for number, text in enumerate(names.values(), start=1)
    )
    handler = full_box(b"hdlr", bytes(4), b"mdta", bytes(13))
    return box(b"meta", handler, full_box(b"keys", struct.pack(">I", len(names)), keys), box(b"ilst", values))


def in_moov(told: bytes) -> bytes:
    """Returns the film with a box at the end of its index, which is the last box."""
    at = FILM.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", FILM, at)
    assert at + size == len(FILM)
    return FILM[:at] + struct.pack(">I", size + len(told)) + FILM[at + 4 :] + told


def keys_film(told: Told) -> bytes:
    make, model, taken = told
    names = {"make": make, "model": model, "software": "17.5.1", "creationdate": taken, "author": "Paris"}
    return in_moov(keyed({APPLE + name: text for name, text in names.items()}))


def text_box(name: bytes, text: str) -> bytes:
    body = text.encode()
    return box(name, struct.pack(">HH", len(body), 0x15C7), body)


def user_data_film(told: Told) -> bytes:
    names = zip((b"\xa9mak", b"\xa9mod", b"\xa9day"), told, strict=True)
    return in_moov(
        box(b"udta", *(text_box(name, text) for name, text in names), text_box(b"\xa9cmt", "Paris"))
    )


def items_film(told: Told) -> bytes:
    names = zip((b"\xa9mak", b"\xa9mod", b"\xa9day"), told, strict=True)
    items = (box(name, box(b"data", struct.pack(">II", 1, 0), text.encode())) for name, text in names)
    handler = full_box(b"hdlr", bytes(4), b"mdir", bytes(13))
    return in_moov(box(b"udta", full_box(b"meta", handler, box(b"ilst", *items))))


FILMS: dict[str, Callable[[Told], bytes]] = {
    "keys": keys_film,
    "user data": user_data_film,
    "items": items_film,
}


async def probed(body: bytes) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return await probe(BytesSource(body), fmt)


async def copy_of(body: bytes) -> bytes:
    copy = await without_place(body)
    assert len(copy) == len(body)
    assert await find_location(BytesSource(copy)) == ()
    return copy


@pytest.mark.parametrize("where", FILMS)
async def test_time_and_camera_of_a_film_stay_and_the_zone_goes(where: str) -> None:
    body = FILMS[where](TRUE)
    before, copy = await probed(body), await copy_of(body)
    after = await probed(copy)
    assert before.camera == after.camera == Camera("Apple", "iPhone 15 Pro")
    assert before.taken_at == after.taken_at == SHOT_AT
    assert (before.taken_offset_minutes, after.taken_offset_minutes) == (120, None)
    assert b"2024-07-05T10:11:12.000Z" in copy
    for told in (b"Paris", b"+0200", b"fr-FR", b"\x55\x53\x04\x09"):
        assert told not in copy
    assert (b"17.5.1" in copy) == (where == "keys")


@pytest.mark.parametrize("disguised", DISGUISED)
@pytest.mark.parametrize("where", FILMS)
async def test_a_place_in_a_tag_that_stays_goes(where: str, disguised: str) -> None:
    make, model, taken = TRUE
    for told in ((disguised, model, taken), (make, disguised, taken), (make, model, disguised)):
        copy = await copy_of(FILMS[where](told))
        assert disguised.encode() not in copy
    copy = await copy_of(FILMS[where]((make, model, taken + disguised)))
    assert disguised.encode() not in copy


@pytest.mark.parametrize("where", FILMS)
async def test_a_model_without_a_listed_maker_goes(where: str) -> None:
    after = await probed(await copy_of(FILMS[where](("Kappi", "One 15", TRUE[2]))))
    assert after.camera is None
    assert after.taken_at == SHOT_AT


async def test_a_value_of_another_type_or_with_more_behind_it_goes() -> None:
    body = keys_film(TRUE)
    for old, new in (
        (struct.pack(">II", 1, 0x55530409) + b"Apple", struct.pack(">II", 2, 0x55530409) + b"Apple"),
        (box(b"data", struct.pack(">II", 1, 0x55530409), b"Apple"), b"\0\0\0\x10data" + bytes(13)),
    ):
        assert body.count(old) == 1
        after = await probed(await copy_of(body.replace(old, new)))
        assert after.camera is None


@pytest.mark.parametrize("name", [b"keys", b"ilst"])
async def test_a_list_hides_nothing_behind_its_last_box(name: bytes) -> None:
    told = keyed({APPLE + "make": "Apple"})
    at = told.index(name) - 4
    (size,) = struct.unpack_from(">I", told, at)
    hidden = told[:at] + struct.pack(">I", size + 5) + told[at + 4 : at + size] + b"Paris" + told[at + size :]
    copy = await copy_of(in_moov(struct.pack(">I", len(hidden)) + hidden[4:]))
    assert b"Apple" in copy
    assert b"Paris" not in copy


async def test_the_name_of_a_keys_box_hides_nothing() -> None:
    body = keys_film(TRUE)
    assert body.count(b"mdtacom.apple.quicktime.author") == 1
    copy = await copy_of(body.replace(b"mdtacom.apple.quicktime.author", b"48N2com.apple.quicktime.author"))
    assert b"48N2" not in copy


async def test_a_text_hides_nothing_behind_its_length() -> None:
    hidden = box(b"\xa9mak", struct.pack(">HH", 5, 0), b"AppleParis")
    copy = await copy_of(in_moov(box(b"udta", hidden)))
    assert b"Apple" in copy
    assert b"Paris" not in copy


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "HEIF"])
async def test_the_camera_of_a_picture_stays(fmt: str) -> None:
    register_heif()
    shot = Shot(make="Canon", model="Canon EOS R6m2", taken="2024:07:05 12:11:12", place=(48.5, 2.0, 9.0))
    after = await probed(await copy_of(encode(quadrants(64, 48), fmt, shot=shot)))
    assert after.camera == Camera("Canon", "Canon EOS R6m2")
    assert after.taken_at == datetime(2024, 7, 5, 12, 11, 12, tzinfo=UTC)


@pytest.mark.parametrize("disguised", DISGUISED)
async def test_a_place_for_a_camera_goes_from_a_picture(disguised: str) -> None:
    for make, model in ((disguised, "Canon EOS R6m2"), ("Canon", disguised)):
        copy = await copy_of(encode(quadrants(64, 48), "JPEG", shot=Shot(make=make, model=model)))
        assert disguised.encode() not in copy


def matroska_film() -> bytes:
    """Returns a film with a date in its info, and with tags."""
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as file:
        file.metadata["creation_time"], file.metadata["make"] = "2024-07-05T10:11:12.000000Z", "Apple"
        stream = file.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, "yuv420p", Fraction(1, 10)
        frame: av.VideoFrame = av.VideoFrame.from_image(quadrants(64, 48))  # type: ignore[no-untyped-call] # its stub lacks types
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


async def test_the_date_of_a_matroska_film_stays_and_its_tags_go() -> None:
    body = matroska_film()
    before, after = await probed(body), await probed(await copy_of(body))
    assert before.taken_at == after.taken_at == SHOT_AT
    assert before.camera == Camera("Apple", None)
    assert after.camera is None


async def test_what_is_no_date_of_a_matroska_film_goes() -> None:
    body = matroska_film()
    at = body.index(b"\x44\x61\x88")
    # Nine bytes: the date's eight, and the first byte of the next element.
    disguised = body[: at + 2] + b"\x89" + b"+48.8+2.2" + body[at + 12 :]
    assert b"+48.8+2.2" not in await copy_of(disguised)


@pytest.mark.parametrize(
    "make",
    [
        *(
            "Apple",
            "samsung",
            "NIKON CORPORATION",
            "OLYMPUS IMAGING CORP.",
            "EASTMAN KODAK COMPANY",
            "LG Electronics",
        ),
        *(
            "SAMSUNG TECHWIN CO., LTD.",
            "Konica Minolta Camera, Inc.",
            "Hewlett-Packard",
            "OM Digital Solutions",
        ),
    ],
)
def test_makers(make: str) -> None:
    assert kept_tags({"make": make.encode()}) == {"make": make.encode()}


@pytest.mark.parametrize(
    "model",
    [
        *(
            "iPhone 15 Pro Max",
            "SM-G991U1",
            "Canon EOS 5D Mark IV",
            "NIKON Z 6_3",
            "DSC-RX100M5A",
            "XT1650-03",
        ),
        *("22101316G", "moto g(7) plus", "HERO9 Black", "COOLPIX P1000", "E-M10MarkII", "Pixel 7a", "FC3582"),
    ],
)
def test_models(model: str) -> None:
    assert kept_tags({"make": b"Apple", "model": model.encode()}).get("model") == model.encode()


@pytest.mark.parametrize(
    "written", ["2024-07-05", "2024-07-05T12:11:12", "1970-01-01T00:00:00Z", "2024-13-05T1Z"]
)
def test_what_is_no_instant_goes(written: str) -> None:
    assert kept_tags({"creation_time": written.encode()}) == {}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2024:07:05 12:11:12+02:00", "2024-07-05T10:11:12.0000Z"),
        ("2024-07-05T12:11:12.123456+02", "2024-07-05T10:11:12.00000000Z"),
        ("2024-07-05T12:11:12Z", "2024-07-05T12:11:12Z"),
        ("2024-07-05T12:11:12 UTC", "2024-07-05T12:11:12.00Z"),
        ("2024-07-05T12:11:12ZZ", "2024-07-05T12:11:12Z "),
    ],
)
def test_an_instant_is_written_anew_in_the_same_length(written: str, kept: str) -> None:
    assert kept_tags({"creation_time": written.encode()}) == {"creation_time": kept.encode()}
