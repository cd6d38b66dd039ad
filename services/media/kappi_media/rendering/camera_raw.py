"""Shows camera RAW, in a decoder process: by an embedded preview, or developed by LibRaw.

A preview is what the camera itself shows, and costs a tenth of developing. The sensor data are developed
where no preview is large enough. Imports libvips: never import it in a service.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import pyvips
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_mediameta.probing.blocking import BlockingSource, at_once
from kappi_mediameta.probing.camera_raw.picture import Preview, RawPicture, preview_header
from kappi_mediameta.probing.camera_raw.reading import read_raw
from kappi_mediameta.probing.facts import PictureHeader
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.probe import DEFAULT_LIMITS
from kappi_mediameta.probing.rejection import Rejected, RejectReason, RenderRejected
from kappi_mediameta.probing.source import BlockReader

from kappi_media.rendering.picture import check_pixels, load_picture
from kappi_media.rendering.pieces import Bytes, spliced
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale

# By how much the shape of a preview differs from that of the picture, at most. Others have black borders.
_SHAPE: Final = 0.03
_WHOLE: Final = 0.9
"""A preview with this share of the picture's height counts as the whole picture."""
_EXIF_WITH_ORIENTATION: Final = (
    b"\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00%b\x00\x00\x00"
    b"\x00\x00\x00\x00"
)


class _Candidate(NamedTuple):
    """A preview that can be decoded. width, height: as displayed. orientation: of its pixels."""

    preview: Preview
    width: int
    height: int
    orientation: int
    has_shape: bool


def load_raw(
    file: RangedFile,
    *,
    raw_format: MediaFormat,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
    fmt: RenditionFormat,
) -> pyvips.Image:
    """Returns the picture, upright, in colours of that format of renditions, or grey. Raises Rejected,
    pyvips.Error, and ImportError where LibRaw is needed and not loaded.
    """
    reader = _reader(file)
    raw = at_once(read_raw(reader, DEFAULT_LIMITS, raw_format))
    shown = partial(_shown, file, sizes=sizes, max_pixels=max_pixels, fmt=fmt)
    width, height = _displayed(raw.header)
    check_pixels(width, height, max_pixels)
    needed = least_scale(sizes, width, height) * height
    candidates = sorted(_candidates(reader, raw), key=lambda found: found.height)
    for found in candidates:
        if found.has_shape and found.height >= min(needed, _WHOLE * height):
            return shown(found)
    try:
        if not raw.is_developed:
            raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, "camera RAW that is not developed")
        return _developed(file, raw.header, needed=needed)
    except Rejected:
        best = max(candidates, key=lambda found: (found.has_shape, found.height), default=None)
        if best is None:
            raise
        return shown(best)


def _reader(file: RangedFile) -> BlockReader:
    source = BlockingSource(Bytes(file), size_bytes=file.size_bytes)
    return BlockReader(
        source, max_reads=DEFAULT_LIMITS.max_reads, max_read_bytes=DEFAULT_LIMITS.max_read_bytes
    )


def _displayed(header: PictureHeader) -> tuple[int, int]:
    width, height = header.stored_width, header.stored_height
    return (height, width) if header.capture.orientation >= 5 else (width, height)


def _candidates(reader: BlockReader, raw: RawPicture) -> Iterator[_Candidate]:
    """Yields the previews that are pictures. They are turned as the RAW says, whatever they say themselves,
    except those that are upright already."""
    stored = raw.header.stored_width, raw.header.stored_height
    for preview in raw.previews:
        header = at_once(preview_header(reader, preview, DEFAULT_LIMITS))
        if header is None:
            continue
        size = header.stored_width, header.stored_height
        orientation = raw.header.capture.orientation
        if orientation >= 5 and not _same_shape(size, stored) and _same_shape(size, stored[::-1]):
            orientation = 1
        shape = stored if orientation >= 5 or raw.header.capture.orientation < 5 else stored[::-1]
        width, height = size[::-1] if orientation >= 5 else size
        yield _Candidate(preview, width, height, orientation, has_shape=_same_shape(size, shape))


def _same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    return math.isclose(size[0] / size[1], other[0] / other[1], rel_tol=_SHAPE)


def _shown(
    file: RangedFile,
    found: _Candidate,
    *,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
    fmt: RenditionFormat,
) -> pyvips.Image:
    start, length = found.preview
    turned = _EXIF_WITH_ORIENTATION % bytes([found.orientation])  # of two such segments the first counts
    part = spliced(file, [b"\xff\xd8" + turned, (start + 2, start + length)])
    return load_picture(part, content_type="image/jpeg", sizes=sizes, max_pixels=max_pixels, fmt=fmt)


def _developed(file: RangedFile, header: PictureHeader, *, needed: float) -> pyvips.Image:
    from kappi_media.rendering.raw_development import developed  # most files need no LibRaw

    return developed(file, header, needed=needed)
