"""The projection of panoramas and of films all around.

Sources: Google's Photo Sphere XMP; Spherical Video 1 (XML in a `uuid` box) and 2 (`sv3d`); RFC 9559.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.facts import Projection
from kappi_mediameta.probing.rejection import ProbeRejected

_PANORAMA: Final = "http://ns.google.com/photos/1.0/panorama/ "
_KIND, _SHOWN = _PANORAMA + "ProjectionType", _PANORAMA + "UsePanoramaViewer"
XMP_NAMES: Final = frozenset({_KIND, _SHOWN})
"""The properties that `projection_of_xmp` reads."""
_OF_PICTURES: Final[Mapping[str, Projection]] = {
    "equirectangular": "equirectangular",
    "cylindrical": "cylindrical",
}
SPHERICAL_UUID: Final = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
MAX_SPHERICAL_BYTES: Final = 64 << 10
_IS_SPHERICAL: Final = re.compile(rb"<GSpherical:Spherical>\s{0,64}(?:true|1)\s{0,64}<", re.IGNORECASE)
_SPHERICAL_KIND: Final = re.compile(rb"<GSpherical:ProjectionType>\s{0,64}([A-Za-z]{1,32})\s{0,64}<")
_BY_BOX: Final[Mapping[bytes, Projection]] = {b"equi": "equirectangular", b"cbmp": "cubemap"}
_BY_MATROSKA: Final[Mapping[int, Projection]] = {1: "equirectangular", 2: "cubemap"}


def projection_of_xmp(values: Mapping[str, str]) -> Projection | None:
    """Returns the projection of a picture that viewers show all around."""
    if values.get(_SHOWN, "").strip().lower() == "false":
        return None
    return _OF_PICTURES.get(values.get(_KIND, "").strip().lower())


def projection_of_xml(body: bytes) -> Projection | None:
    """Returns the projection by the first form of spherical films, which has one only."""
    if _IS_SPHERICAL.search(body) is None:
        return None
    kind = _SPHERICAL_KIND.search(body)
    return "equirectangular" if kind is None or kind.group(1).lower() == b"equirectangular" else None


def projection_of_matroska(kind: int) -> Projection | None:
    return _BY_MATROSKA.get(kind)


async def projection_of_box(boxes: BoxReader, sv3d: Box) -> Projection | None:
    """Returns the projection by the second form of spherical films. A damaged box has none."""
    try:
        async for box in boxes.children(sv3d.start, sv3d.end):
            if box.name == b"proj":
                async for kind in boxes.children(box.start, box.end):
                    if kind.name in _BY_BOX:
                        return _BY_BOX[kind.name]
    except ProbeRejected:
        return None
    return None
