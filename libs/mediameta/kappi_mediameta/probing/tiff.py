"""Header of TIFF and BigTIFF: size, coding and EXIF of the first picture (TIFF 6.0). Refuses camera RAW."""

from __future__ import annotations

from kappi_mediameta.containers.tiff_directories import layout_of
from kappi_mediameta.probing.camera_raw.marks import (
    format_of_directory,
    is_camera_raw,
    leads_to_raw,
    shows_raw,
)
from kappi_mediameta.probing.exif import EXIF_DIRECTORY, GPS_DIRECTORY, ExifTags
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.tiff_fields import SUB_DIRECTORIES, Tags, integer, numbers
from kappi_mediameta.probing.tiff_file import (
    HEIGHT,
    IPTC,
    MAX_DIRECTORIES,
    PHOTOSHOP,
    WIDTH,
    XMP,
    TiffFile,
    area,
)
from kappi_mediameta.probing.tiff_samples import samples_of


async def read_tiff(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    head = await reader.read_upto(0, 16)
    layout = layout_of(head)
    if layout is None or len(head) < 16:
        raise ProbeRejected(RejectReason.CORRUPT, "no TIFF header")
    if layout.big and head[4:8] not in (b"\x08\x00\x00\x00", b"\x00\x08\x00\x00"):
        raise ProbeRejected(RejectReason.CORRUPT, "impossible offset size")
    if is_camera_raw(head):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "camera RAW")
    main_at = layout.integer(head[8:16] if layout.big else head[4:8])
    file = TiffFile(reader, layout)
    main = await file.directory(main_at)
    if main is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no directory")
    tags = await file.values(main)
    if await _is_raw(file, tags, main_at):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "camera RAW")
    width, height, codec = _picture(tags)
    limits.check_size(width, height)
    await file.check_end(main)
    exif = await file.tags_at(integer(tags, EXIF_DIRECTORY))
    gps = await file.tags_at(integer(tags, GPS_DIRECTORY))
    metadata = Metadata(
        exif=ExifTags(tags, exif, gps),
        xmp=[await file.block(main.get(XMP))],
        photoshop=await file.block(main.get(PHOTOSHOP)),
        iptc=await file.block(main.get(IPTC)),
    )
    return PictureHeader(width, height, codec, capture=metadata.capture())


async def distant_raw_format(reader: BlockReader) -> MediaFormat | None:
    """Returns the format of camera RAW whose first directory is behind the first bytes of the file; None for
    other TIFFs. Raises ProbeRejected.
    """
    head = await reader.read_upto(0, 16)
    layout = layout_of(head)
    if layout is None or len(head) < 16:
        return None
    first_at = layout.integer(head[8:16] if layout.big else head[4:8])
    return format_of_directory(await TiffFile(reader, layout).tags_at(first_at))


async def _is_raw(file: TiffFile, tags: Tags, main_at: int) -> bool:
    """Returns whether the file is camera RAW. Its first directory mostly describes a small picture, and the
    sensor data is in a directory below it or behind it."""
    if leads_to_raw(tags):
        return True
    others = [(at, True) for at in _hanging_on(tags)]
    follows: int | None = main_at
    for _ in range(MAX_DIRECTORIES):
        if follows is not None and (follows := await file.following(follows)) is not None:
            others.append((follows, False))
        if not others:
            return False
        at, hangs_on_main = others.pop(0)
        if not file.holds(at):
            continue  # the damage is in another picture
        other = await file.tags_at(at)
        if shows_raw(other) or (hangs_on_main and area(other) > area(tags)):
            return True
        others += [(below, hangs_on_main) for below in _hanging_on(other)]
    return False


def _hanging_on(tags: Tags) -> list[int]:
    return [int(at) for at in numbers(tags, SUB_DIRECTORIES)[:MAX_DIRECTORIES]]


def _picture(tags: Tags) -> tuple[int, int, str]:
    width, height = integer(tags, WIDTH), integer(tags, HEIGHT)
    if width is None or height is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no size")
    return width, height, samples_of(tags).codec
