"""Finds the patches that remove the place from a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

from kappi_mediameta.gps_free.asf import clean_asf
from kappi_mediameta.gps_free.avi import clean_avi
from kappi_mediameta.gps_free.bmp import clean_bmp
from kappi_mediameta.gps_free.boxes import clean_boxes
from kappi_mediameta.gps_free.edits import EditedFile, Outside, Patch, Region, Unremovable
from kappi_mediameta.gps_free.gif import clean_gif
from kappi_mediameta.gps_free.jp2 import clean_jp2
from kappi_mediameta.gps_free.jpeg import clean_jpeg
from kappi_mediameta.gps_free.jxl import clean_jxl
from kappi_mediameta.gps_free.matroska import clean_matroska
from kappi_mediameta.gps_free.patching import PatchedSource
from kappi_mediameta.gps_free.png import clean_png
from kappi_mediameta.gps_free.tiff import clean_tiff
from kappi_mediameta.gps_free.transport_stream import clean_transport_stream
from kappi_mediameta.gps_free.webp import clean_webp
from kappi_mediameta.probing import SNIFF_BYTES, MediaFormat, ProbeRejected, RangedSource, probe, sniff
from kappi_mediameta.probing.formats import FILMS_OF_BOXES

Cleaner = Callable[[Region], Awaitable[object]]

_CLEANERS: Final[Mapping[MediaFormat, Cleaner]] = MappingProxyType(
    {
        MediaFormat.JPEG: clean_jpeg,
        MediaFormat.PNG: clean_png,
        MediaFormat.WEBP: clean_webp,
        MediaFormat.GIF: clean_gif,
        MediaFormat.BMP: clean_bmp,
        MediaFormat.TIFF: clean_tiff,
        MediaFormat.JXL: clean_jxl,
        MediaFormat.JP2: clean_jp2,
        **dict.fromkeys((MediaFormat.HEIC, MediaFormat.AVIF, *FILMS_OF_BOXES), clean_boxes),
        MediaFormat.WEBM: clean_matroska,
        MediaFormat.MKV: clean_matroska,
        MediaFormat.AVI: clean_avi,
        MediaFormat.MPEG_TS: clean_transport_stream,
        MediaFormat.WMV: clean_asf,
    }
)


async def find_location(source: RangedSource) -> tuple[Patch, ...]:
    """Returns the patches by position, none for a file that needs none.

    Reads headers only, but all of a GIF, of a transport stream, and of a JPEG, to which a film may be
    appended. Deterministic. Raises Unremovable, also for a copy in which the prober still reads a place, a
    caption or a keyword. Errors of the source pass through.
    """
    fmt = sniff(await source.read(0, min(SNIFF_BYTES, source.size_bytes)))
    if fmt is None:
        raise Unremovable("no format that is known")
    clean = _CLEANERS.get(fmt)
    if clean is None:
        # Makers write places into notes and previews of their own.
        raise Unremovable(f"{fmt.title} is not rewritten")
    file = EditedFile(source)
    try:
        await clean(Region.whole(file))
    except ProbeRejected as error:  # of the reader: bytes are missing, or too many
        raise Unremovable(error.detail) from error
    except RecursionError as error:
        raise Unremovable("boxes within boxes without an end") from error
    patches = file.patches()
    await _refuse_what_still_tells(PatchedSource(source, patches), fmt)
    return patches


async def _refuse_what_still_tells(copy: RangedSource, fmt: MediaFormat) -> None:
    """Raises Unremovable for a copy with a place or with words that may name one.

    The prober reads the copy. It shares walkers with the cleaners, but not their lists of what stays. This
    costs the few reads of a probe. In a file that the prober refuses it reads no place.
    """
    with suppress(ProbeRejected):
        found = await probe(copy, fmt)
        if found.location is not None or found.caption is not None or found.keywords:
            raise Unremovable("a place, or words that may name one, is still in the copy")


__all__ = ["Outside", "Patch", "Unremovable", "find_location"]
