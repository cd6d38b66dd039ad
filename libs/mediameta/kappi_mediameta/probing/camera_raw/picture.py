"""What the readers of camera RAW return."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.jpeg import read_jpeg
from kappi_mediameta.probing.rejection import ProbeRejected
from kappi_mediameta.probing.source import BlockReader

MAX_PREVIEWS: Final = 8
_LEAST_PREVIEW_BYTES: Final = 256
# A camera crops up to a tenth of what its sensor recorded, and a few count the edges differently.
_LEAST_SHARE, _LARGEST_SHARE = 0.9, 1.02


class Preview(NamedTuple):
    """A picture in the file, a JPEG. start, length: of its bytes."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class RawPicture:
    """header: of the whole picture. previews: those that may be decodable, by their number of bytes.

    is_developed: whether decoders read the sensor data; otherwise there is a preview.
    """

    header: PictureHeader
    previews: tuple[Preview, ...]
    is_developed: bool = True


def plausible_previews(found: Iterable[Preview], *, size_bytes: int) -> tuple[Preview, ...]:
    """Returns the previews that are whole, the largest first."""
    whole = {
        preview
        for preview in found
        if preview.start > 0 and _LEAST_PREVIEW_BYTES <= preview.length <= size_bytes - preview.start
    }
    return tuple(sorted(whole, key=lambda preview: preview.length, reverse=True)[:MAX_PREVIEWS])


async def preview_header(reader: BlockReader, preview: Preview, limits: ProbeLimits) -> PictureHeader | None:
    """Returns the header of a preview with its own facts, or None where it is no picture."""
    with suppress(ProbeRejected):
        part = reader.part(*preview)
        if await part.read_upto(0, 2) == b"\xff\xd8":
            return await read_jpeg(part, limits)
    return None


def is_close(size: tuple[int, int], sensor: tuple[int, int]) -> bool:
    """Returns whether a picture of a size can be the one that a sensor of a size recorded."""
    return all(
        _LEAST_SHARE * whole <= side <= _LARGEST_SHARE * whole
        for side, whole in zip(size, sensor, strict=True)
    )
