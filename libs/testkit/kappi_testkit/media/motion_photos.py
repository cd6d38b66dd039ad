"""Makes motion photos: a picture and its film in one file, as Google's and Samsung's phones write them."""

from __future__ import annotations

import struct

from kappi_testkit.media.containers import box
from kappi_testkit.media.metadata_blocks import WITH_XMP, jpeg, xmp_packet
from kappi_testkit.media.samples import MovieShape, movie

_GOOGLE = "http://ns.google.com/photos/1.0/"
_CAMERA = f'xmlns:GCamera="{_GOOGLE}camera/"'


def film_of_photo() -> bytes:
    return movie(MovieShape(seconds=0.3))


def parts_xmp(*parts: tuple[str, int]) -> bytes:
    """Returns XMP that lists the parts of a file, (meaning, length) each."""
    listed = "".join(
        '<rdf:li rdf:parseType="Resource"><Container:Item '
        f'Item:Mime="video/mp4" Item:Semantic="{meaning}" Item:Length="{length}" Item:Padding="0"/></rdf:li>'
        for meaning, length in parts
    )
    directory = f"<Container:Directory><rdf:Seq>{listed}</rdf:Seq></Container:Directory>"
    names = f'xmlns:Container="{_GOOGLE}container/" xmlns:Item="{_GOOGLE}container/item/"'
    return xmp_packet(directory, attributes=f'{_CAMERA} {names} GCamera:MotionPhoto="1"')


def google_photo(film: bytes, *, gain_map: bytes = b"", behind: bytes = b"") -> bytes:
    """Returns a JPEG in the present format. gain_map: a part before the film. behind: a part behind it."""
    parts = [("Primary", 0), ("GainMap", len(gain_map)), ("MotionPhoto", len(film)), ("Depth", len(behind))]
    return jpeg(parts_xmp(*(part for part in parts if part[1] or part[0] == "Primary"))) + (
        gain_map + film + behind
    )


def micro_video(film: bytes) -> bytes:
    """Returns a JPEG in the older format."""
    offset = f'{_CAMERA} GCamera:MicroVideo="1" GCamera:MicroVideoOffset="{len(film)}"'
    return jpeg(xmp_packet(attributes=offset)) + film


def samsung_photo(film: bytes) -> bytes:
    """Returns a JPEG with Samsung's trailer: blocks, then a directory that counts back from its start."""
    blocks, entries = b"", b""
    listed = [(0x0A01, b"Image_UTC_Data", b"1720174272000"), (0x0A30, b"MotionPhoto_Data", film)]
    made = [struct.pack("<HHI", 0, kind, len(name)) + name + data for kind, name, data in listed]
    total = sum(map(len, made))
    for (kind, _, _), block in zip(listed, made, strict=True):
        entries += struct.pack("<HHII", 0, kind, total - len(blocks), len(block))
        blocks += block
    directory = b"SEFH" + struct.pack("<II", 107, len(listed)) + entries
    return jpeg() + blocks + directory + struct.pack("<I", len(directory)) + b"SEFT"


def heic_photo(film: bytes) -> bytes:
    return WITH_XMP["heic"](xmp_packet()) + box(b"mpvd", film)
