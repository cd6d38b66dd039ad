"""Panoramas and films all around are marked with their projection."""

from __future__ import annotations

import struct

import pytest
from kappi_mediameta.probing import BytesSource, probe, sniff
from kappi_testkit.media.containers import (
    box,
    cluster,
    element,
    full_box,
    grown,
    matroska,
    unsigned,
    video_track,
)
from kappi_testkit.media.metadata_blocks import jpeg, xmp_packet
from kappi_testkit.media.samples import MovieShape, movie

_PANORAMA = 'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"'
_SPHERICAL = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_TO_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")
FILM = movie(MovieShape(seconds=0.3))


async def projection(body: bytes) -> str | None:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return (await probe(BytesSource(body), fmt)).details.projection


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ('GPano:ProjectionType="equirectangular"', "equirectangular"),
        ('GPano:ProjectionType="cylindrical" GPano:UsePanoramaViewer="True"', "cylindrical"),
        ('GPano:ProjectionType="equirectangular" GPano:UsePanoramaViewer="False"', None),
        ('GPano:ProjectionType="fisheye"', None),
        ('GPano:UsePanoramaViewer="True"', None),
    ],
)
async def test_pictures(attributes: str, found: str | None) -> None:
    assert await projection(jpeg(xmp_packet(attributes=f"{_PANORAMA} {attributes}"))) == found


def xml(*elements: str) -> bytes:
    written = "".join(elements).encode()
    return box(
        b"uuid", _SPHERICAL, b'<?xml version="1.0"?><rdf:SphericalVideo>', written, b"</rdf:SphericalVideo>"
    )


_YES = "<GSpherical:Spherical>true</GSpherical:Spherical>"


def kind(name: str) -> str:
    return f"<GSpherical:ProjectionType>{name}</GSpherical:ProjectionType>"


@pytest.mark.parametrize(
    ("added", "found"),
    [
        (xml(_YES, kind("equirectangular")), "equirectangular"),
        (xml(_YES), "equirectangular"),
        (xml(_YES, kind("cubemap")), None),
        (xml(kind("equirectangular")), None),
        (xml("<GSpherical:Spherical>false</GSpherical:Spherical>"), None),
        (box(b"uuid", bytes(16), xml(_YES)), None),
        (box(b"uuid", b"short"), None),
    ],
)
async def test_films_of_the_first_form(added: bytes, found: str | None) -> None:
    assert await projection(grown(FILM, b"moov", b"trak", more=added)) == found


def sv3d(*kinds: bytes) -> bytes:
    header = full_box(b"prhd", struct.pack(">iii", 0, 0, 0))
    projections = (full_box(name, bytes(16)) for name in kinds)
    return box(b"sv3d", full_box(b"svhd", b"kappi\x00"), box(b"proj", header, *projections))


@pytest.mark.parametrize(
    ("added", "found"),
    [
        (sv3d(b"equi"), "equirectangular"),
        (sv3d(b"cbmp"), "cubemap"),
        (sv3d(b"mshp"), None),
        (sv3d(), None),
        (box(b"sv3d", b"\x00\x00\xff\xffproj"), None),
        (box(b"st3d", bytes(5)), None),
    ],
)
async def test_films_of_the_second_form(added: bytes, found: str | None) -> None:
    assert await projection(grown(FILM, *_TO_ENTRY, more=added)) == found


@pytest.mark.parametrize(("number", "found"), [(0, None), (1, "equirectangular"), (2, "cubemap"), (3, None)])
async def test_films_of_matroska(number: int, found: str | None) -> None:
    track = video_track(element(0x7670, unsigned(0x7671, number)))
    assert await projection(matroska(element(0x1654AE6B, track), cluster())) == found


async def test_what_is_flat_has_none() -> None:
    assert (await projection(FILM), await projection(jpeg())) == (None, None)
