"""Camera RAW of every format, with previews and the sensor data of a picture.

The structures are those of the makers. LibRaw develops the data of DNG, NEF, PEF, ARW and SR2 as if from a
camera. The data of the other formats, which have codings of their own, are not real.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kappi_testkit.media.containers import box, full_box
from kappi_testkit.media.corpus.pictures import Make
from kappi_testkit.media.samples import Shot, encode, quadrants, stored
from kappi_testkit.media.tiff_structure import (
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    Below,
    Data,
    Directory,
    Value,
    directory_block,
    tiff_structure,
)

WIDTH, HEIGHT = 480, 320
SMALL: Final = (240, 160)
_LEVELS: Final = (512, 16383)  # black, white
_TAKEN, _OFFSET = "2024:06:21 17:04:05", "+02:00"
RAW_SHOT: Final = Shot(taken=_TAKEN, offset=_OFFSET)
"""When all were taken."""
_COLOUR_MATRIX: Final = (0.9, -0.3, -0.05, -0.4, 1.2, 0.2, -0.05, 0.2, 0.6)
_NEUTRAL: Final = (0.6, 1.0, 0.7)
_GARBAGE: Final = bytes(range(256)) * 256
"""In place of sensor data."""


def upright(orientation: int) -> Image.Image:
    """Returns the picture as it is to be shown."""
    return quadrants(HEIGHT, WIDTH) if orientation >= 5 else quadrants(WIDTH, HEIGHT)


def preview(orientation: int = 1, *, small: bool = False, shot: Shot | None = None) -> bytes:
    """Returns the JPEG that a camera embeds, with its pixels as the sensor recorded them."""
    pixels = stored(upright(orientation), orientation)
    return encode(pixels.resize(SMALL) if small else pixels, "JPEG", shot=shot)


def mosaic(orientation: int = 1) -> NDArray[np.uint16]:
    """Returns what a sensor records of the picture, one colour a pixel: red, green, green, blue."""
    black, white = _LEVELS
    pixels = np.asarray(stored(upright(orientation), orientation), dtype=np.float64) / 255
    linear = (pixels**2.2 * (white - black) * 0.8 + black).astype(np.uint16)
    sensor = np.empty(linear.shape[:2], np.uint16)
    for row, column, colour in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        sensor[row::2, column::2] = linear[row::2, column::2, colour]
    return sensor


def camera_tags(make: str, model: str, orientation: int = 1, **more: Value) -> dict[int, Value]:
    """Returns the tags of a first directory: camera, time and size. more: named `t` and a number."""
    exif: Directory = {
        0x829A: (RATIONAL, [0.004]),
        0x829D: (RATIONAL, [2.8]),
        0x8827: (SHORT, [400]),
        0x9003: _TAKEN,
        0x9011: _OFFSET,
        0x920A: (RATIONAL, [35.0]),
        0xA002: (LONG, [WIDTH]),
        0xA003: (LONG, [HEIGHT]),
        0xA434: "Kappi 35mm F2.8",
    }
    return {
        0x010F: make,
        0x0110: model,
        0x0112: (SHORT, [orientation]),
        0x8769: Below([exif]),
        **{int(name[1:]): value for name, value in more.items()},
    }


def jpeg_tags(body: bytes) -> dict[int, Value]:
    """Returns the tags of an embedded JPEG."""
    return {513: Data(body), 514: (LONG, [len(body)])}


def strip_tags(
    body: bytes,
    *,
    compression: int,
    photometric: int,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    bits: int = 16,
) -> dict[int, Value]:
    """Returns the tags of a picture in one strip."""
    return {
        256: (LONG, [size[0]]),
        257: (LONG, [size[1]]),
        258: (SHORT, [bits]),
        259: (SHORT, [compression]),
        262: (SHORT, [photometric]),
        273: Data(body),
        277: (SHORT, [1]),
        278: (LONG, [HEIGHT]),
        279: (LONG, [len(body)]),
    }


def sensor_tags(orientation: int = 1) -> dict[int, Value]:
    """Returns the tags of uncompressed sensor data."""
    return {
        **strip_tags(mosaic(orientation).tobytes(), compression=1, photometric=32803),
        254: (LONG, [0]),
        33421: (SHORT, [2, 2]),
        33422: (BYTE, bytes([0, 1, 1, 2])),
    }


DNG_TAGS: Final[Mapping[int, Value]] = {
    50706: (BYTE, bytes([1, 4, 0, 0])),
    50708: "Kappi Test",
    50721: (SRATIONAL, _COLOUR_MATRIX),
    50728: (RATIONAL, _NEUTRAL),
    50778: (SHORT, [21]),
}
DNG_SENSOR_TAGS: Final[Mapping[int, Value]] = {
    50714: (SHORT, [_LEVELS[0]]),
    50717: (SHORT, [_LEVELS[1]]),
    50720: (LONG, [WIDTH, HEIGHT]),
}


def _dng(path: Path, *, orientation: int = 1, with_preview: bool = False) -> None:
    sensor = {**sensor_tags(orientation), **DNG_SENSOR_TAGS}
    tags = {**camera_tags("Kappi", "Test", orientation), **DNG_TAGS}
    if not with_preview:
        path.write_bytes(tiff_structure([{**tags, **sensor}]))
        return
    small, large = preview(orientation, small=True), preview(orientation)
    shown = strip_tags(large, compression=7, photometric=6, bits=8) | {254: (LONG, [1])}
    first = {**tags, **jpeg_tags(small), 254: (LONG, [1]), 330: Below([sensor, shown])}
    path.write_bytes(tiff_structure([first]))


def _beside_sensor(path: Path, make: str, model: str, *, orientation: int = 1) -> None:
    """Makes a file of most makers: a first directory with a preview, and sensor data below it."""
    first = camera_tags(make, model, orientation) | jpeg_tags(preview(orientation))
    first |= {254: (LONG, [1]), 330: Below([sensor_tags(orientation)])}
    path.write_bytes(tiff_structure([first, jpeg_tags(preview(orientation, small=True))]))


def _sensor_first(path: Path, make: str, model: str, *, orientation: int = 1) -> None:
    """Makes a file of Pentax: sensor data in the first directory, previews in those that follow."""
    first = camera_tags(make, model, orientation) | sensor_tags(orientation)
    small, large = preview(orientation, small=True), preview(orientation)
    path.write_bytes(tiff_structure([first, jpeg_tags(small), jpeg_tags(large)]))


def _cr2(path: Path, *, orientation: int = 1) -> None:
    large = strip_tags(preview(orientation), compression=6, photometric=6, bits=8)
    coded = strip_tags(_GARBAGE, compression=6, photometric=6)
    sensor = {tag: coded[tag] for tag in (259, 273, 279)} | {50752: (SHORT, [1, 240])}
    first = camera_tags("Canon", "Canon EOS 70D", orientation) | large
    directories = [first, jpeg_tags(preview(orientation, small=True)), sensor]
    path.write_bytes(tiff_structure(directories, gap=b"CR\x02\x00" + bytes(4)))


def _orf(path: Path, *, orientation: int = 1) -> None:
    """Makes an ORF, whose preview is behind a maker note that counts positions from its own start."""
    mark = b"OLYMPUS\x00II\x03\x00"
    body = preview(orientation)
    settings: Directory = {0x0101: Data(body), 0x0102: (LONG, [len(body)])}
    processing: Directory = {0x0614: (SHORT, [WIDTH]), 0x0615: (SHORT, [HEIGHT])}
    note = directory_block({0x2020: Below([settings]), 0x2040: Below([processing])}, start=mark, base=0)
    exif: Directory = {0x9003: _TAKEN, 0x9011: _OFFSET, 0x927C: (UNDEFINED, note)}
    tags = camera_tags("OLYMPUS CORPORATION", "E-M5MarkIII", orientation) | {0x8769: Below([exif])}
    path.write_bytes(tiff_structure([tags | sensor_tags(orientation)], magic=b"IIRO"))


def _rw2(path: Path, *, orientation: int = 1) -> None:
    sensor = sensor_tags(orientation)
    tags: dict[int, Value] = {
        0x0002: (SHORT, [WIDTH]),
        0x0003: (SHORT, [HEIGHT]),
        **{tag: (SHORT, [side]) for tag, side in ((4, 0), (5, 0), (6, HEIGHT), (7, WIDTH))},
        0x002E: (UNDEFINED, preview(orientation, shot=RAW_SHOT)),
        0x010F: "Panasonic",
        0x0110: "DMC-LX3",
        0x0112: (SHORT, [orientation]),
        0x0111: sensor[273],
        0x0118: sensor[273],
    }
    path.write_bytes(tiff_structure([tags], magic=b"IIU\x00"))


def _iiq(path: Path, *, orientation: int = 1) -> None:
    entries = struct.pack("<8I", 0x010C, 1, 4, WIDTH, 0x010D, 1, 4, HEIGHT)
    block = b"IIIITwaR" + struct.pack("<I", 12) + struct.pack("<II", 2, 0) + entries
    first = camera_tags("Leaf", "Credo 40", orientation) | jpeg_tags(preview(orientation))
    path.write_bytes(tiff_structure([first], gap=block + bytes(len(block) % 2)))


def _raf(path: Path, *, orientation: int = 1) -> None:
    shot = Shot(make="FUJIFILM", model="X-T5", taken=_TAKEN, offset=_OFFSET)
    pixels = encode(stored(upright(orientation), orientation), "JPEG", shot=shot)
    turned = pixels.replace(
        b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01", b"\x01\x12\x00\x03\x00\x00\x00\x01\x00%c" % orientation
    )
    records = struct.pack(">IHHHHHHHH", 2, 0x0100, 4, HEIGHT, WIDTH, 0x0111, 4, HEIGHT, WIDTH)
    start = b"FUJIFILMCCD-RAW 0201FF383501X-T5".ljust(84, b"\x00")
    jpeg_at = 148
    records_at = jpeg_at + len(turned)
    sensor_at = records_at + len(records)
    offsets = struct.pack(">6I", jpeg_at, len(turned), records_at, len(records), sensor_at, len(_GARBAGE))
    path.write_bytes((start + offsets).ljust(jpeg_at, b"\x00") + turned + records + _GARBAGE)


def _heap(records: Mapping[int, bytes]) -> bytes:
    """Returns a heap of Canon's early format: the values, then their list."""
    body, entries = b"", b""
    for tag, value in records.items():
        entries += struct.pack("<HII", tag, len(value), len(body))
        body += value
    return body + struct.pack("<H", len(records)) + entries + struct.pack("<I", len(body))


def _crw(path: Path, *, orientation: int = 1) -> None:
    turn = {1: 0, 6: 90, 3: 180, 8: 270}[orientation]
    taken = int(datetime.strptime(_TAKEN, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp())
    properties = {
        0x080A: b"Canon\x00Canon EOS D30\x00",
        0x1810: struct.pack("<IIfiIII", WIDTH, HEIGHT, 1.0, turn, 8, 24, 1),
        0x180E: struct.pack("<IiI", taken, 0, 0),
    }
    heap = _heap({0x2005: _GARBAGE, 0x2007: preview(orientation), 0x300A: _heap(properties)})
    path.write_bytes(b"II" + struct.pack("<I", 26) + b"HEAPCCDR" + bytes(12) + heap)


def _cr3(path: Path, *, orientation: int = 1) -> None:
    tags = camera_tags("Canon", "Canon EOS R6m2", orientation)
    exif = tags.pop(0x8769)
    assert isinstance(exif, Below)
    main: Directory = {**tags, 256: (LONG, [WIDTH]), 257: (LONG, [HEIGHT])}
    canon = box(
        b"uuid",
        bytes.fromhex("85c0b687820f11e08111f4ce462b6a48"),
        box(b"CNCV", b"CanonCR3_001/00.09.00/00.00.00"),
        box(b"CMT1", tiff_structure([main])),
        box(b"CMT2", tiff_structure(exif.directories)),
    )
    small = preview(orientation, small=True)
    shown = box(
        b"uuid",
        bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16") + bytes(8),
        box(b"PRVW", struct.pack(">IHHHHI", 0, 1, *SMALL, 1, len(small)), small),
    )
    start = box(b"ftyp", b"crx \x00\x00\x00\x01crx isom")
    large = preview(orientation)
    # The positions are known when everything before them has been written, so it is written twice.
    movie = b""
    for _ in range(2):
        media_at = len(start) + len(movie) + len(shown) + 8
        movie = box(
            b"moov",
            canon,
            _track(b"JPEG", media_at, len(large)),
            _track(b"CMP1", media_at + len(large), 9_000),
        )
    path.write_bytes(start + movie + shown + box(b"mdat", large, _GARBAGE[:9_000]))


def _track(coding: bytes, at: int, length: int) -> bytes:
    entry = box(b"CRAW", bytes(78), box(coding, bytes(4)))
    table = box(
        b"stbl",
        full_box(b"stsd", struct.pack(">I", 1), entry),
        full_box(b"stsz", struct.pack(">III", 0, 1, length)),
        full_box(b"co64", struct.pack(">IQ", 1, at)),
    )
    return box(b"trak", box(b"mdia", box(b"minf", table)))


RAWS: Final[Mapping[str, Make]] = {
    "developed.dng": _dng,
    "developed-turned.dng": partial(_dng, orientation=6),
    "previews.dng": partial(_dng, orientation=8, with_preview=True),
    "turned-6.cr2": partial(_cr2, orientation=6),
    "turned-8.cr3": partial(_cr3, orientation=8),
    "turned-3.crw": partial(_crw, orientation=3),
    "turned-6.nef": partial(_beside_sensor, make="NIKON CORPORATION", model="NIKON Z 6_3", orientation=6),
    "compact.nrw": partial(_beside_sensor, make="NIKON", model="COOLPIX P7000"),
    "turned-8.arw": partial(_beside_sensor, make="SONY", model="ILCE-7M4", orientation=8),
    "early.sr2": partial(_beside_sensor, make="SONY", model="DSC-R1"),
    "turned-6.raf": partial(_raf, orientation=6),
    "turned-6.orf": partial(_orf, orientation=6),
    "turned-3.rw2": partial(_rw2, orientation=3),
    "turned-8.pef": partial(_sensor_first, make="PENTAX Corporation", model="PENTAX K10D", orientation=8),
    "medium-format.3fr": partial(_beside_sensor, make="Hasselblad", model="Hasselblad H3D"),
    "turned-6.iiq": partial(_iiq, orientation=6),
}
