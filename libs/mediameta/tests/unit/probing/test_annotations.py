"""Captions, keywords, times and places of XMP and IPTC, in every format that has them."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from kappi_mediameta.probing import BytesSource, Coordinates, Probe, probe, sniff
from kappi_mediameta.probing.annotations import clean_caption, clean_keywords
from kappi_mediameta.probing.iptc import read_iptc
from kappi_mediameta.probing.written import decoded, written_time, written_zone
from kappi_mediameta.probing.xmp import is_xmp, read_xmp
from kappi_testkit.media.metadata_blocks import (
    FULL_XMP,
    WITH_XMP,
    caption,
    exif_block,
    jpeg,
    jpeg_segments,
    keywords,
    photoshop,
    png,
    profile_text,
    records,
    xmp_packet,
)
from kappi_testkit.media.samples import Shot

_SHOT = Shot(
    make="KAPPI", model="TEST", taken="2024:07:05 12:11:12", offset="+02:00", place=(48.5, -21.25, 100.0)
)
_TIFF = _SHOT.exif()[6:]
_OF_SHOT = datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC)


async def probed(body: bytes) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return await probe(BytesSource(body), fmt)


@pytest.mark.parametrize("make", WITH_XMP.values(), ids=WITH_XMP)
async def test_xmp_is_read_in_every_format_that_carries_it(make: Callable[[bytes], bytes]) -> None:
    found = await probed(make(FULL_XMP))
    assert (found.caption, found.keywords) == ("Nebel über dem Pass", ("alps", "Nebel"))
    assert found.location == Coordinates(latitude=46.5586, longitude=-8.3375, altitude=2469.0)
    assert (found.taken_at, found.taken_offset_minutes) == (datetime(1985, 7, 5, 10, 11, 12, tzinfo=UTC), 120)


async def test_a_film_keeps_its_own_time() -> None:
    own = WITH_XMP["mp4"](FULL_XMP)
    body = own.replace(b"mvhd\x00\x00\x00\x00\x00\x00\x00\x00", b"mvhd\x00\x00\x00\x00\xe2\xac\x8e\x00", 1)
    found = await probed(body)
    assert found.taken_at is not None
    assert found.taken_at.year == 2024
    assert found.caption == "Nebel über dem Pass"


@pytest.mark.parametrize(
    ("kind", "content", "name"),
    [
        ("exif", b"Exif\x00\x00" + _TIFF, b"zTXt"),
        ("exif", _TIFF, b"tEXt"),
        ("APP1", b"Exif\x00\x00" + _TIFF, b"zTXt"),
        ("app1", b"Exif\x00\x00" + _TIFF, b"iTXt"),
    ],
)
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
async def test_exif_as_hexadecimal_text_in_a_png(
    kind: str, content: bytes, name: bytes, behind: bool
) -> None:
    text = profile_text(kind, content)
    keyword = f"Raw profile type {kind}".encode()
    rest = {b"zTXt": b"\x00" + zlib.compress(text), b"iTXt": b"\x00\x00en\x00\x00" + text}.get(name, text)
    found = await probed(png((name, keyword + b"\x00" + rest), behind=behind))
    assert (found.taken_at, found.taken_offset_minutes) == (_OF_SHOT, 120)
    assert found.location == Coordinates(48.5, -21.25, 100.0)
    assert found.camera is not None
    assert found.camera.model == "TEST"


async def test_exif_as_text_turns_no_picture_and_yields_to_the_real_one() -> None:
    turned = profile_text("exif", Shot(orientation=6, make="text").exif())
    text = (b"tEXt", b"Raw profile type exif\x00" + turned)
    alone = await probed(png(text))
    assert (alone.orientation, alone.width, alone.camera and alone.camera.make) == (1, 120, "text")
    both = await probed(png(text, (b"eXIf", Shot(orientation=3, make="real").exif()[6:])))
    assert (both.orientation, both.camera and both.camera.make) == (3, "real")


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", b"Description\x00Caf\xe9"),
        (b"zTXt", b"Description\x00\x00" + zlib.compress(b"Caf\xe9")),
        (b"iTXt", b"Description\x00\x00\x00\x00\x00Caf\xc3\xa9"),
    ],
)
async def test_the_description_and_time_that_a_png_has_keywords_for(chunk: tuple[bytes, bytes]) -> None:
    found = await probed(png(chunk, (b"tEXt", b"Creation Time\x002024-07-05T12:11:12+02:00")))
    assert (found.caption, found.taken_at) == ("Café", _OF_SHOT)
    xmp = (b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + FULL_XMP)
    assert (await probed(png(chunk, xmp))).caption == "Nebel über dem Pass"


async def test_keywords_and_comment_as_windows_writes_them() -> None:
    fields = [(0x9C9E, "alps; Nébel;".encode("utf-16-le")), (0x9C9C, "Übér dem Pass\0".encode("utf-16-le"))]
    block = exif_block([(tag, 1, value) for tag, value in fields])
    found = await probed(jpeg(exif=block))
    assert (found.caption, found.keywords) == ("Übér dem Pass", ("alps", "Nébel"))
    described = await probed(jpeg(FULL_XMP, exif=block))
    assert (described.caption, described.keywords) == ("Nebel über dem Pass", ("alps", "Nebel"))


@pytest.mark.parametrize("kind", ["iptc", "8bim"])
async def test_iptc_as_hexadecimal_text_in_a_png(kind: str) -> None:
    body = photoshop(records([(120, b"By IPTC")]))
    text = (b"tEXt", f"Raw profile type {kind}\x00".encode() + profile_text(kind, body))
    assert (await probed(png(text))).caption == "By IPTC"


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", b"Cr\xe9\xe9 par\x00GIMP \xe9"),
        (b"zTXt", b"Cr\xe9\xe9 par\x00\x00" + zlib.compress(b"\xe9")),
        (b"iTXt", b"Cr\xe9\xe9 par\x00\x00\x00\xff\x00\xfe\x00\xe9"),
        (b"zTXt", b"Raw profile type exif\x00\x00damaged"),
        (b"iTXt", b"XML:com.adobe.xmp\x00\x01"),
        (b"tEXt", b"Raw profile type exif\x00\nexif\n  99999999\nzz"),
        (b"tEXt", b"Raw profile type exif\x00" + b"\n " * 400_000),
        (b"tEXt", b"no end of keyword"),
    ],
)
async def test_any_text_may_stand_in_a_png(chunk: tuple[bytes, bytes]) -> None:
    found = await probed(png(chunk))
    assert (found.width, found.caption, found.taken_at) == (120, None, None)


async def test_a_text_that_unpacks_to_much_is_read_in_part() -> None:
    bomb = zlib.compress(FULL_XMP + b" " * (64 << 20), 9)
    found = await probed(png((b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + bomb)))
    assert found.caption == "Nebel über dem Pass"


@pytest.mark.timeout(30)
async def test_of_many_texts_few_are_unpacked() -> None:
    bomb = zlib.compress(FULL_XMP + b" " * (4 << 20), 9)
    chunk = (b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + bomb)
    body = png(*[chunk] * 1_500)
    tracemalloc.start()
    try:
        found = await probed(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.caption == "Nebel über dem Pass"
    assert peak < 64 << 20


async def test_a_long_packet_goes_on_in_segments_of_its_own() -> None:
    more = xmp_packet(caption("Long"), keywords("far", "near"))
    digest = b"0123456789ABCDEF0123456789ABCDEF"
    main = xmp_packet(attributes=f'xmpNote:HasExtendedXMP="{digest.decode()}"')
    half = len(more) // 2
    mark = b"http://ns.adobe.com/xmp/extension/\x00"

    def piece(of: bytes, start: int, end: int) -> tuple[int, bytes]:
        counts = len(more).to_bytes(4, "big") + start.to_bytes(4, "big")
        return 0xE1, mark + of + counts + more[start:end]

    first = (0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + main)
    found = await probed(jpeg_segments(first, piece(digest, half, len(more)), piece(digest, 0, half)))
    assert (found.caption, found.keywords) == ("Long", ("far", "near"))
    stale = await probed(jpeg_segments(first, piece(b"F" * 32, 0, len(more))))
    assert (stale.caption, stale.keywords) == (None, ())


# Precedence: Metadata Working Group, Guidelines for Handling Image Metadata 2.0.

_XMP = xmp_packet(caption("XMP"), keywords("xmp"), attributes='photoshop:DateCreated="2001-01-01T01:00:00Z"')
_IPTC = records([(120, b"IPTC"), (25, b"iptc"), (55, b"20020202"), (60, b"020000+0100")])


@pytest.mark.parametrize(
    ("known", "said", "year"),
    [
        (None, ("XMP", ("xmp",)), 2001),
        (_IPTC, ("XMP", ("xmp",)), 2001),
        (b"older", ("IPTC", ("iptc",)), 2002),
    ],
    ids=["no digest", "same digest", "changed since"],
)
async def test_xmp_counts_before_iptc_unless_that_was_changed_since(
    known: bytes | None, said: tuple[str, tuple[str, ...]], year: int
) -> None:
    found = await probed(jpeg(_XMP, iptc=photoshop(_IPTC, known=known)))
    assert (found.caption, found.keywords) == said
    assert found.taken_at is not None
    assert found.taken_at.year == year


async def test_iptc_alone_counts_in_jpeg_and_in_tiff() -> None:
    found = await probed(jpeg(iptc=photoshop(_IPTC)))
    assert (found.caption, found.keywords, found.taken_offset_minutes) == ("IPTC", ("iptc",), 60)
    assert found.taken_at == datetime(2002, 2, 2, 1, tzinfo=UTC)


async def test_exif_counts_before_both_for_time_and_place() -> None:
    found = await probed(jpeg(FULL_XMP, iptc=photoshop(_IPTC), exif=_SHOT.exif()))
    assert found.taken_at == _OF_SHOT
    assert found.location == Coordinates(48.5, -21.25, 100.0)
    assert found.caption == "Nebel über dem Pass"


@pytest.mark.parametrize(
    ("attributes", "year"),
    [
        ('xmp:CreateDate="2003-01-01T00:00:00" exif:DateTimeOriginal="2002-01-01T00:00:00"', 2002),
        ('xmp:CreateDate="2003-01-01T00:00:00"', 2003),
        ('exif:DateTimeDigitized="2004-01-01T00:00:00"', 2004),
        ('xmp:ModifyDate="2005-01-01T00:00:00" xmp:MetadataDate="2005-01-01T00:00:00"', None),
        ('photoshop:DateCreated="2006" xmp:CreateDate="2007-05-06"', 2007),
    ],
)
def test_which_time_of_xmp_counts(attributes: str, year: int | None) -> None:
    found = read_xmp([xmp_packet(attributes=attributes)])
    written = found.taken or found.digitized
    assert (written.local.year if written else None) == year


@pytest.mark.parametrize(
    ("latitude", "longitude", "place"),
    [
        ("48,53.316N", "21,2.583E", (48.8886, 21.04305)),
        ("48,53,19N", "21,2,35W", (48.888611, -21.043056)),
        ("48.8886", "-21.0431", (48.8886, -21.0431)),
        ("48.8886S", "21.0431 W", (-48.8886, -21.0431)),
        ("48°53'18.96\" N", "21° 2' 35.16\" E", (48.8886, 21.0431)),
        ("48 deg 53' 18.96\" N", "21 deg 2' 35.16\" E", (48.8886, 21.0431)),
        ("0,0.0N", "0,0.0E", None),
        ("91,0N", "21,0E", None),
        ("48,53.316E", "21,2.583N", None),
        ("", "21,2.583E", None),
        ("Warszawa", "Polska", None),
    ],
)
def test_places_as_they_are_written_in_xmp(
    latitude: str, longitude: str, place: tuple[float, float] | None
) -> None:
    quoted = latitude.replace('"', "&quot;"), longitude.replace('"', "&quot;")
    packet = xmp_packet(attributes='exif:GPSLatitude="{}" exif:GPSLongitude="{}"'.format(*quoted))
    found = read_xmp([packet]).location
    assert (None if found is None else (found.latitude, found.longitude)) == (
        None if place is None else pytest.approx(place, abs=1e-6)
    )


@pytest.mark.parametrize(("altitude", "metres"), [("0/0", None), ("100/2", 50.0), ("7", 7.0), ("high", None)])
def test_a_fraction_over_nothing_is_no_altitude(altitude: str, metres: float | None) -> None:
    attributes = f'exif:GPSLatitude="48,0N" exif:GPSLongitude="21,0E" exif:GPSAltitude="{altitude}"'
    found = read_xmp([xmp_packet(attributes=attributes)]).location
    assert found is not None
    assert found.altitude == metres


def test_what_is_nested_speaks_of_something_else() -> None:
    packet = xmp_packet(
        '<Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li rdf:parseType="Resource">'
        "<exif:GPSLatitude>48,53.316N</exif:GPSLatitude><exif:GPSLongitude>21,2.583E</exif:GPSLongitude>"
        "<dc:description>Elsewhere</dc:description></rdf:li></rdf:Bag></Iptc4xmpExt:LocationShown>"
    )
    found = read_xmp([packet])
    assert (found.location, found.caption) == (None, None)


def test_the_caption_in_the_default_language_counts() -> None:
    packet = xmp_packet(
        '<dc:description><rdf:Alt><rdf:li xml:lang="fr">Le col</rdf:li>'
        '<rdf:li xml:lang="x-default">The pass</rdf:li></rdf:Alt></dc:description>'
    )
    assert read_xmp([packet]).caption == "The pass"
    assert read_xmp([xmp_packet("<dc:description>Plain</dc:description>")]).caption == "Plain"


def test_of_a_path_of_keywords_the_last_counts() -> None:
    packet = xmp_packet(
        keywords("Paris"), keywords("Places|Europe|Paris", "Animals|Cat", name="lr:hierarchicalSubject")
    )
    assert read_xmp([packet]).keywords == ("Paris", "Cat")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wider_encodings_of_xmp(encoding: str) -> None:
    packet = FULL_XMP.decode().replace("\ufeff", "").encode(encoding)
    assert read_xmp([packet]).caption == "Nebel über dem Pass"


def test_a_packet_that_breaks_off_is_read_as_far_as_it_goes() -> None:
    whole = xmp_packet(caption("There"), keywords("gone"))
    assert read_xmp([whole[: whole.index(b"<dc:subject>") + 20]]).caption == "There"
    assert read_xmp([whole.replace(b"There", b"Th\x01\x00ere")]).caption == "Th  ere"
    assert read_xmp([whole.replace(b"There", b"Caf\xe9")]).caption == "Caf\ufffd"


# Hostile XMP.

_LAUGHS = (
    b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
)


@pytest.mark.parametrize("entity", ["&a;", "&c;", "&f;"])
@pytest.mark.parametrize("inside", [False, True])
def test_no_entity_is_followed(entity: str, inside: bool) -> None:
    packet = xmp_packet(caption("Before"), f"<dc:subject>{entity}</dc:subject>")
    mark = b"<rdf:RDF" if inside else b"<x:xmpmeta"
    found = read_xmp([packet.replace(mark, _LAUGHS + mark, 1)])
    assert found.keywords == ()
    assert found.caption in ("Before", None)


@pytest.mark.parametrize(
    "packet",
    [
        xmp_packet("<a>" * 100_000),
        xmp_packet("<a/>" * 200_000),
        xmp_packet(keywords(*["x" * 100] * 8_000)),
        xmp_packet("<dc:description>" + "x" * 900_000 + "</dc:description>"),
        xmp_packet(attributes=" ".join(f'a{n}="{n}"' for n in range(60_000))),
        xmp_packet("".join(f'<a xmlns:n{n}="urn:{n}"/>' for n in range(30_000))),
        xmp_packet(attributes=" ".join(f'xmlns:n{n}="urn:{n}"' for n in range(30_000))),
        b"<" * (1 << 20),
        b"<x:xmpmeta " * 90_000,
        b'<?xml version="1.0" encoding="unicode_escape"?>' + FULL_XMP,
        b"",
    ],
)
@pytest.mark.timeout(30)
def test_no_packet_takes_long(packet: bytes) -> None:
    found = read_xmp([packet])
    assert len(found.caption or "") <= 2_000
    assert len(found.keywords) <= 50


def test_captions_and_keywords_are_as_the_api_takes_them() -> None:
    assert clean_caption("  One\r\ntwo\tthree\x00 ") == "One\ntwo three"
    assert clean_caption("x" * 3_000) == "x" * 2_000
    assert clean_keywords([" a  b ", "A B", "", "x" * 65, "\x07"]) == ("a b",)
    assert clean_keywords([", ".join(["one", "two", "x" * 60])]) == ("one", "two", "x" * 60)
    assert clean_keywords(["one, two"]) == ("one, two",)
    assert len(clean_keywords(str(number) for number in range(80))) == 50


@pytest.mark.parametrize(
    "written",
    [
        "OLYMPUS DIGITAL CAMERA         ",
        "SONY DSC",
        "DCIM\\100MEDIA\\DJI_0001.JPG",
        "Exif_JPEG_PICTURE",
        "<?xml version='1.0'?>\n<OME/>",
        '{"shape": [2]}',
        " ",
    ],
)
def test_what_a_camera_gives_to_every_picture_is_no_caption(written: str) -> None:
    assert clean_caption(written) is None
    assert clean_caption("My new digital camera") == "My new digital camera"


def test_iptc_without_a_character_set_may_be_latin_1() -> None:
    latin = read_iptc(records([(120, "Col é".encode("latin-1")), (25, b"\x96")], utf8=False))
    assert (latin.caption, latin.keywords) == ("Col é", ("\u2013",))
    assert read_iptc(records([(120, "Col é".encode())])).caption == "Col é"


def test_iptc_as_whole_numbers_of_the_other_order() -> None:
    body = records([(120, b"Swapped")])
    body += bytes(-len(body) % 4)
    swapped = b"".join(body[at : at + 4][::-1] for at in range(0, len(body), 4))
    assert read_iptc(swapped).caption == "Swapped"


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_damaged_iptc_is_passed_over(length: int) -> None:
    assert read_iptc(_IPTC[:length] + b"\xff\xff\xff\xff").location is None


@pytest.mark.parametrize(
    ("written", "local", "minutes"),
    [
        ("2024:07:05 12:11:12", "2024-07-05T12:11:12", None),
        ("2024-07-05T12:11:12+02:00", "2024-07-05T12:11:12", 120),
        ("2024-07-05T12:11:12+0200", "2024-07-05T12:11:12", 120),
        ("2024-07-05T12:11:12.25-09:30", "2024-07-05T12:11:12.250000", -570),
        ("2024:07:05 12:11:12Z", "2024-07-05T12:11:12", 0),
        ("2024:07:05 12:11:12 UTC", "2024-07-05T12:11:12", 0),
        ("2024/07/05 12:11", "2024-07-05T12:11:00", None),
        ("2024: 7: 5  9:01:02", "2024-07-05T09:01:02", None),
        ("2024-07-05", "2024-07-05T00:00:00", None),
        ("20240705", "2024-07-05T00:00:00", None),
        ("20240705T121112+0200", "2024-07-05T12:11:12", 120),
        ("20240705 12:11:12.25", "2024-07-05T12:11:12.250000", None),
    ],
)
def test_times_as_they_are_written(written: str, local: str, minutes: int | None) -> None:
    found = written_time(written)
    assert found is not None
    zone = None if minutes is None else timedelta(minutes=minutes)
    assert (found.local.isoformat(), found.zone and found.zone.utcoffset(None)) == (local, zone)


@pytest.mark.parametrize(
    "written",
    ["", "0000:00:00 00:00:00", "    :  :     :  :  ", "2024:13:45 12:00:00", "2024", "2024-07", "x"],
)
def test_what_is_no_time(written: str) -> None:
    assert written_time(written) is None


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        *(
            ("+02:00", 120),
            ("+0200", 120),
            ("+02", 120),
            ("-9:30", -570),
            ("UTC+2", 120),
            ("Z", 0),
            ("GMT", 0),
        ),
        *(("", None), ("+99:00", None), ("+02:75", None), ("02:00", None), ("  :  ", None)),
    ],
)
def test_zones_with_and_without_colon(written: str, minutes: int | None) -> None:
    zone = written_zone(written)
    assert (None if zone is None else zone.utcoffset(None)) == (
        None if minutes is None else timedelta(minutes=minutes)
    )


def test_text_is_utf_8_or_latin_1() -> None:
    assert (decoded("é".encode()), decoded(b"\xe9"), decoded(b"\x80\x81")) == ("é", "é", "€\ufffd")


@pytest.mark.parametrize(
    ("document", "is_one"),
    [
        (FULL_XMP, True),
        (b"\xef\xbb\xbf" + FULL_XMP, True),
        (FULL_XMP.decode().encode("utf-16"), True),
        (b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- a <b> --><!-- c -->\n' + FULL_XMP, True),
        (FULL_XMP[FULL_XMP.index(b"<rdf:RDF") :], True),
        (b"<?xml-stylesheet href='a.xsl'?>" + FULL_XMP, False),
        (b"<!DOCTYPE html>" + FULL_XMP, False),
        (b"<html>" + FULL_XMP, False),
        (b"GIF89a" + FULL_XMP, False),
        (b"\x00" + FULL_XMP, False),
        (b"", False),
        (b"<!-- a -->" * 50_000, False),
        (b"<!-- " * 100_000, False),
        (b"<?xml " + b"a" * 500_000, False),
    ],
)
def test_what_is_a_document_of_xmp(document: bytes, is_one: bool) -> None:
    assert is_xmp(document) is is_one
