"""A file that is a picture and also something else is refused. Data that phones append are accepted."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile

import pytest
from kappi_mediameta.probing import BytesSource, MediaFormat, ProbeRejected, RejectReason, probe, sniff
from kappi_testkit.media.metadata_bombs import webp_with_chunks
from kappi_testkit.media.samples import MovieShape, animation, encode, movie, quadrants
from kappi_testkit.media.transport_packets import stream
from kappi_testkit.media.windows_films import asf, avi, picture, stream_properties

JPEG = encode(quadrants(60, 40), "JPEG")
PNG = encode(quadrants(60, 40), "PNG")
GIF = animation("GIF", 60, 40)
WEBP = encode(quadrants(60, 40), "WEBP")
BMP = encode(quadrants(60, 40), "BMP")
MP4 = movie(MovieShape(seconds=0.5))
FILMS = {
    "avi": avi(picture()),
    "ts": stream(range(0, 90_000, 3_600)),
    "wmv": asf(stream_properties()),
}
PICTURES = {"jpeg": JPEG, "png": PNG, "gif": GIF, "bmp": BMP, "mp4": MP4, **FILMS}


def zipped(*, comment: bytes = b"", files: int = 1) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(files):
            archive.writestr(f"payload{number}.sh", "#!/bin/sh\n")
        archive.comment = comment
    return out.getvalue()


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + jpeg[2:]


async def verdict(body: bytes) -> RejectReason | None:
    fmt = sniff(body[:4096])
    assert fmt is not None
    try:
        await probe(BytesSource(body), fmt)
    except ProbeRejected as refused:
        return refused.reason
    return None


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(
    "archive",
    [zipped(), zipped(comment=b"x" * 60_000), zipped(files=40), zipped(files=0)],
    ids=["plain", "long comment", "many files", "empty"],
)
async def test_a_zip_behind_a_picture(name: str, archive: bytes) -> None:
    assert await verdict(PICTURES[name]) is None
    body = PICTURES[name] + archive
    assert zipfile.is_zipfile(io.BytesIO(body)), "an unpacker takes it"
    assert await verdict(body) is RejectReason.POLYGLOT


def patched(archive: bytes, *changes: tuple[int, str, int]) -> bytes:
    """Returns the archive with other numbers in its end record. changes: offset, format and number."""
    record = bytearray(archive[-22:])
    for offset, form, number in changes:
        struct.pack_into(form, record, offset, number)
    return archive[:-22] + record


@pytest.mark.parametrize(
    "archive",
    [
        patched(zipped(), (4, "<H", 1)),
        patched(zipped(), (4, "<H", 1), (6, "<H", 1)),
        patched(zipped(), (8, "<H", 9)),
        patched(zipped(), (16, "<I", 7)),
        patched(zipped(), (12, "<I", 9), (16, "<I", len(JPEG) + zipped().index(b"PK\1\2"))),
        zipped()[:-22] + b"PK\6\7" + bytes(16) + patched(zipped(), (12, "<I", 0xFFFFFFFF))[-22:],
        b"PK\5\6????" * 20,
    ],
    ids=["disk", "disks", "entries", "offset", "measured from the start", "Zip64", "many ends"],
)
async def test_a_zip_that_is_not_quite_right(archive: bytes) -> None:
    """Unpackers ignore errors that do not hide the entries."""
    assert await verdict(JPEG + archive) is RejectReason.POLYGLOT


@pytest.mark.parametrize("mark", [b"Rar!\x1a\x07\x01\x00", b"7z\xbc\xaf\x27\x1c"])
async def test_an_archive_behind_a_long_picture(mark: bytes) -> None:
    photo = JPEG + random.Random(3).randbytes(200_000)
    assert await verdict(photo) is None
    assert await verdict(photo + mark + bytes(500)) is RejectReason.POLYGLOT


async def test_a_zip_in_a_segment_of_a_jpeg_that_ends_as_one() -> None:
    """The archive is in a comment. Its end record is in a comment of the last bytes."""
    body = with_comment(JPEG, zipped()[:-22]) + zipped()[-22:]
    assert await verdict(body) is RejectReason.POLYGLOT


@pytest.mark.parametrize(
    "body",
    [
        with_comment(JPEG, b"%PDF-1.7\n1 0 obj\n"),
        with_comment(JPEG, b"<html><body onload=alert(1)>"),
        with_comment(JPEG, b"<!DOCTYPE HTML><title>x</title><script src='//example.org'> </script>"),
        with_comment(JPEG, b"<?php system($_GET['c']); ?>"),
        with_comment(JPEG, b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
        with_comment(JPEG, b"Rar!\x1a\x07\x01\x00"),
        with_comment(JPEG, b"7z\xbc\xaf\x27\x1c\x00\x04"),
        with_comment(JPEG, b"<SCRIPT>alert(1)</SCRIPT>"),
        GIF[:6] + b"/*" + GIF[8:] + b"*/=1;alert(1);",
        GIF[:6] + b"=1/*" + GIF[10:] + b"*/;alert(1);",
    ],
    ids=range(10),
)
async def test_documents_scripts_and_archives(body: bytes) -> None:
    assert await verdict(body) is RejectReason.POLYGLOT


@pytest.mark.parametrize(
    "words",
    [
        b"Caption: <html><b>Our holiday</b></html>",
        b"<!DOCTYPE HTML>",
        b"how an <svg> is drawn, and a <script> run",
        b"printed from a %PDF-1.7 of ours",
        b"on <?php and its friends",
        b"<p online='yes'>one = two</p>",
    ],
)
async def test_a_word_of_another_format_is_a_caption(words: bytes) -> None:
    assert await verdict(with_comment(JPEG, words)) is None
    xmp = webp_with_chunks(WEBP, b"XMP ", [b"<x:xmpmeta><dc:title>" + words + b"</dc:title></x:xmpmeta>"])
    assert await verdict(xmp) is None


@pytest.mark.parametrize("width", [34, 39, 61, 96, 317, 0x2A2F])
async def test_the_width_of_a_gif_may_spell_a_sign(width: int) -> None:
    assert await verdict(encode(quadrants(width, 40), "GIF")) is None


async def test_a_tar_whose_first_name_is_a_picture() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("BM"))
    as_bmp = BMP[:100] + out.getvalue()[100:512] + BMP[512:]
    assert await verdict(as_bmp) is RejectReason.POLYGLOT


@pytest.mark.parametrize("name", ["jpeg", "png"])
@pytest.mark.parametrize(
    "trailer",
    [
        MP4,
        b"SEFH" + bytes(40) + b"SEFT",
        JPEG,
        bytes(1_000),
        random.Random(1).randbytes(60_000),
        b"PK\x05\x06" + b"\x17" * 60,
        patched(zipped(), (4, "<H", 3), (12, "<I", 1_000), (16, "<I", 1_000))[-22:],
        b"PK\x05\x06",
    ],
    ids=["film", "Samsung", "another", "zeros", "noise", "by chance", "to nowhere", "cut off"],
)
async def test_what_phones_append(name: str, trailer: bytes) -> None:
    assert await verdict(PICTURES[name] + trailer) is None


async def test_metadata_with_angle_brackets_is_no_markup() -> None:
    xmp = b"http://ns.adobe.com/xap/1.0/\x00<?xpacket begin=''?><x:xmpmeta><rdf:RDF/></x:xmpmeta>"
    assert await verdict(with_comment(JPEG, xmp)) is None


@pytest.mark.parametrize(
    "body",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>',
        b'<?xml version="1.0"?><svg/>',
        b"%PDF-1.7\n" + JPEG,
        zipped() + JPEG,
        b"\x7fELF" + bytes(60) + PNG,
        b"MZ" + bytes(60) + PNG,
        b"#!/bin/sh\nexit 0\n",
    ],
)
def test_what_does_not_begin_as_a_picture_is_none(body: bytes) -> None:
    assert sniff(body[:4096]) is None


async def test_every_picture_of_its_own_is_taken() -> None:
    for body in (*PICTURES.values(), WEBP):
        assert await verdict(body) is None
    assert sniff(JPEG[:4096]) is MediaFormat.JPEG
