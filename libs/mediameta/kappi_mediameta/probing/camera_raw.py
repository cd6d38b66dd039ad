"""Camera RAW, which is not taken: by its first bytes, or by what a directory of a TIFF structure says.

Most of it is a TIFF whose first directory is a small picture. Sources: Adobe DNG 1.7; the magic numbers and
compressions that ExifTool lists.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_mediameta.containers.tiff_directories import layout_of
from kappi_mediameta.probing.tiff_fields import Tags, directory, integer
from kappi_mediameta.probing.tiff_samples import COMPRESSION, PHOTOMETRIC

_MARKS: Final = re.compile(
    rb"IIR[OS]\x08\x00|MMOR\x00\x00|IIU\x00"  # Olympus, Panasonic and Leica: their own numbers for TIFF's 42
    rb"|(?:II\*\x00|MM\x00\*).{4}(?:CR|IIII.waR|MMMMRaw.)"  # Canon CR2, Phase One
    rb"|FUJIFILMCCD-RAW |FOVb|\x00MRM|(?:II|MM).{4}HEAPCCDR|.{4}ftypcrx ",
    re.DOTALL,
)
_DNG_VERSION, _SUBFILE_TYPE, _OLD_SUBFILE_TYPE = 50706, 254, 255
_REDUCED, _OLD_REDUCED = 1, 2  # of these types: a smaller version of another picture
_PHOTOMETRICS: Final = frozenset({32803, 34892})
_COMPRESSIONS: Final = frozenset({32767, 32769, 32770, 32772, 34713, 34892, 65000, 65024, 65535})


def is_camera_raw(head: bytes) -> bool:
    """Whether the first bytes of a file, with its first directory or without, are those of camera RAW."""
    if _MARKS.match(head):
        return True
    layout = layout_of(head)
    if layout is None:
        return False
    start = layout.integer(head[8:16] if layout.big else head[4:8])
    return leads_to_raw(directory(head, layout, at=start))


def leads_to_raw(tags: Tags) -> bool:
    """Whether the first directory of a file says that there is a larger picture, or what a sensor saw."""
    return (
        _DNG_VERSION in tags
        or bool((integer(tags, _SUBFILE_TYPE) or 0) & _REDUCED)
        or integer(tags, _OLD_SUBFILE_TYPE) == _OLD_REDUCED
        or shows_raw(tags)
    )


def shows_raw(tags: Tags) -> bool:
    """Whether a directory is of what a sensor saw."""
    return integer(tags, PHOTOMETRIC) in _PHOTOMETRICS or integer(tags, COMPRESSION) in _COMPRESSIONS
