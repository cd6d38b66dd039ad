"""Recognises camera RAW, which Kappi refuses, by its first bytes or by a directory of a TIFF structure.

Most RAW files are a TIFF whose first directory is a small picture. Sources: Adobe DNG 1.7; the magic
numbers and compressions that ExifTool lists.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_mediameta.containers.tiff_directories import layout_of
from kappi_mediameta.probing.tiff_fields import Tags, directory, integer
from kappi_mediameta.probing.tiff_samples import COMPRESSION, PHOTOMETRIC

_MARKS: Final = re.compile(
    rb"IIR[OS]\x08\x00|MMOR\x00\x00|IIU\x00"  # Olympus, Panasonic and Leica use other numbers than TIFF's 42
    rb"|(?:II\*\x00|MM\x00\*).{4}(?:CR|IIII.waR|MMMMRaw.)"  # Canon CR2, Phase One
    rb"|FUJIFILMCCD-RAW |FOVb|\x00MRM|(?:II|MM).{4}HEAPCCDR|.{4}ftypcrx ",
    re.DOTALL,
)
_DNG_VERSION, _SUBFILE_TYPE, _OLD_SUBFILE_TYPE = 50706, 254, 255
_REDUCED, _OLD_REDUCED = 1, 2  # of these types: a smaller version of another picture
_PHOTOMETRICS: Final = frozenset({32803, 34892})
_COMPRESSIONS: Final = frozenset({32767, 32769, 32770, 32772, 34713, 34892, 65000, 65024, 65535})


def is_camera_raw(head: bytes) -> bool:
    """Returns whether the first bytes of a file, perhaps with its first directory, are of camera RAW."""
    if _MARKS.match(head):
        return True
    layout = layout_of(head)
    if layout is None:
        return False
    start = layout.integer(head[8:16] if layout.big else head[4:8])
    return leads_to_raw(directory(head, layout, at=start))


def leads_to_raw(tags: Tags) -> bool:
    """Returns whether the first directory of a file names a larger picture, or describes sensor data."""
    return (
        _DNG_VERSION in tags
        or bool((integer(tags, _SUBFILE_TYPE) or 0) & _REDUCED)
        or integer(tags, _OLD_SUBFILE_TYPE) == _OLD_REDUCED
        or shows_raw(tags)
    )


def shows_raw(tags: Tags) -> bool:
    """Returns whether a directory describes sensor data."""
    return integer(tags, PHOTOMETRIC) in _PHOTOMETRICS or integer(tags, COMPRESSION) in _COMPRESSIONS
