"""A place is planted in each part of a format that has room. A copy has none of it, and the same picture."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction

import av
import imagecodecs
import numpy as np
import pytest
from kappi_mediameta.containers.ebml import element_at
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing import BytesSource, MediaFormat, is_supported, probe, sniff
from kappi_testkit.media.containers import box, element, full_box
from kappi_testkit.media.live_photos import live_film, live_picture
from kappi_testkit.media.located_files import without_place
from kappi_testkit.media.samples import (
    MovieShape,
    Shot,
    animation,
    encode,
    movie,
    quadrants,
    register_heif,
    scheduled_as_before,
)
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

MARK = b"+48.8577+002.2950/Champ-de-Mars"
PLACE = (48.8577, 2.295, 35.0)
XMP_ID = b"http://ns.adobe.com/xap/1.0/\0"
XMP = b"<x:xmpmeta><rdf:Description dc:title='" + MARK + b"' exif:GPSLatitude='48'/></x:xmpmeta>"
SHOT = Shot(make=MARK.decode(), orientation=6, place=PLACE)
GPS = SHOT.exif().removeprefix(b"Exif\0\0")

Planted = Iterator[tuple[str, bytes]]


# Files with a planted place


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _jpegs() -> Planted:
    plain = encode(quadrants(64, 48), "JPEG")
    openings = {
        0xE0: (b"JFXX\0\x13", b""),
        0xE1: (b"Exif\0\0" + GPS, XMP_ID + XMP, b"http://ns.adobe.com/xmp/extension/\0", b""),
        0xE2: (b"Exif\0\0" + GPS, b"FPXR\0", b""),
        0xED: (b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(MARK)), b""),
        0xEE: (b"Adobe\0d\0\0\0\0\x01", b""),
    }
    for marker in (*range(0xE0, 0xF0), 0xFE):
        for number, opening in enumerate(openings.get(marker, (b"",))):
            yield f"{marker:02X} {number}", plain[:2] + _segment(marker, opening + MARK) + plain[2:]
    scan = plain.index(b"\xff\xda")
    yield "before the scan", plain[:scan] + _segment(0xFE, MARK) + plain[scan:]
    yield "between segments", plain[:20] + MARK + plain[20:]
    yield "after the end", plain + MARK
    yield "a second picture", plain + MARK + plain[:2] + _segment(0xE1, b"Exif\0\0" + GPS + MARK) + plain[2:]
    out = io.BytesIO()
    quadrants(64, 48).save(out, "MPO", save_all=True, append_images=[quadrants(32, 24)], comment=MARK)
    yield "two pictures", out.getvalue()
    film = movie(MovieShape(seconds=0.3))
    yield "a film", plain + film + box(b"udta", box(b"\xa9xyz", MARK)) + box(b"uuid", MARK * 2) + MARK
    yield "a maker's trailer", plain + b"MotionPhoto_Data" + film + b"SEFH" + MARK + b"SEFT"


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _pngs() -> Planted:
    bodies = {
        b"tEXt": b"Comment\0" + MARK,
        b"zTXt": b"Comment\0\0" + zlib.compress(MARK, 0),
        b"iTXt": b"XML:com.adobe.xmp\0\0\0\0\0" + XMP,
        b"eXIf": GPS,
        b"sPLT": MARK + b"\0\x08",
    }
    for plain in (encode(quadrants(64, 48), "PNG"), animation("PNG", 32, 24)):
        names = (*bodies, b"tIME", b"hIST", b"oFFs", b"pCAL", b"sTER", b"caBX", b"gpSx", b"vpAg", b"dSIG")
        for name in names:
            chunk = _chunk(name, bodies.get(name, MARK))
            yield f"{name.decode()} first", plain[:33] + chunk + plain[33:]
            yield f"{name.decode()} last", plain[:-12] + chunk + plain[-12:]
        yield "after the end", plain + MARK


def _riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def _webps() -> Planted:
    still = encode(quadrants(64, 48), "WEBP", shot=Shot(place=PLACE))
    for plain in (still, animation("WEBP", 32, 24)):
        for name in (b"XMP ", b"EXIF", b"GPS ", b"text"):
            told = {b"EXIF": GPS, b"XMP ": XMP}.get(name, MARK)
            yield name.decode(), _riff(plain[12:], _webp_chunk(name, told))
        yield "after the end", plain + MARK
    moving = animation("WEBP", 32, 24)
    at = moving.index(b"ANMF")
    (size,) = struct.unpack_from("<I", moving, at + 4)
    inner = _webp_chunk(b"text", MARK)
    frame = b"ANMF" + struct.pack("<I", size + len(inner)) + moving[at + 8 : at + 8 + size] + inner
    yield "in a frame", _riff(moving[12:at], frame, moving[at + 8 + size :])


def _gifs() -> Planted:
    blocks = bytes([len(MARK)]) + MARK + b"\0"
    for plain in (encode(quadrants(64, 48), "GIF"), animation("GIF", 32, 24)):
        at = 13 + (3 << ((plain[10] & 7) + 1) if plain[10] & 0x80 else 0)
        ramp = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
        extensions = {
            "comment": b"\x21\xfe" + blocks,
            "text": b"\x21\x01\x0c" + bytes(12) + blocks,
            "application": b"\x21\xff\x0bMAKERGPS1.0" + blocks,
            "XMP": b"\x21\xff\x0bXMP DataXMP" + XMP + ramp,
            "unknown": b"\x21\x99" + blocks,
            "long": b"\x21\xfe" + (b"\xff" + MARK * 8 + bytes(255 - 8 * len(MARK))) * 3 + b"\0",
        }
        for name, extension in extensions.items():
            yield f"{name} first", plain[:at] + extension + plain[at:]
            yield f"{name} last", plain[:-1] + extension + plain[-1:]
        yield "after the end", plain + MARK


def _bmps() -> Planted:
    for plain in (encode(quadrants(64, 48), "BMP"), encode(quadrants(64, 48).convert("P"), "BMP")):
        (pixels_at,) = struct.unpack_from("<I", plain, 10)
        yield "after the end", plain + MARK
        moved = plain[:10] + struct.pack("<I", pixels_at + len(MARK)) + plain[14:pixels_at]
        yield "before the pixels", moved + MARK + plain[pixels_at:]


def _tiffs() -> Planted:
    """Yields files with the place in each field that does not describe the picture, and behind the end."""
    texts = (
        269,
        270,
        271,
        272,
        285,
        305,
        306,
        315,
        316,
        700,
        33432,
        33723,
        34377,
        37510,
        42112,
        65000,
        51022,
    )
    for tag in texts:
        out, fields = io.BytesIO(), ImageFileDirectory_v2()
        fields.tagtype[tag] = 7
        fields[tag] = MARK
        quadrants(64, 48).save(out, "TIFF", tiffinfo=fields)
        yield str(tag), out.getvalue()
    out = io.BytesIO()
    quadrants(64, 48).save(out, "TIFF", exif=SHOT.exif())
    yield "EXIF", out.getvalue()
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        out = io.BytesIO()
        quadrants(64, 48).save(out, "TIFF", compression=compression, tiffinfo={270: MARK.decode()})
        yield f"after the end {compression}", out.getvalue() + MARK


def _heifs() -> Planted:
    register_heif()
    for fmt in ("HEIF", "AVIF"):
        out = io.BytesIO()
        with scheduled_as_before():
            quadrants(64, 48).save(out, fmt, exif=SHOT.exif(), xmp=XMP)
        plain = out.getvalue()
        yield f"{fmt} items", plain
        for name in (b"uuid", b"free", b"skip", b"mdta", b"udta", b"GPS "):
            yield f"{fmt} {name.decode()}", plain + box(name, MARK * 2)
        # Offsets in `meta` count from the start of the file. A box behind the last box moves none of them.
        yield f"{fmt} after the end", plain + box(b"mpvd", movie(MovieShape(seconds=0.3)), box(b"udta", MARK))


def _jxls() -> Planted:
    with scheduled_as_before():
        bare = bytes(imagecodecs.jpegxl_encode(np.asarray(quadrants(64, 48))))
    begin = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    exif = box(b"Exif", bytes(4), GPS)
    whole, halves = box(b"jxlc", bare), _in_parts(bare)
    for name, codestream in {"whole": whole, "in parts": halves}.items():
        yield f"EXIF before it, {name}", begin + exif + codestream
        yield f"EXIF behind it, {name}", begin + codestream + exif
        yield f"after the end, {name}", begin + codestream + MARK
        for told in (b"xml ", b"brob", b"jumb", b"jbrd", b"free", b"uuid", b"GPS "):
            yield f"{told.decode()}, {name}", begin + box(told, XMP) + codestream + box(told, XMP)
    yield "EXIF behind other bytes", begin + box(b"Exif", b"\0\0\0\x28", MARK.ljust(40), GPS) + whole
    yield "EXIF twice", begin + exif + whole + exif


def _in_parts(codestream: bytes) -> bytes:
    return box(b"jxlp", bytes(4), codestream[:40]) + box(b"jxlp", b"\x80\0\0\x01", codestream[40:])


def _jp2s() -> Planted:
    options = {"tile_size": (16, 16)}
    plain = encode(quadrants(64, 48), "JPEG2000", options=options)
    at = plain.index(b"jp2c") - 4
    head, codestream = plain[:at], plain[at + 8 :]
    told = {
        "EXIF": box(b"uuid", b"JpgTiffExif->JP2", GPS),
        "XMP": box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), XMP),
        **{name.decode(): box(name, XMP) for name in (b"xml ", b"uinf", b"asoc", b"free", b"uuid", b"GPS ")},
    }
    for name, there in told.items():
        yield f"{name} before", head + there + plain[at:]
        yield f"{name} behind", plain + there
    yield "after the end", plain + MARK
    yield "in the header", _with_header_box(plain, box(b"GPS ", MARK))
    with_comment = encode(quadrants(64, 48), "JPEG2000", options={**options, "comment": MARK.decode()})
    yield "a comment", with_comment
    bare = encode(
        quadrants(64, 48), "JPEG2000", options={**options, "comment": MARK.decode(), "no_jp2": True}
    )
    yield "a comment of a codestream", bare
    tile_at = bare.index(b"\xff\x90")
    comment = b"\xff\x64" + struct.pack(">HH", 4 + len(MARK), 1) + MARK
    (length,) = struct.unpack_from(">I", bare, tile_at + 6)
    longer = struct.pack(">I", length + len(comment))
    tile = bare[: tile_at + 6] + longer + bare[tile_at + 10 : tile_at + 12] + comment + bare[tile_at + 12 :]
    yield "a comment of a tile", tile
    yield "after the end of a codestream", bare + MARK
    assert codestream.endswith(b"\xff\xd9")


def _with_header_box(file: bytes, told: bytes) -> bytes:
    at = file.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", file, at)
    return (
        file[:at]
        + struct.pack(">I", length + len(told))
        + file[at + 4 : at + length]
        + told
        + file[at + length :]
    )


_PARENTS = (
    *((), (b"moov",), (b"moov", b"trak"), (b"moov", b"trak", b"edts"), (b"moov", b"trak", b"mdia")),
    *((b"moov", b"trak", b"mdia", b"minf"), (b"moov", b"trak", b"mdia", b"minf", b"stbl")),
    (b"moov", b"trak", b"mdia", b"minf", b"dinf"),
    (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"),
)
_FIELDS_BYTES = {b"stsd": 8, b"avc1": 78}  # before the first box
_TOLD_BOXES: Mapping[str, bytes] = {
    "user data": box(
        b"udta",
        box(b"\xa9xyz", b"\0\x1f\x15\xc7" + MARK),
        box(b"name", MARK),
        full_box(b"loci", b"\x15\xc7" + MARK + bytes(16)),
    ),
    "tags": full_box(
        b"meta", full_box(b"hdlr", bytes(4), b"mdir", bytes(12), MARK), box(b"ilst", box(b"\xa9cmt", MARK))
    ),
    "keys": box(
        b"meta",
        full_box(b"hdlr", bytes(4), b"mdta", bytes(12), b"\0"),
        full_box(b"keys", struct.pack(">I", 1), box(b"mdta", b"com.example." + MARK)),
        box(b"ilst", box(struct.pack(">I", 1), box(b"data", bytes(8), MARK))),
    ),
    "XMP": box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), XMP),
    "a maker's": box(b"gps0", MARK),
    "padding": box(b"free", MARK),
}


def _films() -> Planted:
    for container in ("mp4", "mov"):
        plain = movie(MovieShape(seconds=0.3, container=container, metadata={"comment": MARK.decode()}))
        yield f"{container} comment", plain
        for parents in _PARENTS:
            for what, told in _TOLD_BOXES.items():
                yield f"{container} {b'/'.join(parents).decode()} {what}", _with_box(plain, parents, told)
        yield f"{container} compressor", _with_compressor(plain)
    fragmented = movie(MovieShape(seconds=0.3, fragmented=True))
    for what, told in _TOLD_BOXES.items():
        yield f"fragments {what}", fragmented + told


def _with_box(film: bytes, parents: tuple[bytes, ...], told: bytes) -> bytes:
    """Returns the film with a box at the end of the first box of a path. The index is the last box."""
    start, end, headers = 0, len(film), []
    for name in parents:
        position = start
        while film[position + 4 : position + 8] != name:
            position += int.from_bytes(film[position : position + 4], "big")
        headers.append(position)
        start = position + 8 + _FIELDS_BYTES.get(name, 0)
        end = position + int.from_bytes(film[position : position + 4], "big")
    grown = bytearray(film[:end] + told + film[end:])
    for position in headers:
        size = int.from_bytes(grown[position : position + 4], "big")
        struct.pack_into(">I", grown, position, size + len(told))
    return bytes(grown)


def _with_compressor(film: bytes) -> bytes:
    at = film.index(b"avc1", film.index(b"stsd")) + 4 + 42
    return film[:at] + bytes([31]) + MARK + film[at + 32 :]


def _matroskas() -> Planted:
    for container, codec in (("webm", "libvpx"), ("matroska", "mpeg4")):
        plain = _recorded(container, codec)
        yield f"{container} title", plain
        elements = {
            "tags": element(0x1254C367, element(0x7373, element(0x67C8, element(0x45A3, b"COMMENT"), MARK))),
            "attachments": element(0x1941A469, element(0x61A7, element(0x466E, MARK))),
            "chapters": element(0x1043A770, element(0x45B9, MARK)),
            "unknown": element(0x1A2B3C4D, MARK),
            "void": element(0xEC, MARK),
        }
        for what, told in elements.items():
            yield f"{container} {what}", _at_end_of_segment(plain, told)
        yield f"{container} after the end", plain + element(0xEC, MARK) + MARK
        for where, parents in _MASTERS.items():
            # The elements behind it move, so no position may be looked up.
            unsought = plain.replace(b"\x53\xab", b"\x53\xaa")
            yield f"{container} in {where}", _with_element(unsought, parents, element(0x1A2B3C4D, MARK))


def _recorded(container: str, codec: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        file.metadata["title"] = file.metadata["comment"] = MARK.decode()
        stream = file.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 10)
        stream.metadata["title"] = MARK.decode()
        for _ in range(3):
            frame: av.VideoFrame = av.VideoFrame.from_image(quadrants(64, 48))  # type: ignore[no-untyped-call] # its stub lacks types
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


_MASTERS = {
    "the header": (0x1A45DFA3,),
    "info": (0x18538067, 0x1549A966),
    "tracks": (0x18538067, 0x1654AE6B),
    "a track": (0x18538067, 0x1654AE6B, 0xAE),
    "the picture's settings": (0x18538067, 0x1654AE6B, 0xAE, 0xE0),
    "cues": (0x18538067, 0x1C53BB6B),
}


def _with_element(film: bytes, parents: tuple[int, ...], told: bytes) -> bytes:
    """Returns the film with an element at the end of the first element of a path, with new sizes."""
    head, *below = parents
    position = 0
    while (
        found := element_at(film[position : position + 12], position)
    ) is not None and found.end is not None:
        if found.id == head:
            body = film[found.start : found.end]
            grown = _with_element(body, tuple(below), told) if below else body + told
            return film[:position] + element(head, grown) + film[found.end :]
        position = found.end
    raise AssertionError(f"no element {head:X}")


def _at_end_of_segment(film: bytes, told: bytes) -> bytes:
    at = film.index(b"\x18\x53\x80\x67") + 4
    assert film[at] == 1  # a size of eight bytes
    (size,) = struct.unpack_from(">Q", film, at)
    return film[:at] + struct.pack(">Q", size + len(told)) + film[at + 8 :] + told


FORMATS = {
    "JPEG": _jpegs,
    "PNG": _pngs,
    "WebP": _webps,
    "GIF": _gifs,
    "BMP": _bmps,
    "TIFF": _tiffs,
    "HEIF and AVIF": _heifs,
    "JPEG XL": _jxls,
    "JPEG 2000": _jp2s,
    "films": _films,
    "Matroska": _matroskas,
}


# The pixels of a copy

_FILMS = {MediaFormat.MP4, MediaFormat.MOV, MediaFormat.M4V, MediaFormat.WEBM, MediaFormat.MKV}


def _bytes_of(frame: av.VideoFrame) -> bytes:
    picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call] # its stub lacks types
    return picture.tobytes()


def _shown(body: bytes) -> list[bytes]:
    """Returns the pixels of every frame."""
    fmt = sniff(body)
    assert fmt is not None
    if fmt is MediaFormat.JXL:
        return [imagecodecs.jpegxl_decode(body).tobytes()]
    if fmt not in _FILMS:
        register_heif()
        with Image.open(io.BytesIO(body)) as opened:
            frames = []
            for number in range(getattr(opened, "n_frames", 1)):
                opened.seek(number)
                frames.append(opened.convert("RGBA").tobytes())
            return frames
    with av.open(io.BytesIO(body), "r") as opened_film:
        return [_bytes_of(frame) for frame in opened_film.decode(video=0)]


@pytest.mark.parametrize("name", FORMATS)
async def test_nothing_is_left_of_a_place_wherever_it_was_planted(name: str) -> None:
    planted = 0
    for where, body in FORMATS[name]():
        told = [mark for mark in (MARK, XMP, GPS[-40:]) if mark in body]
        assert told, where
        copy = await without_place(body)
        assert len(copy) == len(body), where
        for mark in (MARK, b"Champ", b"48.8577", b"GPSLatitude"):
            assert mark not in copy, where
        assert _shown(copy) == _shown(body), where
        assert await find_location(BytesSource(copy)) == (), where
        fmt = sniff(copy)
        assert fmt is not None
        if is_supported(fmt):
            before, after = await probe(BytesSource(body), fmt), await probe(BytesSource(copy), fmt)
            assert after.location is None, where
            assert (after.width, after.height) == (before.width, before.height), where
        planted += 1
    assert planted >= 4


# Facts that stay


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "HEIF", "TIFF"])
async def test_the_turn_stays_and_an_unlisted_camera_goes(fmt: str) -> None:
    register_heif()
    body = encode(quadrants(64, 48), fmt, shot=Shot(make="Kappi", orientation=6, place=PLACE))
    copy = await without_place(body)
    found = sniff(copy)
    assert found is not None
    before, after = await probe(BytesSource(body), found), await probe(BytesSource(copy), found)
    assert (after.width, after.height) == (before.width, before.height)
    assert (after.location, after.camera) == (None, None)
    assert before.camera is not None
    assert b"Kappi" not in copy


@pytest.mark.parametrize("fmt", ["JPEG", "HEIF", "film"])
async def test_a_live_photo_stays_one(fmt: str) -> None:
    body = live_film("AAAA-1") if fmt == "film" else live_picture("AAAA-1", fmt)
    copy = await without_place(body)
    found = sniff(copy)
    assert found is not None
    before, after = await probe(BytesSource(body), found), await probe(BytesSource(copy), found)
    assert (before.live_id, after.live_id) == ("AAAA-1-LIVE", "AAAA-1-LIVE")
    assert after.camera == before.camera
    if fmt != "film":
        assert (before.taken_offset_minutes, after.taken_offset_minutes) == (120, None)
        assert after.taken_at == datetime(2024, 7, 5, 12, 11, 12, tzinfo=UTC)


async def test_a_motion_photo_still_plays() -> None:
    """The film has its place, the picture's XMP leads to it, and the XMP has nothing else."""
    film = movie(MovieShape(seconds=0.3))
    packet = (
        b"<x:xmpmeta><rdf:Description GCamera:MotionPhoto='1' GCamera:MotionPhotoVersion=\"1\" dc:title='"
        + MARK
        + b"'><Container:Directory><rdf:Seq><rdf:li><Container:Item Item:Mime='image/jpeg'"
        + b" Item:Semantic='Primary' Item:Length='0'/></rdf:li><rdf:li><Container:Item"
        + b" Item:Semantic='MotionPhoto' Item:Length='%d'"
        b" Item:Mime='video/mp4'/></rdf:li></rdf:Seq></Container:Directory></rdf:Description></x:xmpmeta>"
        % len(film)
    ) + b" " * 1_500
    plain = encode(quadrants(64, 48), "JPEG")
    copy = await without_place(plain[:2] + _segment(0xE1, XMP_ID + packet) + plain[2:] + film)
    assert MARK not in copy
    for kept in (b'GCamera:MotionPhoto="1"', b'Item:Semantic="MotionPhoto"', b'Item:Length="%d"' % len(film)):
        assert kept in copy
    assert _shown(copy[-len(film) :]) == _shown(film)


async def test_a_file_with_nothing_but_a_picture_is_its_own_copy() -> None:
    for body in (encode(quadrants(64, 48), fmt) for fmt in ("JPEG", "PNG", "GIF", "BMP", "WEBP")):
        assert await find_location(BytesSource(body)) == ()
