"""Makes a `Probe` of a source and its format by the header alone: little is read, nothing is decoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from kappi_mediameta.probing.asf import read_asf
from kappi_mediameta.probing.avi import read_avi
from kappi_mediameta.probing.bmp import read_bmp
from kappi_mediameta.probing.camera_raw.marks import is_camera_raw
from kappi_mediameta.probing.camera_raw.reading import RAW_READERS
from kappi_mediameta.probing.facts import Details, PictureHeader, Probe, ProbeLimits
from kappi_mediameta.probing.formats import FILMS_OF_BOXES, MediaFormat, format_of, matches
from kappi_mediameta.probing.gif import read_gif
from kappi_mediameta.probing.heif import read_avif, read_heic
from kappi_mediameta.probing.jp2 import read_jp2
from kappi_mediameta.probing.jpeg import read_jpeg
from kappi_mediameta.probing.jxl import read_jxl
from kappi_mediameta.probing.matroska import read_matroska
from kappi_mediameta.probing.motion_photos import film_in_picture
from kappi_mediameta.probing.movie import read_movie
from kappi_mediameta.probing.png import read_png
from kappi_mediameta.probing.polyglot import refuse_polyglots
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.sniffing import sniff
from kappi_mediameta.probing.source import BlockReader, RangedSource
from kappi_mediameta.probing.tiff import distant_raw_format, read_tiff
from kappi_mediameta.probing.transport_stream import read_transport_stream
from kappi_mediameta.probing.webp import read_webp

HeaderReader = Callable[[BlockReader, ProbeLimits], Awaitable[PictureHeader]]

# A format is accepted when it has a reader here.
HEADER_READERS: Final[Mapping[MediaFormat, HeaderReader]] = MappingProxyType(
    {
        MediaFormat.JPEG: read_jpeg,
        MediaFormat.PNG: read_png,
        MediaFormat.GIF: read_gif,
        MediaFormat.WEBP: read_webp,
        MediaFormat.BMP: read_bmp,
        MediaFormat.HEIC: read_heic,
        MediaFormat.AVIF: read_avif,
        MediaFormat.TIFF: read_tiff,
        **RAW_READERS,
        MediaFormat.JXL: read_jxl,
        MediaFormat.JP2: read_jp2,
        **dict.fromkeys(FILMS_OF_BOXES, read_movie),
        MediaFormat.WEBM: read_matroska,
        MediaFormat.MKV: read_matroska,
        MediaFormat.AVI: read_avi,
        MediaFormat.MPEG_TS: read_transport_stream,
        MediaFormat.WMV: read_asf,
    }
)
DEFAULT_LIMITS: Final = ProbeLimits()
_TITLES: Final = [fmt.title for fmt in MediaFormat if fmt in HEADER_READERS]
ACCEPTED: Final = f"{', '.join(_TITLES[:-1])} or {_TITLES[-1]}"
"""The accepted formats, for people to read."""


def is_supported(fmt: MediaFormat) -> bool:
    return fmt in HEADER_READERS


def identify(declared_content_type: str, head: bytes) -> MediaFormat:
    """Returns the format of a file of that declared type. head: its first `SNIFF_BYTES`.

    Raises ProbeRejected: `empty`; `unsupported_type` where Kappi refuses the declared type or the format that
    was found; `type_mismatch` where the content is not of the declared type.
    """
    if format_of(declared_content_type) is None:
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "declared type")
    if not head:
        raise ProbeRejected(RejectReason.EMPTY)
    found = sniff(head)
    if found in (None, MediaFormat.TIFF) and is_camera_raw(head):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "camera RAW")
    if found is None or not matches(declared_content_type, found):
        raise ProbeRejected(RejectReason.TYPE_MISMATCH)
    if not is_supported(found):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, found.content_type)
    return found


async def probe(source: RangedSource, fmt: MediaFormat, limits: ProbeLimits = DEFAULT_LIMITS) -> Probe:
    """Returns the facts of a file whose first bytes were sniffed as `fmt`. Camera RAW whose first directory
    lies behind these bytes is sniffed as TIFF, and is found here.

    Reads at most `limits.max_reads` ranges of 64 KiB: usually two, or four for a video with its index at the
    end. Raises ProbeRejected; errors of the source pass through.
    """
    if not is_supported(fmt):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, fmt.content_type)
    if source.size_bytes < 1:
        raise ProbeRejected(RejectReason.EMPTY)
    reader = BlockReader(source, max_reads=limits.max_reads, max_read_bytes=limits.max_read_bytes)
    await refuse_polyglots(reader)
    if fmt is MediaFormat.TIFF:
        fmt = await distant_raw_format(reader) or fmt
    header = await HEADER_READERS[fmt](reader, limits)
    capture = header.capture
    turned = capture.orientation >= 5
    return Probe(
        kind=fmt.kind,
        content_type=fmt.content_type,
        width=header.stored_height if turned else header.stored_width,
        height=header.stored_width if turned else header.stored_height,
        orientation=capture.orientation,
        codec=header.codec,
        animated=header.animated,
        duration_ms=header.duration_ms,
        taken_at=capture.taken_at,
        taken_offset_known=capture.taken_offset_known,
        camera=capture.camera,
        location=capture.location,
        taken_offset_minutes=capture.taken_offset_minutes,
        live_id=capture.live_id,
        frame_count=header.frame_count,
        caption=capture.caption,
        keywords=capture.keywords,
        details=await _details(reader, fmt, header),
    )


async def _details(reader: BlockReader, fmt: MediaFormat, header: PictureHeader) -> Details:
    details, told = header.capture.details, header.capture.film_from_end
    return replace(
        details,
        projection=header.projection or details.projection,
        film=await film_in_picture(reader, fmt, film_from_end=told),
    )
