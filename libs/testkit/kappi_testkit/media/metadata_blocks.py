"""Builds XMP, IPTC and EXIF blocks byte by byte, and pictures that contain them."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from PIL import Image

from kappi_testkit.media.containers import box
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants

_NAMESPACES: Final = (
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:lr="http://ns.adobe.com/lightroom/1.0/" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
)
_XMP_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def xmp_packet(*elements: str, attributes: str = "") -> bytes:
    """Returns a packet. elements, attributes: of the description; the usual prefixes are declared."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {_NAMESPACES} {attributes}>{"".join(elements)}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def caption(text: str, language: str = "x-default") -> str:
    return (
        f'<dc:description><rdf:Alt><rdf:li xml:lang="{language}">{escape(text)}</rdf:li></rdf:Alt>'
        "</dc:description>"
    )


def keywords(*texts: str, name: str = "dc:subject") -> str:
    listed = "".join(f"<rdf:li>{escape(text)}</rdf:li>" for text in texts)
    return f"<{name}><rdf:Bag>{listed}</rdf:Bag></{name}>"


FULL_XMP: Final = xmp_packet(
    caption("Nebel über dem Pass"),
    keywords("alps", "Nebel"),
    attributes='photoshop:DateCreated="1985-07-05T12:11:12+02:00" exif:GPSLatitude="46,33.516N" '
    'exif:GPSLongitude="8,20.25W" exif:GPSAltitude="24690/10"',
)


def records(datasets: Sequence[tuple[int, bytes]], *, utf8: bool = True) -> bytes:
    """Returns IPTC records of the second kind, (number, value) each."""
    start = b"\x1c\x01\x5a\x00\x03\x1b%G" if utf8 else b""
    return start + b"".join(
        struct.pack(">BBBH", 0x1C, 2, number, len(value)) + value for number, value in datasets
    )


def photoshop(iptc: bytes, *, known: bytes | None = None) -> bytes:
    """Returns Photoshop's image resources.

    known: the IPTC records that a program wrote as XMP, too; it left their digest here.
    """
    listed = [(0x0404, iptc)]
    if known is not None:
        listed.append((0x0425, hashlib.md5(known, usedforsecurity=False).digest()))
    return b"".join(
        struct.pack(">4sHHI", b"8BIM", number, 0, len(body)) + body + bytes(len(body) & 1)
        for number, body in listed
    )


Entry = tuple[int, int, bytes]
"""Tag, type and value of a field in EXIF."""


def exif_block(
    main: Sequence[Entry] = (), *, details: Sequence[Entry] = (), gps: Sequence[Entry] = ()
) -> bytes:
    """Returns a big-endian EXIF block with its prefix. Types are as given, also wrong ones."""
    pointers = [(0x8769, details), (0x8825, gps)]
    below = [(tag, entries) for tag, entries in pointers if entries]
    at = 8 + _table_bytes(main, more=len(below))
    tables = b""
    listed = list(main)
    for tag, entries in below:
        listed.append((tag, 4, struct.pack(">I", at + len(tables))))
        tables += _table(entries, at=at + len(tables))
    return b"Exif\x00\x00MM\x00*" + struct.pack(">I", 8) + _table(listed, at=8) + tables


_TYPE_BYTES: Final = {3: 2, 4: 4, 5: 8, 9: 4, 10: 8}


def _table_bytes(entries: Sequence[Entry], *, more: int) -> int:
    return 6 + 12 * (len(entries) + more) + sum(len(value) for *_, value in entries if len(value) > 4)


def _table(entries: Sequence[Entry], *, at: int) -> bytes:
    fields, values = b"", b""
    values_at = at + 6 + 12 * len(entries)
    for tag, kind, value in entries:
        count = len(value) // _TYPE_BYTES.get(kind, 1)
        inline = value if len(value) <= 4 else struct.pack(">I", values_at + len(values))
        values += value if len(value) > 4 else b""
        fields += struct.pack(">HHI4s", tag, kind, count, inline)
    return struct.pack(">H", len(entries)) + fields + bytes(4) + values


def jpeg_segments(*segments: tuple[int, bytes], exif: bytes = b"") -> bytes:
    """Returns a JPEG with application segments, (marker, body) each."""
    body = encode(quadrants(120, 80), "JPEG", options={"exif": exif} if exif else {})
    added = b"".join(struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data for marker, data in segments)
    # After JFIF and EXIF, where writers put them.
    at = body.index(b"\xff\xdb")
    return body[:at] + added + body[at:]


def jpeg(xmp: bytes = b"", *, iptc: bytes = b"", exif: bytes = b"") -> bytes:
    """Returns a JPEG with metadata. iptc: Photoshop's resources."""
    segments = []
    if xmp:
        segments.append((0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + xmp))
    if iptc:
        segments.append((0xED, b"Photoshop 3.0\x00" + iptc))
    return jpeg_segments(*segments, exif=exif)


def png(*chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    """Returns a PNG with more chunks, (name, body) each, before or after its pixels."""
    body = encode(quadrants(120, 80), "PNG")
    added = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    at = body.index(b"IEND" if behind else b"IDAT") - 4
    return body[:at] + added + body[at:]


def profile_text(kind: str, body: bytes) -> bytes:
    """Returns a text chunk that contains a profile, as ImageMagick writes it."""
    digits = body.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\n{kind}\n{len(body):8}\n{lines}\n".encode()


def _webp(xmp: bytes) -> bytes:
    return encode(quadrants(120, 80), "WEBP", options={"xmp": xmp})


def _gif(xmp: bytes) -> bytes:
    body = encode(quadrants(120, 80), "GIF")
    trailer = bytes([1, *range(255, -1, -1), 0])
    return body[:-1] + b"\x21\xff\x0bXMP DataXMP" + xmp + trailer + b";"


def _tiff(xmp: bytes) -> bytes:
    out = io.BytesIO()
    quadrants(120, 80).save(out, "TIFF", tiffinfo={700: xmp})
    return out.getvalue()


def _avif(xmp: bytes) -> bytes:
    return encode(quadrants(120, 80), "AVIF", options={"xmp": xmp})


def _heic(xmp: bytes) -> bytes:
    import pillow_heif

    out = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (120, 80), "red")).save(out, xmp=xmp)
    return out.getvalue()


def _mp4(xmp: bytes) -> bytes:
    body = movie(MovieShape(seconds=0.3))
    at = body.index(b"moov") - 4  # after the media data, whose position is counted from the start
    return body[:at] + box(b"uuid", _XMP_UUID, xmp) + body[at:]


def _fast_mp4(xmp: bytes) -> bytes:
    return (
        movie(MovieShape(seconds=0.3, faststart=True))
        + box(b"free", bytes(300))
        + box(b"uuid", _XMP_UUID, xmp)
    )


WITH_XMP: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "jpeg": jpeg,
    "png": lambda xmp: png((b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + xmp)),
    "png-packed": lambda xmp: png((b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + zlib.compress(xmp))),
    "png-behind": lambda xmp: png((b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + xmp), behind=True),
    "png-profile": lambda xmp: png((b"tEXt", b"Raw profile type xmp\x00" + profile_text("xmp", xmp))),
    "webp": _webp,
    "gif": _gif,
    "tiff": _tiff,
    "avif": _avif,
    "heic": _heic,
    "mp4": _mp4,
    "mp4-behind": _fast_mp4,
}
"""By the name of the format: a file that contains the packet."""
