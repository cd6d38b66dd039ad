"""Makes the two files of a Live Photo, as an iPhone writes them."""

from __future__ import annotations

import io
import struct

from PIL import Image

from kappi_testkit.media.samples import MovieShape, movie, quadrants, register_heif


def live_id_of(name: str) -> str:
    return f"{name}-LIVE"


def live_picture(name: str, fmt: str = "JPEG") -> bytes:
    """Returns the picture. fmt: JPEG or HEIF. The identifier is a tag of the maker note."""
    if fmt == "HEIF":
        register_heif()
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Apple", "iPhone 15 Pro"
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x9011] = "2024:07:05 12:11:12", "+02:00"
    details[0x927C] = apple_maker_note(live_id_of(name))
    out = io.BytesIO()
    quadrants(120, 80).save(out, fmt, exif=exif.tobytes())
    return out.getvalue()


def live_film(name: str) -> bytes:
    """Returns the film. The identifier is a key of the movie's metadata."""
    keys = {"com.apple.quicktime.content.identifier": live_id_of(name)}
    return movie(MovieShape(seconds=0.5, container="mov", metadata=keys))


def apple_maker_note(live_id: str) -> bytes:
    """Returns a maker note of two tags, in Apple's layout: offsets count from its own start."""
    text = live_id.encode() + b"\x00"
    entries = struct.pack(">HHII", 0x0001, 4, 1, 14) + struct.pack(">HHII", 0x0011, 2, len(text), 14 + 30)
    return b"Apple iOS\x00\x00\x01MM" + struct.pack(">H", 2) + entries + bytes(4) + text
