"""Recognises camera RAW by its first bytes, or by a directory of a TIFF structure.

Most RAW files are a TIFF whose first directory is a small picture. Sources: Adobe DNG 1.7; the magic
numbers, names of makers and compressions that ExifTool lists.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_mediameta.containers.tiff_directories import Layout, layout_of
from kappi_mediameta.probing.exif import MAKE, MODEL
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.tiff_fields import Tags, directory, integer, text
from kappi_mediameta.probing.tiff_samples import COMPRESSION, PHOTOMETRIC

DNG_VERSION, SUBFILE_TYPE, OLD_SUBFILE_TYPE = 50706, 254, 255
REDUCED, _OLD_REDUCED = 1, 2  # of these types: a smaller version of another picture
_SIGNS: Final = {
    MediaFormat.CR2: rb"II\*\x00.{4}CR",
    MediaFormat.CR3: rb".{4}ftypcrx ",
    MediaFormat.CRW: rb"II.{4}HEAPCCDR",
    MediaFormat.RAF: rb"FUJIFILMCCD-RAW ",
    MediaFormat.ORF: rb"IIR[OS]\x08\x00|MMOR\x00\x00",  # other numbers than TIFF's 42
    MediaFormat.RW2: rb"IIU\x00",
    MediaFormat.IIQ: rb"II\*\x00.{4}IIII.waR|MM\x00\*.{4}MMMMRaw.",
}
_SIGN: Final = re.compile(b"|".join(b"(%b)" % sign for sign in _SIGNS.values()), re.DOTALL)
_OTHER_SIGNS: Final = re.compile(rb"FOVb|\x00MRM")  # Sigma, Minolta: not read
_MAKERS: Final = {  # by the start of the name, in capitals
    "NIKON CORPORATION": MediaFormat.NEF,
    "NIKON": MediaFormat.NRW,  # what its compact cameras write
    "SONY": MediaFormat.ARW,
    "PENTAX": MediaFormat.PEF,
    "RICOH": MediaFormat.PEF,
    "ASAHI": MediaFormat.PEF,
    "HASSELBLAD": MediaFormat.HASSELBLAD_3FR,
}
_SR2_MODEL: Final = "DSC-R1"
_CANON_SLICES: Final = 50752
_PHOTOMETRICS: Final = frozenset({32803, 34892})
_COMPRESSIONS: Final = frozenset({32767, 32769, 32770, 32772, 34713, 34892, 52546, 65000, 65024, 65535})


def raw_format(head: bytes) -> MediaFormat | None:
    """Returns the format of camera RAW that is read. head: of a file, with its first directory if it has one.

    None: another kind of file, or camera RAW that is not read (`is_camera_raw`).
    """
    sign = _SIGN.match(head)
    if sign is not None:
        assert sign.lastindex is not None
        return list(_SIGNS)[sign.lastindex - 1]
    tags = _first_directory(head)
    return None if tags is None else format_of_directory(tags)


def format_of_directory(tags: Tags) -> MediaFormat | None:
    """Returns the format of camera RAW by its first directory, or None as `raw_format` does."""
    if not leads_to_raw(tags):
        return None
    if DNG_VERSION in tags:
        return MediaFormat.DNG
    make = (text(tags, MAKE) or "").strip().upper()
    fmt = next((fmt for name, fmt in _MAKERS.items() if make.startswith(name)), None)
    is_sr2 = fmt is MediaFormat.ARW and (text(tags, MODEL) or "").strip() == _SR2_MODEL
    return MediaFormat.SR2 if is_sr2 else fmt


def is_camera_raw(head: bytes) -> bool:
    """Returns whether the first bytes of a file, perhaps with its first directory, are of camera RAW."""
    if _SIGN.match(head) or _OTHER_SIGNS.match(head):
        return True
    tags = _first_directory(head)
    return tags is not None and leads_to_raw(tags)


def raw_layout(head: bytes) -> Layout | None:
    """Returns the layout of a TIFF structure, also of those with a number of their own."""
    if head.startswith((b"IIR", b"IIU\x00")):
        return Layout("<")
    return Layout(">") if head.startswith(b"MMOR") else layout_of(head)


def leads_to_raw(tags: Tags) -> bool:
    """Returns whether the first directory of a file names a larger picture, or describes sensor data."""
    return (
        DNG_VERSION in tags
        or bool((integer(tags, SUBFILE_TYPE) or 0) & REDUCED)
        or integer(tags, OLD_SUBFILE_TYPE) == _OLD_REDUCED
        or shows_raw(tags)
    )


def shows_raw(tags: Tags) -> bool:
    """Returns whether a directory describes sensor data."""
    return (
        integer(tags, PHOTOMETRIC) in _PHOTOMETRICS
        or integer(tags, COMPRESSION) in _COMPRESSIONS
        or _CANON_SLICES in tags
    )


def _first_directory(head: bytes) -> Tags | None:
    layout = layout_of(head)
    if layout is None:
        return None
    start = layout.integer(head[8:16] if layout.big else head[4:8])
    return directory(head, layout, at=start)
