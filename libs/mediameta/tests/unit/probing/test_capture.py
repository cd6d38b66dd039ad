"""Time, place and camera: zones, places and the identifiers of Live Photos."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest
from kappi_mediameta.probing import BytesSource, Coordinates, Probe, probe, sniff
from kappi_mediameta.probing.apple import clean_live_id, live_id_of
from kappi_mediameta.probing.exif import exif_tags, facts_of
from kappi_mediameta.probing.facts import CaptureFacts
from kappi_mediameta.probing.movie_tags import capture_of, user_data_tags
from kappi_testkit.media.containers import tiff
from kappi_testkit.media.live_photos import apple_maker_note, live_film, live_picture
from kappi_testkit.media.live_photos import live_id_of as expected_id
from kappi_testkit.media.metadata_blocks import exif_block
from kappi_testkit.media.samples import MovieShape, Shot, movie


def facts_of_block(block: bytes) -> CaptureFacts:
    return facts_of(exif_tags(block))


async def probed(body: bytes) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return await probe(BytesSource(body), fmt)


@pytest.mark.parametrize(
    "body", [live_picture("ABC-1"), live_picture("ABC-1", "HEIF"), live_film("ABC-1")], ids=range(3)
)
async def test_both_halves_of_a_live_photo_bear_its_identifier(body: bytes) -> None:
    assert (await probed(body)).live_id == expected_id("ABC-1")


def test_identifiers_are_compared_in_one_case() -> None:
    assert clean_live_id(" 5b3a2c61-8f0e ") == "5B3A2C61-8F0E"


@pytest.mark.parametrize("written", [None, "", "short", "x" * 65, "with blank in", "<script>alert</script>"])
def test_what_is_no_identifier(written: str | None) -> None:
    assert clean_live_id(written) is None


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"Nikon\x00\x02\x10\x00\x00MM\x00*",
        apple_maker_note("ABC-1-LIVE")[:30],
        apple_maker_note("ABC-1-LIVE")[:-8].replace(b"\x00\x00\x00\x2c", b"\xff\xff\xff\xff"),
        apple_maker_note("ABC-1-LIVE").replace(b"MM", b"XX"),
    ],
)
def test_maker_notes_without_one(note: bytes) -> None:
    assert live_id_of(note) is None


@pytest.mark.parametrize(
    ("offset", "minutes"),
    [
        ("+02:00", 120),
        ("-09:30", -570),
        ("+05:45", 345),
        ("Z", 0),
        (None, None),
        ("+99:00", None),
        ("  :  ", None),
    ],
)
def test_offsets_of_pictures(offset: str | None, minutes: int | None) -> None:
    facts = facts_of_block(Shot(taken="2024:06:21 12:00:00", offset=offset).exif())
    assert facts.taken_at is not None
    assert (facts.taken_offset_minutes, facts.taken_offset_known) == (minutes, minutes is not None)


@pytest.mark.parametrize(
    ("tags", "taken_at", "minutes", "known"),
    [
        (
            {"\xa9day": "2024:07:05 12:11:12 +02:00"},
            datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC),
            120,
            True,
        ),
        (
            {"com.apple.quicktime.creationdate": "2024-07-05T12:11:12+0200"},
            datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC),
            120,
            True,
        ),
        ({"creation_time": "2024-07-05T10:11:12Z"}, datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC), None, True),
        (
            {"\xa9day": "2024", "date_recorded": "2024-07-05T10:11:12-03:00"},
            datetime(2024, 7, 5, 13, 11, 12, tzinfo=UTC),
            -180,
            True,
        ),
        ({"com.apple.quicktime.creationdate": "2024-07-05T12:11:12"}, None, None, False),
    ],
)
def test_zones_of_videos(
    tags: dict[str, str], taken_at: datetime | None, minutes: int | None, known: bool
) -> None:
    facts = capture_of(tags, orientation=1, created_at=None)
    assert (facts.taken_at, facts.taken_offset_minutes) == (taken_at, minutes)
    assert facts.taken_offset_known is known


async def test_the_movie_header_tells_the_instant_but_no_zone() -> None:
    found = await probed(movie(MovieShape(seconds=0.5, metadata={"creation_time": "2024-07-05T10:11:12Z"})))
    assert found.taken_at == datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC)
    assert (found.taken_offset_known, found.taken_offset_minutes) == (True, None)


def loci(name: bytes, longitude: float, latitude: float, altitude: float) -> bytes:
    numbers = (round(part * 65536) for part in (longitude, latitude, altitude))
    body = bytes(6) + name + bytes([0]) + struct.pack(">iii", *numbers) + b"earth\x00\x00"
    return struct.pack(">I4s", 8 + len(body), b"loci") + body


@pytest.mark.parametrize("name", [b"\x00", b"Eiffel\x00", b"\xfe\xff\x00E\x00\x00"])
def test_places_in_the_manner_of_3gpp(name: bytes) -> None:
    tags = user_data_tags(loci(name, 2.2945, 48.8584, 35.0))
    found = capture_of(tags, orientation=1, created_at=None).location
    assert found == Coordinates(latitude=48.858398, longitude=2.294495, altitude=35.0)


@pytest.mark.parametrize("cut", range(8, 33))
def test_a_3gpp_place_that_is_cut_off_is_none(cut: int) -> None:
    body = loci(b"Eiffel\x00", 2.2945, 48.8584, 35.0)[8:cut]
    atom = struct.pack(">I4s", 8 + len(body), b"loci") + body
    assert capture_of(user_data_tags(atom), orientation=1, created_at=None).location is None


def test_a_maker_note_of_megabytes_is_left_alone() -> None:
    block = tiff(((34665, 4, 1, 26),), tail=struct.pack("<HHHII", 1, 0x927C, 7, 3 << 20, 8)) + bytes(4 << 20)
    assert facts_of_block(block).live_id is None


def placed_by_hand(reference: bytes, *, kind: int, degrees: int = 48) -> bytes:
    """Returns a place south by `reference`, in numbers of a type, 2.5 degrees east."""
    entries = [
        (1, 2, len(reference), reference),
        (2, kind, 2, struct.pack("<iiii", degrees, 1, 30, 1)),
        (3, 2, 5, b"East\0"),
        (4, kind, 2, struct.pack("<iiii", 2, 1, 30, 1)),
    ]
    gps_at = 26
    fields, values = struct.pack("<H", len(entries)), b""
    for tag, kind_, count, value in entries:
        at = gps_at + 2 + 12 * len(entries) + 4 + len(values)
        inline = len(value) <= 4
        fields += struct.pack("<HHI", tag, kind_, count)
        fields += value.ljust(4, b"\0") if inline else struct.pack("<I", at)
        values += b"" if inline else value
    return tiff(((0x8825, 4, 1, gps_at),), tail=fields + bytes(4) + values)


@pytest.mark.parametrize("kind", [5, 10], ids=["unsigned", "signed"])
@pytest.mark.parametrize(
    ("reference", "latitude"),
    [
        (b"S\0", -48.5),
        (b"s\0", -48.5),
        (b"South\0", -48.5),
        (b"N\0", 48.5),
        (b"north\0", 48.5),
        (b"\0", 48.5),
    ],
)
def test_hemispheres(reference: bytes, latitude: float, kind: int) -> None:
    assert facts_of_block(placed_by_hand(reference, kind=kind)).location == Coordinates(latitude, 2.5)


@pytest.mark.parametrize("reference", [b"S\0", b"N\0", b"\0"])
def test_degrees_may_have_the_sign_and_so_have_their_minutes(reference: bytes) -> None:
    found = facts_of_block(placed_by_hand(reference, kind=10, degrees=-48)).location
    assert found == Coordinates(-48.5, 2.5)


_ASCII, _UNDEFINED, _BYTE, _RATIONAL = 2, 7, 1, 5


@pytest.mark.parametrize("kind", [_ASCII, _UNDEFINED, _BYTE])
def test_texts_of_exif_may_be_of_other_types(kind: int) -> None:
    facts = facts_of_block(
        exif_block(
            [(0x010E, kind, b"Col \xe9\x00"), (0x010F, kind, b"KAPPI\x00"), (0x0110, kind, b"TEST\x00\x00")],
            details=[(0x9003, kind, b"2024:07:05 12:11:12\x00"), (0x9011, kind, b"+02:00\x00")],
            gps=[
                (1, kind, b"S\x00"),
                (2, _RATIONAL, _over(48)),
                (3, kind, b"W\x00"),
                (4, _RATIONAL, _over(21)),
            ],
        )
    )
    assert (facts.taken_at, facts.taken_offset_minutes) == (datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC), 120)
    assert facts.camera is not None
    assert (facts.camera.make, facts.camera.model, facts.caption) == ("KAPPI", "TEST", "Col é")
    assert facts.location == Coordinates(-48.0, -21.0)


@pytest.mark.parametrize("kind", [_UNDEFINED, _BYTE])
def test_below_the_sea_whatever_the_type_of_the_mark(kind: int) -> None:
    gps = [
        (2, _RATIONAL, _over(48)),
        (4, _RATIONAL, _over(21)),
        (5, kind, b"\x01"),
        (6, _RATIONAL, _over(30)),
    ]
    assert facts_of_block(exif_block(gps=gps)).location == Coordinates(48.0, 21.0, -30.0)


@pytest.mark.parametrize(
    ("latitude", "altitude", "place"),
    [
        ([48, 30, None], 100, Coordinates(48.5, 21.0, 100.0)),
        ([48, None, None], None, Coordinates(48.0, 21.0)),
        ([None, None, None], 100, None),
        ([None, 30, 0], 100, None),
    ],
)
def test_a_fraction_over_nothing_is_none(
    latitude: list[int | None], altitude: int | None, place: Coordinates | None
) -> None:
    gps = [(2, _RATIONAL, _over(*latitude)), (4, _RATIONAL, _over(21)), (6, _RATIONAL, _over(altitude))]
    assert facts_of_block(exif_block(gps=gps)).location == place


@pytest.mark.parametrize(
    ("written", "taken_at", "minutes"),
    [
        (b"2024-07-05T12:11:12+02:00", datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC), 120),
        (b"2024-07-05T12:11:12+0200", datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC), 120),
        (b"2024-07-05T12:11:12.5Z", datetime(2024, 7, 5, 12, 11, 12, 500_000, tzinfo=UTC), 0),
        (b"2024-07-05 12:11:12", datetime(2024, 7, 5, 12, 11, 12, tzinfo=UTC), None),
        (b"2024:07:05 12:11", datetime(2024, 7, 5, 12, 11, tzinfo=UTC), None),
        (b"    :  :     :  :  ", None, None),
    ],
)
def test_dates_of_exif_in_the_form_of_iso_8601(
    written: bytes, taken_at: datetime | None, minutes: int | None
) -> None:
    facts = facts_of_block(exif_block(details=[(0x9003, _ASCII, written + b"\x00")]))
    assert (facts.taken_at, facts.taken_offset_minutes) == (taken_at, minutes)


def test_dates_of_exif_may_stand_in_the_first_directory() -> None:
    facts = facts_of_block(exif_block([(0x9003, _ASCII, b"2024:07:05 12:11:12\x00")]))
    assert facts.taken_at == datetime(2024, 7, 5, 12, 11, 12, tzinfo=UTC)


@pytest.mark.parametrize("offset", [b"+0200\x00", b"+02:00\x00", b"+02\x00"])
def test_zones_of_exif_with_and_without_colon(offset: bytes) -> None:
    details = [(0x9003, _ASCII, b"2024:07:05 12:11:12\x00"), (0x9010, _ASCII, offset)]
    assert facts_of_block(exif_block(details=details)).taken_offset_minutes == 120


def _over(*numbers: int | None) -> bytes:
    """Returns fractions over one. None becomes zero over zero."""
    return b"".join(struct.pack(">II", number or 0, 0 if number is None else 1) for number in numbers)


def test_texts_of_films_may_be_in_latin_1() -> None:
    text = b"Caf\xe9"
    atom = struct.pack(">I4sHH", 12 + len(text), b"\xa9mak", len(text), 0) + text
    assert user_data_tags(atom) == {"\xa9mak": "Café"}
