"""The client is a separate package, so its copies of facts of the media service are compared here."""

from typing import Literal

import pytest
from kappi_client.formats import ACCEPTED, CAMERA_RAW, CONTENT_TYPES, HEAD_BYTES, content_type_of
from kappi_client.refusals import REASONS
from kappi_mediameta.probing import MediaFormat, RejectReason, format_of, matches, sniff
from kappi_mediameta.probing.probe import ACCEPTED as TAKEN
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants
from kappi_testkit.media.transport_packets import stream, with_times
from kappi_testkit.media.windows_films import asf, avi, picture, stream_properties


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    brands = major + bytes(4) + b"".join(compatible)
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + bytes(64)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_the_client_and_the_server_find_the_same_type_of_a_picture(fmt: str) -> None:
    _agree(encode(quadrants(40, 30), fmt))


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_the_client_and_the_server_find_the_same_type_of_a_movie(container: Literal["mp4", "mov"]) -> None:
    _agree(movie(MovieShape(container=container, seconds=0.3)))


@pytest.mark.parametrize(
    "head",
    [
        b"\xff\x0a" + bytes(64),
        b"\x00\x00\x00\x0cJXL \r\n\x87\n" + ftyp(b"jxl ", b"jxl "),
        b"\xff\x4f\xff\x51" + bytes(64),
        ftyp(b"isom", b"isom", b"iso2", b"avc1", b"mp41"),
        ftyp(b"XAVC", b"XAVC", b"mp42", b"iso2"),
        ftyp(b"qt  "),
        ftyp(b"M4V ", b"mp42", b"isom"),
        ftyp(b"3gp4", b"isom", b"3gp4"),
        ftyp(b"3g2a", b"3g2a"),
        ftyp(b"heic", b"mif1", b"heic"),
        ftyp(b"mif1", b"mif1", b"heic"),
        ftyp(b"mif1", b"avif", b"miaf"),
        ftyp(b"avis", b"msf1", b"iso8"),
        ftyp(b"crx ", b"isom"),
        b"FUJIFILMCCD-RAW 0201FF383501" + bytes(60),
        b"IIRS\x08\x00\x00\x00" + bytes(60),
        b"IIU\x00\x18\x00\x00\x00" + bytes(60),
        b"II\x1a\x00\x00\x00HEAPCCDR" + bytes(60),
        b"\x00\x00\x02\x00moov\x00\x00\x00\x6cmvhd" + bytes(100),
        b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat" + bytes(100),
        b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webmB\x87\x81\x04" + bytes(40),
        b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroskaB\x87\x81\x04" + bytes(40),
        avi(picture()),
        asf(stream_properties()),
        stream(range(0, 90_000, 3_600)),
        with_times(stream(range(0, 90_000, 3_600))),
    ],
)
def test_the_client_and_the_server_find_the_same_type_of_a_container(head: bytes) -> None:
    _agree(head)


@pytest.mark.parametrize(
    "head",
    [
        ftyp(b"M4A ", b"mp42", b"isom"),
        ftyp(b"mif1", b"mif1"),
        ftyp(b"zzzz", b"yyyy"),
        b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88whatever" + bytes(40),
        b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40),
        b"BMW is a maker of cars, and this is a text file that says so",
        b"%PDF-1.7\n" + bytes(60),
        b"",
    ],
)
def test_a_file_of_another_format_is_unknown_to_both(head: bytes) -> None:
    assert sniff(head) is None
    assert content_type_of(head) is None


def test_the_client_and_the_server_accept_the_same_formats() -> None:
    assert ACCEPTED == TAKEN


def test_the_client_and_the_server_name_the_same_camera_raw() -> None:
    found = {each: format_of(each) for each in CONTENT_TYPES.values()}
    assert {each for each, fmt in found.items() if fmt is not None and fmt.is_camera_raw} == CAMERA_RAW


def test_every_reason_of_the_server_has_words() -> None:
    assert {reason.value for reason in RejectReason} <= set(REASONS)


def _agree(body: bytes) -> None:
    found = sniff(body[:HEAD_BYTES])
    declared = content_type_of(body[:HEAD_BYTES])
    assert isinstance(found, MediaFormat)
    assert declared is not None
    assert matches(declared, found)
