import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_mediameta.probing import MediaFormat, ProbeRejected, RejectReason, identify, matches, sniff
from kappi_testkit.media.bmp import of_colours
from kappi_testkit.media.containers import tiff
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants
from kappi_testkit.media.tiff import colours
from PIL import Image

JXL = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    brands = major + b"\x00\x00\x00\x00" + b"".join(compatible)
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + bytes(64)


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        ("JPEG", MediaFormat.JPEG),
        ("PNG", MediaFormat.PNG),
        ("GIF", MediaFormat.GIF),
        ("WEBP", MediaFormat.WEBP),
        ("BMP", MediaFormat.BMP),
        ("TIFF", MediaFormat.TIFF),
        ("AVIF", MediaFormat.AVIF),
        ("JPEG2000", MediaFormat.JP2),
    ],
)
def test_pictures_are_known_by_what_encoders_write(fmt: str, expected: MediaFormat) -> None:
    assert sniff(encode(quadrants(40, 30), fmt)[:4096]) is expected


@pytest.mark.parametrize(("container", "expected"), [("mp4", MediaFormat.MP4), ("mov", MediaFormat.MOV)])
def test_movies_are_known_by_what_muxers_write(container: str, expected: MediaFormat) -> None:
    assert sniff(movie(MovieShape(container=container, seconds=0.3))[:4096]) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ftyp(b"isom", b"isom", b"iso2", b"avc1", b"mp41"), MediaFormat.MP4),
        (ftyp(b"XAVC", b"XAVC", b"mp42", b"iso2"), MediaFormat.MP4),
        (ftyp(b"qt  "), MediaFormat.MOV),
        (ftyp(b"M4V ", b"mp42", b"isom"), MediaFormat.M4V),
        (ftyp(b"3gp4", b"isom", b"3gp4"), MediaFormat.THREE_GP),
        (ftyp(b"3g2a", b"3g2a"), MediaFormat.THREE_GP),
        (ftyp(b"heic", b"mif1", b"heic"), MediaFormat.HEIC),
        (ftyp(b"mif1", b"mif1", b"heic"), MediaFormat.HEIC),
        (ftyp(b"mif1", b"avif", b"miaf"), MediaFormat.AVIF),
        (ftyp(b"avis", b"msf1", b"iso8"), MediaFormat.AVIF),
        (ftyp(b"M4A ", b"mp42", b"isom"), None),
        (ftyp(b"crx ", b"isom"), MediaFormat.CR3),
        (ftyp(b"mif1", b"mif1"), None),
        (ftyp(b"zzzz", b"yyyy"), None),
        (b"\x00\x00\x02\x00moov\x00\x00\x00\x6cmvhd" + bytes(100), MediaFormat.MOV),
        (b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat" + bytes(100), MediaFormat.MOV),
        (b"\x00\x00\x00\x08wide\x00\x00\x10\x00evil" + bytes(100), None),
        (JXL + ftyp(b"jxl ", b"jxl "), MediaFormat.JXL),
        (JXL + ftyp(b"isom", b"jxl "), MediaFormat.JXL),
        (JXL + ftyp(b"jp2 ", b"jp2 "), None),
        (JXL + bytes(64), None),
        (JXL + ftyp(b"jxl ")[:12], None),
        (b"\xff\x0a" + bytes(10), MediaFormat.JXL),
        (b"\xff\x0a" + bytes(9), None),
        (JP2 + ftyp(b"jp2 ", b"jp2 "), MediaFormat.JP2),
        (JP2 + ftyp(b"jpx ", b"jp2 "), MediaFormat.JP2),
        (JP2 + ftyp(b"jpx ", b"jpxb"), None),
        (JP2 + ftyp(b"jph ", b"jph "), None),
        (ftyp(b"jp2 ", b"jp2 "), None),
        (b"\xff\x4f\xff\x51\x00\x2f" + bytes(64), MediaFormat.JP2),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webmB\x87\x81\x04" + bytes(40), MediaFormat.WEBM),
        (b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroskaB\x87\x81\x04" + bytes(40), MediaFormat.MKV),
        (b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88whatever" + bytes(40), None),
    ],
)
def test_containers_are_told_apart_by_their_brands(head: bytes, expected: MediaFormat | None) -> None:
    assert sniff(head) is expected


def test_a_box_of_brands_may_have_a_long_size() -> None:
    head = ftyp(b"isom", b"mp42")
    assert sniff((1).to_bytes(4, "big") + b"ftyp" + (28).to_bytes(8, "big") + head[8:]) is MediaFormat.MP4


def test_bytes_may_fill_before_the_first_marker_of_a_jpeg() -> None:
    body = encode(quadrants(40, 30), "JPEG")
    assert sniff(body[:2] + b"\xff" * 9 + body[2:]) is MediaFormat.JPEG


@pytest.mark.parametrize(("at", "size"), [(2, 4), (6, 4), (2, 8)])
def test_what_a_bmp_says_of_its_file_does_not_matter(at: int, size: int) -> None:
    body = encode(quadrants(40, 30), "BMP")
    assert sniff(body[:at] + b"\x07" * size + body[at + size :]) is MediaFormat.BMP


REDUCED = (254, 4, 1, 1)


def of_camera(make: str, *entries: tuple[int, int, int, int], model: str = "") -> bytes:
    """Returns the first directory of a file by a camera, whose names follow the directory."""
    names_at = 8 + 2 + 12 * (len(entries) + 2) + 4
    names = (271, 2, len(make) + 1, names_at), (272, 2, len(model) + 1, names_at + 40)
    return tiff((*entries, *names), tail=make.encode().ljust(40, b"\x00") + model.encode().ljust(40, b"\x00"))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(60), MediaFormat.CR2),
        (ftyp(b"crx ", b"crx ", b"isom"), MediaFormat.CR3),
        (b"II\x1a\x00\x00\x00HEAPCCDR" + bytes(60), MediaFormat.CRW),
        (b"FUJIFILMCCD-RAW 0201FF383501" + bytes(60), MediaFormat.RAF),
        (b"IIRO\x08\x00\x00\x00" + bytes(60), MediaFormat.ORF),
        (b"IIRS\x08\x00\x00\x00" + bytes(60), MediaFormat.ORF),
        (b"MMOR\x00\x00\x00\x08" + bytes(60), MediaFormat.ORF),
        (b"IIU\x00\x18\x00\x00\x00" + bytes(60), MediaFormat.RW2),
        (b"II*\x00\x20\x00\x00\x00IIIITwaR" + bytes(60), MediaFormat.IIQ),
        (tiff(((50706, 1, 4, 0x401),)), MediaFormat.DNG),
        (of_camera("NIKON CORPORATION", REDUCED), MediaFormat.NEF),
        (of_camera("NIKON", REDUCED), MediaFormat.NRW),
        (of_camera("SONY", REDUCED, model="ILCE-7M4"), MediaFormat.ARW),
        (of_camera("SONY", REDUCED, model="DSC-R1"), MediaFormat.SR2),
        (of_camera("PENTAX Corporation", (262, 3, 1, 32803)), MediaFormat.PEF),
        (of_camera("RICOH IMAGING COMPANY, LTD.", (259, 3, 1, 65535)), MediaFormat.PEF),
        (of_camera("Hasselblad", (255, 3, 1, 2)), MediaFormat.HASSELBLAD_3FR),
        (of_camera("NIKON CORPORATION"), MediaFormat.TIFF),  # by a program of the maker
    ],
)
def test_camera_raw_is_told_apart_by_marks_and_makers(head: bytes, expected: MediaFormat) -> None:
    assert sniff(head) is expected
    assert identify("image/jpeg", head) is expected
    with pytest.raises(ProbeRejected, match="type_mismatch"):
        identify("video/mp4", head)


@pytest.mark.parametrize("declared", ["image/tiff", "image/jpeg", "video/mp4"])
@pytest.mark.parametrize(
    "head",
    [
        b"FOVb" + bytes(60),
        b"\x00MRM" + bytes(60),
        of_camera("Leaf", REDUCED),
        tiff(((254, 4, 1, 1), (256, 4, 1, 40))),
        tiff(((262, 3, 1, 32803),)),
    ],
)
def test_other_camera_raw_is_unsupported_whatever_it_is_declared_as(head: bytes, declared: str) -> None:
    with pytest.raises(ProbeRejected) as refused:
        identify(declared, head)
    assert refused.value.reason is RejectReason.UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x7fELF\x02\x01\x01" + bytes(60),
        b"MZ\x90\x00" + bytes(60),
        b"#!/bin/sh\nrm -rf /\n",
        b"PK\x03\x04" + bytes(60),
        b"%PDF-1.7\n" + bytes(60),
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>',
        b"<!DOCTYPE html><html><body>GIF89a</body></html>",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"GIF88a" + bytes(40),
        b"GIF89a",
        b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40),
        b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(40),
        b"BM" + b"A" * 60,
        b"BMW is a maker of cars, and this is a text file that says so",
    ],
)
def test_anything_else_is_nothing(head: bytes) -> None:
    assert sniff(head) is None


@pytest.mark.parametrize("space", [b"free", b"skip", b"wide"])
@pytest.mark.parametrize("size", [8, 16, 500, 4_080, 4_096, 5_000, 1 << 20, 1 << 29])
def test_empty_space_comes_first_at_any_size(space: bytes, size: int) -> None:
    film = movie(MovieShape(container="mp4", seconds=0.3))
    body = size.to_bytes(4, "big") + space + bytes(min(size, 8_000) - 8) + film
    assert sniff(body[:4096]) in (MediaFormat.MP4, MediaFormat.MOV)
    assert matches("video/mp4", MediaFormat.MOV)


@pytest.mark.parametrize(
    "head",
    [
        b"\x00\x00\x00\x04free" + bytes(100),
        b"\x00\x00\x00\x01free" + (4).to_bytes(8, "big") + bytes(100),
        b"<svgfree onload=x>" + b" " * 100,
        b"\x00\x00\x00\x08free\x00\x00\x00\x08skip" + b"<html>" * 20,
    ],
)
def test_what_only_begins_like_empty_space_is_nothing(head: bytes) -> None:
    assert sniff(head) is None


def test_empty_space_in_a_long_box_and_several_of_them() -> None:
    film = movie(MovieShape(container="mov", seconds=0.3))
    long = b"\x00\x00\x00\x01free" + (40).to_bytes(8, "big") + bytes(24)
    assert sniff((long + b"\x00\x00\x00\x08wide" + film)[:4096]) is MediaFormat.MOV
    assert sniff((long + ftyp(b"heic", b"mif1", b"heic"))[:4096]) is MediaFormat.HEIC


@pytest.mark.parametrize("width", range(1, 9))
@pytest.mark.parametrize(("name", "expected"), [(b"webm", MediaFormat.WEBM), (b"matroska", MediaFormat.MKV)])
def test_lengths_of_ebml_have_any_width(width: int, name: bytes, expected: MediaFormat) -> None:
    def element(id_: bytes, body: bytes) -> bytes:
        return id_ + ((1 << 7 * width) | len(body)).to_bytes(width, "big") + body

    body = element(b"\xec", bytes(40)) + element(b"\x42\x86", b"\x01") + element(b"\x42\x82", name + b"\x00")
    assert sniff(element(b"\x1aE\xdf\xa3", body) + bytes(100)) is expected


@pytest.mark.parametrize("size", [12, 16, 20, 40, 48, 52, 56, 64, 108, 124])
def test_bmp_has_headers_of_many_lengths(size: int) -> None:
    assert sniff(of_colours(colours(), header_bytes=size)[:4096]) is MediaFormat.BMP


def test_bmp_of_a_writer_that_leaves_the_file_size_zero() -> None:
    body = bytearray(encode(quadrants(4, 4), "BMP"))
    struct.pack_into("<I", body, 2, 0)
    assert sniff(bytes(body)) is MediaFormat.BMP


@given(st.binary(max_size=300))
def test_no_bytes_upset_it(head: bytes) -> None:
    for start in (
        b"",
        b"\xff\xd8\xff",
        b"RIFF",
        b"BM",
        b"\x1aE\xdf\xa3",
        b"\x00\x00\x00\x20ftyp",
        b"\x00\x00\x00\x08wide",
    ):
        sniff(start + head)


@pytest.mark.parametrize(
    ("declared", "found", "truthful"),
    [
        ("image/jpeg", MediaFormat.JPEG, True),
        ("IMAGE/JPG; q=1", MediaFormat.JPEG, True),
        ("image/x-ms-bmp", MediaFormat.BMP, True),
        ("image/heif", MediaFormat.HEIC, True),
        ("image/x-jxl", MediaFormat.JXL, True),
        ("image/jpx", MediaFormat.JP2, True),
        ("video/mp4", MediaFormat.MOV, True),
        ("video/quicktime", MediaFormat.MP4, True),
        ("video/mp4", MediaFormat.THREE_GP, True),
        ("video/webm", MediaFormat.MKV, True),
        ("video/mp4", MediaFormat.WEBM, False),
        ("video/avi", MediaFormat.AVI, True),
        ("video/vnd.dlna.mpeg-tts", MediaFormat.MPEG_TS, True),
        ("video/x-ms-asf", MediaFormat.WMV, True),
        ("video/mp4", MediaFormat.AVI, False),
        ("video/x-msvideo", MediaFormat.WMV, False),
        ("image/png", MediaFormat.JPEG, True),
        ("image/jpeg", MediaFormat.WEBP, True),
        ("image/jpeg", MediaFormat.MP4, False),
        ("video/mp4", MediaFormat.HEIC, False),
        ("application/octet-stream", MediaFormat.JPEG, False),
        ("", MediaFormat.JPEG, False),
    ],
)
def test_which_declarations_are_truthful(declared: str, found: MediaFormat, truthful: bool) -> None:
    assert matches(declared, found) is truthful


PNG = encode(Image.new("RGB", (2, 2)), "PNG")


@pytest.mark.parametrize(
    ("declared", "head", "reason"),
    [
        ("image/png", b"\x7fELF" + bytes(60), RejectReason.TYPE_MISMATCH),
        ("video/mp4", PNG, RejectReason.TYPE_MISMATCH),
        ("image/svg+xml", b"<svg/>", RejectReason.UNSUPPORTED_TYPE),
        ("application/zip", b"PK\x03\x04" + bytes(40), RejectReason.UNSUPPORTED_TYPE),
        ("image/heic", ftyp(b"mp42", b"isom"), RejectReason.TYPE_MISMATCH),
        ("audio/mp4", ftyp(b"M4A ", b"isom"), RejectReason.UNSUPPORTED_TYPE),
        ("video/mp4", ftyp(b"M4A ", b"isom"), RejectReason.TYPE_MISMATCH),
        ("image/png", b"", RejectReason.EMPTY),
    ],
)
def test_a_file_is_refused_for_a_stable_reason(declared: str, head: bytes, reason: RejectReason) -> None:
    with pytest.raises(ProbeRejected) as refused:
        identify(declared, head)
    assert refused.value.reason is reason


def test_a_truthful_file_is_identified() -> None:
    assert identify("image/png", PNG) is MediaFormat.PNG
