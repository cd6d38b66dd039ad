"""Files made by hand: rare forms, and forms that no camera should write."""

from __future__ import annotations

import random
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.gps_free.kept_xmp import little_of
from kappi_mediameta.probing import BytesSource
from kappi_testkit.media.bmp import of_palette
from kappi_testkit.media.located_files import without_place
from kappi_testkit.media.newer_jpegs import JXL_START
from kappi_testkit.media.samples import Shot, encode, mutations, quadrants, scheduled_as_before
from kappi_testkit.media.tiff import colours

PLACED = encode(quadrants(64, 48), "JPEG", shot=Shot(make="Kappi", place=(48.8577, 2.295, 35.0)))
PLAIN = encode(quadrants(64, 48), "JPEG")
XMP_ID = b"http://ns.adobe.com/xap/1.0/\0"
MORE_XMP_ID = b"http://ns.adobe.com/xmp/extension/\0"


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def box(name: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), name) + body


FILM = box(b"ftyp", b"isom", bytes(4)) + box(
    b"moov",
    box(b"udta", box(b"\xa9xyz", b"\x00\x12\x15\xc7+48.8577+002.2950/"), box(b"name", b"Stays not")),
    bytes(0),
)


# Bytes behind a picture


async def test_a_second_picture_and_a_film_after_the_first_are_cleaned_too() -> None:
    photo = PLACED + b"filler" + PLACED + bytes(10) + FILM
    copy = await without_place(photo)
    assert len(copy) == len(photo)
    for told in (b"Kappi", b"+48.8577", b"Stays not", b"filler"):
        assert told not in copy
    second = copy[copy.rindex(b"\xff\xd8\xff") :]
    assert await find_location(BytesSource(copy)) == ()
    assert await find_location(BytesSource(second)) == ()


async def test_nothing_is_left_of_what_only_looks_like_a_picture() -> None:
    behind = b"\xff\xd8\xff\xe0" + bytes(50) + b"\0\0\0\x18ftyp" + bytes(40)
    assert await without_place(PLAIN + behind) == PLAIN + bytes(len(behind))


async def test_what_follows_a_film_or_seems_to_be_one_is_cleaned_too() -> None:
    for between in (FILM, b"\0\0\0\x18ftyp" + bytes(4)):
        photo = PLAIN + between + PLACED
        copy = await without_place(photo)
        assert copy[len(PLAIN) + len(between) :] == await without_place(PLACED)


async def test_a_film_behind_a_picture_that_cannot_be_cleaned_is_no_copy() -> None:
    behind = film(OTHER_KEY, SAMPLES, wide=False).replace(b"stsz", b"stz2")
    for body in (behind, PLACED + behind):
        with pytest.raises(Unremovable):
            await find_location(BytesSource(body))


# Segments of other kinds


@pytest.mark.parametrize("opening", [b"\0\0Exif\0\0", b"exif\0\0"])
async def test_exif_that_a_camera_did_not_begin_as_others_do(opening: bytes) -> None:
    exif = Shot(make="Kappi", place=(48.8577, 2.295, 35.0)).exif().removeprefix(b"Exif\0\0")
    copy = await without_place(PLAIN[:2] + segment(0xE1, opening + exif) + PLAIN[2:])
    assert b"Kappi" not in copy
    assert struct.pack(">H", 0x8825) not in copy


async def test_nothing_is_left_of_long_xmp() -> None:
    packet = b"<x:xmpmeta><exif:GPSLatitude>48,51.462N</exif:GPSLatitude><a>stays</a></x:xmpmeta>"
    digest, pieces = b"A" * 32, [(40, packet[40:]), (0, packet[:40])]
    segments = [
        segment(0xE1, MORE_XMP_ID + digest + struct.pack(">II", len(packet), offset) + piece)
        for offset, piece in pieces
    ]
    photo = PLAIN[:2] + b"".join(segments) + PLAIN[2:]
    copy = await without_place(photo)
    assert b"48,51" not in copy
    assert b"stays" not in copy
    assert len(copy) == len(photo)


async def test_nothing_is_left_of_a_makers_segments() -> None:
    photo = PLAIN[:2] + segment(0xE6, b"GoPro\0....GPS5" + b"\x01" * 40) + segment(0xE5, b"sRGB") + PLAIN[2:]
    copy = await without_place(photo)
    assert b"GPS5" not in copy
    assert b"sRGB" not in copy
    assert len(copy) == len(photo)


@pytest.mark.parametrize("nothing", [b"\0\0\0", b"\xff" * 50, b"\xff\0?"])
async def test_bytes_between_segments_hide_nothing(nothing: bytes) -> None:
    at = PLACED.index(b"\xff\xe1")
    copy = await without_place(PLACED[:at] + nothing + PLACED[at:])
    fill = b"\xff" * len(nothing)
    assert copy == (await without_place(PLACED)).replace(b"\xff\xe1", fill + b"\xff\xe1", 1)


@pytest.mark.parametrize("head", [b"\xff\xe1\x00\x01", b"\xff\xe1\xff\xff", bytes(5_000)])
async def test_segments_that_cannot_be_followed_are_no_copy(head: bytes) -> None:
    with pytest.raises(Unremovable):
        await find_location(BytesSource(PLAIN[:2] + head + PLAIN[2:]))


# TIFF structures


def bigtiff(gps: bool) -> bytes:
    entries = [struct.pack("<HHQQ", 0x0100, 4, 1, 64)]
    if gps:
        entries.append(struct.pack("<HHQQ", 0x8825, 13, 1, 200))
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16)
    main = struct.pack("<Q", len(entries)) + b"".join(entries) + bytes(8)
    latitude = struct.pack("<HHQQ", 2, 5, 3, 300)
    places = struct.pack("<Q", 1) + latitude + bytes(8)
    body = (head + main).ljust(200, b"\0") + places
    return body.ljust(300, b"\0") + struct.pack("<6I", 48, 1, 51, 1, 27, 1)


async def test_bigtiff() -> None:
    copy = await without_place(bigtiff(gps=True))
    assert copy[:16] == bigtiff(gps=True)[:16]
    assert struct.unpack_from("<QHH", copy, 16) == (1, 0x0100, 4)
    assert copy[44:] == bytes(len(copy) - 44)
    assert await find_location(BytesSource(copy)) == ()


async def test_directories_that_point_to_each_other_end() -> None:
    loop = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHII", 1, 0x014A, 4, 1, 8) + struct.pack("<I", 8)
    assert await find_location(BytesSource(loop)) == ()


async def test_a_directory_that_is_cut_off_is_cleaned_as_far_as_it_goes() -> None:
    cut = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 500) + struct.pack("<HHII", 0x8825, 4, 1, 8)
    copy = await without_place(cut)
    assert b"\x25\x88" not in copy


# XMP


@pytest.mark.parametrize(
    "packet",
    [
        b"<d exif:GPSLatitude='1' b='2'/>" + b" " * 600,
        b"<d GCamera:MotionPhoto='Paris'/>" + b" " * 600,
        b"<d GCamera:MotionPhoto='1'/>",  # no room
        "<d GCamera:MotionPhoto='1'/>".encode("utf-16-le") + bytes(600),
    ],
)
def test_a_packet_without_what_is_kept_is_white_space(packet: bytes) -> None:
    assert little_of(packet) == b" " * len(packet)


def test_numbers_of_a_list_are_kept_and_stay() -> None:
    packet = (
        b'<d dc:title="Paris" hdrgm:Version="1.0" hdrgm:GainMapMax=\'2.3\' GCamera:MotionPhoto="1"/>'
        + b" " * 600
    )
    kept = little_of(packet)
    assert len(kept) == len(packet)
    assert b'GCamera:MotionPhoto="1" hdrgm:GainMapMax="2.3" hdrgm:Version="1.0"' in kept
    assert b"Paris" not in kept
    assert little_of(kept) == kept


@pytest.mark.parametrize("piece", [b"<Container:Item ", b"GCamera:MotionPhoto=", b"hdrgm:", b"<"])
def test_much_of_what_is_never_closed_is_read_once(piece: bytes) -> None:
    """A search to the end for each piece would take hours."""
    assert not little_of(piece * (8_000_000 // len(piece))).strip()


# PNG


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize(
    "told",
    [
        chunk(b"tEXt", b"exif:GPSLatitude\x0048"),
        chunk(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(b"\nexif\n  12\n45786966\n")),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<a exif:GPSLatitude='1'/>")),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + b"not packed at all"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(20 << 20))),
    ],
)
async def test_text_chunks_are_emptied_and_the_file_stays_whole(told: bytes) -> None:
    png = encode(quadrants(16, 16), "PNG")
    copy = await without_place(png[:33] + told + png[33:])
    assert copy == png[:33] + chunk(b"paDd", bytes(len(told) - 12)) + png[33:]


async def test_exif_with_the_prefix_that_belongs_to_jpeg() -> None:
    png = encode(quadrants(16, 16), "PNG")
    told = chunk(b"eXIf", Shot(make="Kappi", place=(48.8577, 2.295, 35.0)).exif())
    copy = await without_place(png[:33] + told + png[33:])
    assert b"Kappi" not in copy
    assert struct.pack(">H", 0x8825) not in copy


async def test_a_last_chunk_with_a_body_hides_nothing() -> None:
    png = encode(quadrants(16, 16), "PNG")
    copy = await without_place(png[:-12] + chunk(b"IEND", b"48.8577 N") + b"2.295 E")
    assert copy[:-28] == png[:-12]
    assert b"48.8577" not in copy
    assert b"2.295" not in copy


# The prober reads each copy


async def test_a_place_that_the_cleaner_missed_is_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blind(region: Region) -> None:
        pass

    assert await find_location(BytesSource(PLACED))
    monkeypatch.setattr("kappi_mediameta.gps_free.jpeg.keep_little_exif", blind)
    with pytest.raises(Unremovable):
        await find_location(BytesSource(PLACED))


# Films


def full(name: bytes, *bodies: bytes) -> bytes:
    return box(name, bytes(4), *bodies)


def film(sample_entry: bytes, samples: list[bytes], *, wide: bool) -> bytes:
    """Returns a film with each sample in a chunk of its own. The last two samples share a chunk."""
    mdat = box(b"mdat", *samples)
    start = len(box(b"ftyp", b"isom", bytes(4))) + 8
    offsets, position = [], start
    for sample in samples[:-1]:
        offsets.append(position)
        position += len(sample)
    chunks = len(offsets)
    table = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), sample_entry),
        full(b"stsz", struct.pack(f">II{len(samples)}I", 0, len(samples), *map(len, samples))),
        full(b"stsc", struct.pack(">IIIIIII", 2, 1, 1, 1, chunks, 2, 1)),
        full(b"co64", struct.pack(f">I{chunks}Q", chunks, *offsets))
        if wide
        else full(b"stco", struct.pack(f">I{chunks}I", chunks, *offsets)),
    )
    trak = box(b"trak", box(b"mdia", box(b"minf", table)))
    return box(b"ftyp", b"isom", bytes(4)) + mdat + box(b"moov", box(b"mvhd", bytes(100)), trak)


OTHER_KEY = box(b"mebx", bytes(8), box(b"keys", b"com.apple.quicktime.video-orientation"))
SAMPLES = [b"GPS5 first", b"GPS5 second!", b"GPS5 3", b"GPS5 four"]


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(
    "entry",
    [
        box(b"gpmd", bytes(8)),
        box(b"mebx", bytes(8), box(b"keys", b"com.apple.quicktime.location.ISO6709")),
        OTHER_KEY + box(b"mebx", bytes(8), box(b"keys", b"com.apple.quicktime.location.ISO6709")),
    ],
    ids=["GoPro", "Apple", "Apple's second description"],
)
async def test_a_telemetry_track_goes_with_its_samples(entry: bytes, wide: bool) -> None:
    body = film(entry, SAMPLES, wide=wide)
    copy = await without_place(body)
    assert len(copy) == len(body)
    assert b"GPS5" not in copy
    assert (b"trak" in copy, b"mvhd" in copy) == (False, True)
    assert await find_location(BytesSource(copy)) == ()


async def test_other_metadata_tracks_stay() -> None:
    body = film(OTHER_KEY, SAMPLES, wide=False)
    assert await find_location(BytesSource(body)) == ()


@pytest.mark.parametrize(
    "count",
    [0xFFFFFFFF, 3_000_000],
)
async def test_sample_tables_that_lie_are_no_copy(count: int) -> None:
    body = film(OTHER_KEY, SAMPLES, wide=False)
    at = body.index(b"stsz") + 12
    with pytest.raises(Unremovable):
        await find_location(BytesSource(body[:at] + struct.pack(">I", count) + body[at + 4 :]))


@pytest.mark.parametrize("table", [b"stsz", b"stsc", b"stco"])
async def test_samples_to_keep_that_cannot_be_found_are_no_copy(table: bytes) -> None:
    body = film(OTHER_KEY, SAMPLES, wide=False)
    with pytest.raises(Unremovable):
        await find_location(BytesSource(body.replace(table, b"stz2")))


@pytest.mark.parametrize("table", [b"stsz", b"stsc", b"stco"])
async def test_telemetry_goes_wherever_it_lies(table: bytes) -> None:
    body = film(box(b"gpmd", bytes(8)), SAMPLES, wide=False)
    assert b"GPS5" not in await without_place(body.replace(table, b"stz2"))


def track_of(number: int, handler: bytes, entry: bytes) -> bytes:
    """Returns a track without samples of its own."""
    tables = [full(name, bytes(4)) for name in (b"stsc", b"stco")]
    described = full(b"stsd", struct.pack(">I", 1), entry)
    table = box(b"stbl", described, full(b"stsz", bytes(8)), *tables)
    header = full(b"tkhd", bytes(8), struct.pack(">I", number), bytes(68))
    return box(
        b"trak", header, box(b"mdia", full(b"hdlr", bytes(4), handler, bytes(12)), box(b"minf", table))
    )


async def test_fragments_keep_samples_of_kept_tracks_only() -> None:
    picture, place, unlisted = b"pictures", b"GPS5 48.8577", b"48N2E"
    defaults = full(b"trex", struct.pack(">IIIII", 2, 1, 0, len(place) // 2, 0))
    moov = box(
        b"moov",
        track_of(1, b"vide", box(b"avc1", bytes(78))),
        track_of(2, b"meta", box(b"gpmd", bytes(8))),
        box(b"mvex", defaults),
    )

    def moof(offset: int) -> bytes:
        sized = struct.pack(">IiII", 2, offset, 3, 5)
        pictures = box(
            b"traf", box(b"tfhd", struct.pack(">II", 0x20000, 1)), box(b"trun", b"\0\0\x02\1" + sized)
        )
        places = box(
            b"traf",
            box(b"tfhd", struct.pack(">II", 0x20000, 2)),
            box(b"trun", bytes(4), struct.pack(">I", 2)),
        )
        return box(b"moof", pictures, places)

    fragment = moof(len(moof(0)) + 8) + box(b"mdat", picture, place, unlisted)
    body = box(b"ftyp", b"isom", bytes(4)) + moov + fragment * 2
    copy = await without_place(body)
    assert copy.count(picture) == 2
    assert place not in copy
    assert unlisted not in copy
    assert copy.count(b"trun") == 4
    assert await find_location(BytesSource(copy)) == ()


@pytest.mark.parametrize(
    ("handler", "entry", "fields_bytes"),
    [(b"soun", b"mp4a", 28), (b"soun", b"none", 28), (b"tmcd", b"tmcd", 26), (b"vide", b"none", 78)],
)
async def test_unknown_boxes_of_a_sample_description_go(
    handler: bytes, entry: bytes, fields_bytes: int
) -> None:
    known = box(b"colr" if handler == b"vide" else b"esds", b"what a decoder reads")
    described = box(entry, bytes(fields_bytes), known, box(b"gps0", b"48.8577"), box(b"name", b"Paris"))
    moov = box(b"moov", track_of(1, handler, described))
    copy = await without_place(box(b"ftyp", b"isom", bytes(4)) + moov)
    assert b"48.8577" not in copy
    assert b"Paris" not in copy
    assert (known in copy) == (handler != b"tmcd")


@pytest.mark.parametrize("name", [b"moov", b"mpvd"])
async def test_boxes_within_boxes_within_boxes_are_no_copy(name: bytes) -> None:
    nested = b"".join(struct.pack(">I4s", 8 * left, name) for left in range(20_000, 0, -1))
    with pytest.raises(Unremovable):
        await find_location(BytesSource(box(b"ftyp", b"isom", bytes(4)) + nested))


# HEIF


def heif(item: bytes, *, in_idat: bool) -> bytes:
    """Returns a file with one Exif item in two separate extents."""
    half = len(item) // 2
    stored = item[:half] + b"////" + item[half:]
    ftyp = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    infe = box(b"infe", bytes([2, 0, 0, 0]), struct.pack(">HH", 1, 0), b"Exif\0")
    iinf = full(b"iinf", struct.pack(">H", 1), infe)
    idat = box(b"idat", stored if in_idat else b"")

    def iloc(base: int) -> bytes:
        extents = struct.pack(">IIII", base, half, base + half + 4, len(item) - half)
        head = struct.pack(">BBBBBBHHHHH", 1, 0, 0, 0, 0x44, 0, 1, 1, int(in_idat), 0, 2)
        return box(b"iloc", head, extents)

    def whole(base: int) -> bytes:
        meta = full(b"meta", full(b"hdlr", bytes(20)), iinf, iloc(base), idat)
        return ftyp + meta + (b"" if in_idat else box(b"mdat", stored))

    return whole(0) if in_idat else whole(len(whole(0)) - len(stored))


@pytest.mark.parametrize("in_idat", [True, False])
async def test_exif_in_several_pieces(in_idat: bool) -> None:
    exif = Shot(make="Kappi", place=(48.8577, 2.295, 35.0)).exif()
    body = heif(struct.pack(">I", 6) + exif, in_idat=in_idat)
    assert await find_location(BytesSource(body))
    copy = await without_place(body)
    assert len(copy) == len(body)
    assert b"////" not in copy, "no item lists it"
    assert b"Kappi" not in copy
    assert struct.pack(">H", 0x8825) not in copy
    assert struct.pack("<H", 0x8825) not in copy
    assert await find_location(BytesSource(copy)) == ()


async def test_nothing_stays_behind_the_content_type_of_xmp() -> None:
    texts = b"Paris\0application/rdf+xml\0\0Lyon\0"
    infe = box(b"infe", bytes([2, 0, 0, 0]), struct.pack(">HH", 1, 0), b"mime", texts)
    items = full(b"iinf", struct.pack(">H", 1), infe), full(b"iloc", bytes(4))
    copy = await without_place(
        box(b"ftyp", b"heic", bytes(4), b"mif1heic") + full(b"meta", full(b"hdlr", bytes(20)), *items)
    )
    assert b"     \0application/rdf+xml\0" + bytes(6) in copy
    assert b"Lyon" not in copy


# Damage


@pytest.mark.parametrize("name", ["jpeg", "appended", "film", "heif", "png", "bigtiff"])
async def test_damage_gives_a_copy_of_the_same_length_or_none_at_all(name: str) -> None:
    exif = Shot(place=(48.8577, 2.295, 35.0)).exif()
    body = {
        "jpeg": PLACED,
        "appended": PLACED + PLACED + FILM,
        "film": film(box(b"gpmd", bytes(8)), SAMPLES, wide=False) + FILM,
        "heif": heif(struct.pack(">I", 6) + exif, in_idat=False),
        "png": encode(quadrants(16, 16), "PNG", shot=Shot(place=(48.8577, 2.295, 35.0))),
        "bigtiff": bigtiff(gps=True),
    }[name]
    outcomes = {"copy": 0, "none": 0}
    for damaged in mutations(body, seed=random.Random(name).randrange(1 << 30), count=400):
        try:
            copy = await without_place(damaged)
        except Unremovable:
            outcomes["none"] += 1
        else:
            outcomes["copy"] += 1
            assert len(copy) == len(damaged)
    assert outcomes["copy"] > 20


@pytest.mark.parametrize("size", [12, 16, 24, 48, 64])
async def test_what_follows_a_bitmap_of_os2_goes(size: int) -> None:
    body = of_palette(colours(), 8, header_bytes=size)
    copy = await without_place(body + b"48.8577 N")
    assert copy[: len(body)] == body
    assert b"48.8577" not in copy


async def test_a_film_that_is_cut_off_gets_no_copy() -> None:
    with pytest.raises(Unremovable, match="does not fit"):
        await without_place(FILM + box(b"mdat", bytes(5_000))[:-100])


@pytest.mark.parametrize("told", [b"48.8577 N 2.2951 E; " * 9, b"\0\0\0\x18ftypmp42", b"Exif\0\0II*\0"])
async def test_a_codestream_of_jpeg_xl_with_something_behind_it_is_no_copy(told: bytes) -> None:
    """Its end is unknown without decoding it."""
    with scheduled_as_before():
        bare = bytes(imagecodecs.jpegxl_encode(np.asarray(quadrants(64, 48))))
    assert await find_location(BytesSource(bare)) == ()
    for file in (bare + told, JXL_START + box(b"jxlc", bare + told)):
        with pytest.raises(Unremovable):
            await find_location(BytesSource(file))
