"""The reader of each format of camera RAW."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from kappi_mediameta.probing.camera_raw.cr3 import read_cr3
from kappi_mediameta.probing.camera_raw.crw import read_crw
from kappi_mediameta.probing.camera_raw.picture import RawPicture
from kappi_mediameta.probing.camera_raw.raf import read_raf
from kappi_mediameta.probing.camera_raw.tiff_based import read_raw_tiff
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.source import BlockReader

_OTHERS: Final = {MediaFormat.CR3: read_cr3, MediaFormat.CRW: read_crw, MediaFormat.RAF: read_raf}


async def read_raw(reader: BlockReader, limits: ProbeLimits, fmt: MediaFormat) -> RawPicture:
    """Returns header and previews of a file of that format of camera RAW. Raises ProbeRejected."""
    return await _OTHERS.get(fmt, read_raw_tiff)(reader, limits, fmt)


def _header_reader(fmt: MediaFormat) -> Callable[[BlockReader, ProbeLimits], Awaitable[PictureHeader]]:
    async def read_header(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
        return (await read_raw(reader, limits, fmt)).header

    return read_header


RAW_READERS: Final[Mapping[MediaFormat, Callable[[BlockReader, ProbeLimits], Awaitable[PictureHeader]]]] = (
    MappingProxyType({fmt: _header_reader(fmt) for fmt in MediaFormat if fmt.is_camera_raw})
)
