"""HEIC and AVIF with a gain map, as libavif and Apple's phones write them, and what they show, by NumPy."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from kappi_testkit.media.containers import box
from kappi_testkit.media.heif import Coding, Item, auxiliary, coded, grid, heif, xmp
from kappi_testkit.media.high_range import Light

Pixels = npt.NDArray[np.uint8]
APPLE: Final = b"urn:com:apple:photo:2020:aux:hdrgainmap"
_PARTS: Final = 10_000
_FULL_RANGE: Final = 0x80


@dataclass(frozen=True, slots=True)
class GainNumbers:
    """The numbers of ISO 21496-1, of one channel or of three. least, most: in stops.

    headrooms: of the picture and with the map. colours: whose primaries the map is for; those of the picture
    without it.
    """

    least: tuple[float, ...] = (0.0,)
    most: tuple[float, ...] = (2.0,)
    gamma: tuple[float, ...] = (1.0,)
    before: tuple[float, ...] = (1 / 64,)
    after: tuple[float, ...] = (1 / 64,)
    headrooms: tuple[float, float] = (0.0, 2.0)
    colours: int | None = None

    def body(self) -> bytes:
        """Returns the body of the item."""
        flags = 0x80 * (len(self.least) == 3) | 0x40 * (self.colours is None)
        values = [*self.headrooms]
        for channel in zip(self.least, self.most, self.gamma, self.before, self.after, strict=True):
            values += channel
        return struct.pack(">BHHB", 0, 0, 0, flags) + b"".join(
            struct.pack(">iI", round(value * _PARTS), _PARTS) for value in values
        )

    def applied(self, light: Light, gains: Light) -> Light:
        """Returns the light with its whole range. gains: from 0 to 1, as many as pixels of the light."""
        least, most, gamma, before, after = (
            np.array(each) for each in (self.least, self.most, self.gamma, self.before, self.after)
        )
        stops = least + (most - least) * gains ** (1 / gamma)
        bright: Light = (light + before) * 2.0**stops - after
        return bright


def base_picture(width: int = 240, height: int = 160) -> Image.Image:
    """Returns shades and hues without edges, which encoders keep."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    shade = 0.15 + 0.8 * across
    hues = [shade * (0.8 + 0.2 * np.cos(2 * np.pi * (down + third / 3))) for third in range(3)]
    return Image.fromarray(np.rint(np.stack(hues, axis=-1) * 255).astype("u1"))


def gains_picture(width: int = 192, height: int = 128, *, channels: int = 1) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    shades = [0.2 + 0.6 * (across + share * down) / (1 + share) for share in (0.3, 0.6, 0.9)][:channels]
    pixels = np.rint(np.stack(shades, axis=-1) * 255).astype("u1")
    return Image.fromarray(pixels if channels == 3 else pixels[..., 0])


def toned(
    coding: Coding,
    *,
    numbers: GainNumbers | bytes,
    base: Item | None = None,
    gains: Item | None = None,
    primaries: int = 1,
    turns: Sequence[bytes] = (),
    more: Sequence[Item] = (),
    primary: int = 1,
) -> bytes:
    """Returns a file with the map of the standard: the picture is item 1, the gains are 2, the map is 3.

    numbers: or the body of the item. turns: of both pictures. more: items from 4 on.
    """
    base = base or coded(base_picture(), coding)
    gains = gains or coded(gains_picture(), coding)
    base = replace(base, properties=(*base.properties, _numbers_of(primaries), *turns))
    gains = replace(gains, properties=(*gains.properties, _numbers_of(2), *turns), hidden=True)
    body = numbers if isinstance(numbers, bytes) else numbers.body()
    alternate = primaries if isinstance(numbers, bytes) else numbers.colours or primaries
    size = next(part for part in base.properties if part[4:8] == b"ispe")
    tone_map = Item(b"tmap", body, (size, _numbers_of(alternate, transfer=16)), ((b"dimg", (1, 2)),))
    items = [base, gains, tone_map, *more]
    return heif([*enumerate(items, 1)], primary=primary, alternatives=(3, 1))


def apple(*, headroom: float | None, exif: bytes = b"", tiles: int = 1, version: int = 65536) -> bytes:
    """Returns a HEIC with the map of Apple's phones.

    headroom: in XMP. tiles: of the map, beside each other. version: of the map; without one for 0.
    """
    gains = gains_picture()
    width = gains.width // tiles
    parts = [gains.crop((left, 0, left + width, gains.height)) for left in range(0, gains.width, width)]
    numbers = range(4, 4 + tiles)
    whole = grid(tiles, 1, gains.size, tiles=numbers) if tiles > 1 else coded(gains, "HEIF")
    items = [(1, coded(base_picture(), "HEIF")), (2, replace(auxiliary(APPLE, whole, of=1), hidden=True))]
    items.append((3, xmp(_packet(headroom, version), of=2)))
    if tiles > 1:
        items += [(number, coded(part, "HEIF")) for number, part in zip(numbers, parts, strict=True)]
    return heif(items, primary=1, exif=exif)


def apple_applied(light: Light, gains: Light, *, headroom: float) -> Light:
    curve = np.where(gains < 0.081, gains / 4.5, ((gains + 0.099) / 1.099) ** (1 / 0.45))
    bright: Light = light * (1 + (headroom - 1) * curve)
    return bright


def maker_note(headroom: tuple[int, int], gain: tuple[int, int]) -> bytes:
    """Returns Apple's maker note with the two numbers of which the headroom is computed."""
    entries = struct.pack(">HHIIHHII", 0x21, 10, 1, 14 + 30, 0x30, 10, 1, 14 + 38)
    values = struct.pack(">iiii", *headroom, *gain)
    return b"Apple iOS\x00\x00\x01MM" + struct.pack(">H", 2) + entries + bytes(4) + values


def exif_with(note: bytes) -> bytes:
    """Returns a TIFF block with a maker note."""
    exif = Image.Exif()
    exif[0x010F] = "Apple"
    exif.get_ifd(0x8769)[0x927C] = note
    return exif.tobytes()[6:]


def _packet(headroom: float | None, version: int) -> bytes:
    fields = f"<g:HDRGainMapVersion>{version}</g:HDRGainMapVersion>" if version else ""
    if headroom is not None:
        fields += f"<g:HDRGainMapHeadroom>{headroom}</g:HDRGainMapHeadroom>"
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:g="http://ns.apple.com/HDRGainMap/1.0/">{fields}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def _numbers_of(primaries: int, *, transfer: int = 13) -> bytes:
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, 6, _FULL_RANGE))
