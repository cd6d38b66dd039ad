"""Header of HEIC and AVIF: the picture of an item, or the frames of a sequence (ISO/IEC 23008-12, AVIF 1.1).

Rotation and mirror are properties of the picture. Decoders apply them and ignore the EXIF orientation. The
orientation counts in a HEIC without such a property: phones and editors write such files, and show them
upright.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.exif import exif_tags
from kappi_mediameta.probing.facts import CaptureFacts, PictureHeader, ProbeLimits
from kappi_mediameta.probing.heif_items import Extent, PictureItems, read_items
from kappi_mediameta.probing.heif_properties import TURNS, Shape, shape_of
from kappi_mediameta.probing.matrix import orientation_of, product
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.movie_tracks import Movie, read_moov
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_MAX_METADATA_BYTES: Final = 1 << 20
_CODECS: Final = {
    b"hvc1": "hevc",
    b"hev1": "hevc",
    b"av01": "av1",
    b"avc1": "h264",
    b"jpeg": "jpeg",
}
_OPACITY: Final = b"auxiliary:alpha"
_MAX_KIND_BYTES: Final = 256
_CLAP_BYTES: Final = 32
_DERIVED: Final = frozenset({b"grid", b"iden", b"iovl", b"tmap"})


@dataclass(frozen=True, slots=True)
class Still:
    """The picture of the items. capture: facts of its EXIF, with the orientation."""

    items: PictureItems
    shape: Shape
    capture: CaptureFacts

    @property
    def turns(self) -> list[Box]:
        """Returns the properties that turn the picture and its opacity, in the order of the file. They are
        none for a picture that is also cut, because the order of cut and turn matters."""
        items = self.items
        primary = items.primary or 0
        if _is_cut(items, primary):
            return []
        listed = [
            box for item_id in (primary, *items.auxiliaries) for box in items.properties.get(item_id, ())
        ]
        return sorted({box for box in listed if box.name in TURNS}, key=lambda box: box.start)

    @property
    def exif_turn(self) -> int:
        """Returns how to turn a HEIC whose properties decoders have applied, EXIF 1..8."""
        return 1 if self.shape.turns else self.capture.orientation


async def read_heic(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    still, movie = await read_parts(reader, limits)
    if still is None:
        return _sequence(movie, limits)
    orientation = still.shape.orientation if still.shape.turns else still.exif_turn
    return _header(still, movie, orientation, limits)


async def read_avif(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    """Returns the header. Browsers ignore the EXIF orientation of an AVIF."""
    still, movie = await read_parts(reader, limits)
    if still is None:
        return _sequence(movie, limits)
    return _header(still, movie, still.shape.orientation, limits)


async def read_parts(reader: BlockReader, limits: ProbeLimits) -> tuple[Still | None, Movie | None]:
    """Returns the still picture or None, and the frames or None. Raises ProbeRejected."""
    boxes = BoxReader(reader, max_boxes=limits.max_parts)
    meta, moov = await _find(boxes)
    movie = None if moov is None else (await read_moov(boxes, moov))[0]
    items = None if meta is None else await read_items(boxes, meta)
    if items is None or items.primary is None:
        return None, movie
    shape = await _shape(boxes, items, items.primary, limits)
    await _check_opacity(boxes, items)
    _check_whole(items, size_bytes=reader.size_bytes)
    return Still(items, shape, await _capture(reader, items)), movie


async def another_of(reader: BlockReader, still: Still, item_id: int, limits: ProbeLimits) -> Still:
    """Returns another picture of the file, without opacity. Raises ProbeRejected."""
    items = replace(still.items, primary=item_id, auxiliaries=(), premultiplied=False)
    shape = await _shape(BoxReader(reader, max_boxes=limits.max_parts), items, item_id, limits)
    _check_whole(items, size_bytes=reader.size_bytes)
    return Still(items, shape, still.capture)


def _header(still: Still, movie: Movie | None, orientation: int, limits: ProbeLimits) -> PictureHeader:
    header = PictureHeader(
        stored_width=still.shape.stored_width,
        stored_height=still.shape.stored_height,
        codec=codec_of(still.items),
        capture=replace(still.capture, orientation=orientation),
    )
    return header if movie is None or movie.picture is None else _animated(header, movie, limits)


async def _find(boxes: BoxReader) -> tuple[Box | None, Box | None]:
    """Returns `meta` and `moov` of the file. Raises ProbeRejected where neither is there."""
    found: dict[bytes, Box] = {}
    async for box in boxes.of_file():
        if box.name in (b"meta", b"moov"):
            found.setdefault(box.name, box)
    if not found:
        raise ProbeRejected(RejectReason.CORRUPT, "neither item nor sequence")
    return found.get(b"meta"), found.get(b"moov")


async def _shape(boxes: BoxReader, items: PictureItems, item_id: int, limits: ProbeLimits) -> Shape:
    shape = await shape_of(boxes, items.properties.get(item_id, ()))
    if shape is None:
        raise ProbeRejected(RejectReason.CORRUPT, "picture without a size")
    limits.check_size(shape.coded_width, shape.coded_height)
    limits.check_size(shape.stored_width, shape.stored_height)
    if items.kinds.get(item_id) == b"grid":
        canvas = await _grid_canvas(boxes, items, item_id)
        if canvas != (shape.coded_width, shape.coded_height):
            raise ProbeRejected(RejectReason.CORRUPT, "grid and its size differ")
    return shape


async def _grid_canvas(boxes: BoxReader, items: PictureItems, item_id: int) -> tuple[int, int]:
    """Returns the size by the grid itself, which a decoder allocates."""
    extents = items.places.get(item_id, ())
    if len(extents) != 1 or not 8 <= extents[0].length <= 64:
        raise ProbeRejected(RejectReason.CORRUPT, "grid without its description")
    at, length = extents[0].start, extents[0].length
    body = await boxes.body(Box(b"grid", at, at, at + length), at_most=length)
    parts = items.parts.get(item_id, ())
    if (body[2] + 1) * (body[3] + 1) != len(parts):
        raise ProbeRejected(RejectReason.CORRUPT, f"grid of {len(parts)} parts")
    wide = 4 if body[1] & 1 else 2
    if length < 4 + 2 * wide:
        raise ProbeRejected(RejectReason.CORRUPT, "grid description too short")
    return int.from_bytes(body[4 : 4 + wide], "big"), int.from_bytes(body[4 + wide : 4 + 2 * wide], "big")


def codec_of(items: PictureItems) -> str:
    """Returns the name of the picture's coding. Raises ProbeRejected."""
    primary = items.primary
    kind = items.kinds.get(primary or 0, b"")
    if kind in _DERIVED:
        kind = next((items.kinds.get(part, b"") for part in items.parts.get(primary or 0, ())), b"")
    codec = _CODECS.get(kind)
    if codec is None:
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "picture of an unknown coding")
    return codec


async def _check_opacity(boxes: BoxReader, items: PictureItems) -> None:
    """Raises `unsupported_type` for a cut picture whose opacity is not cut alike: decoders would lay all of
    the opacity over the part."""
    if not _is_cut(items, items.primary or 0):
        return
    transforms = await _transforms(boxes, items, items.primary or 0)
    for auxiliary in items.auxiliaries:
        kinds = [box for box in items.properties.get(auxiliary, ()) if box.name == b"auxC"]
        is_opacity = [_OPACITY in await boxes.body(box, at_most=_MAX_KIND_BYTES) for box in kinds]
        if any(is_opacity) and await _transforms(boxes, items, auxiliary) != transforms:
            raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "a cut picture with opacity that is not")


async def _transforms(boxes: BoxReader, items: PictureItems, item_id: int) -> list[tuple[bytes, bytes]]:
    listed = [box for box in items.properties.get(item_id, ()) if box.name in (b"clap", *TURNS)]
    return [(box.name, await boxes.body(box, at_most=_CLAP_BYTES)) for box in listed]


def _is_cut(items: PictureItems, item_id: int) -> bool:
    return any(box.name == b"clap" for box in items.properties.get(item_id, ()))


def _check_whole(items: PictureItems, *, size_bytes: int) -> None:
    """Raises `truncated` where the picture, or one of its parts, reaches past the end of the file."""
    primary = items.primary or 0
    for item_id in (primary, *items.parts.get(primary, ())):
        if not items.places.get(item_id):
            raise ProbeRejected(RejectReason.CORRUPT, "picture without data")
        if any(extent.end > size_bytes for extent in items.places[item_id]):
            raise ProbeRejected(RejectReason.TRUNCATED, "picture data missing")


async def _capture(reader: BlockReader, items: PictureItems) -> CaptureFacts:
    """Returns the facts of EXIF and XMP of the primary picture."""
    metadata = Metadata()
    metadata.exif = exif_tags(await exif_block(reader, items))
    metadata.xmp = [await item_body(reader, items, items.xmp)]
    return metadata.capture()


async def exif_block(reader: BlockReader, items: PictureItems) -> bytes:
    """Returns the EXIF of the primary picture, or nothing."""
    block = await item_body(reader, items, items.exif)
    # The first number is the offset of the TIFF header behind it.
    return block[4 + int.from_bytes(block[:4], "big") :] if len(block) > 8 else b""


async def item_body(reader: BlockReader, items: PictureItems, item_id: int | None) -> bytes:
    """Returns the body of an item of metadata, or nothing where it is too long or missing."""
    extents = items.places.get(item_id, ()) if item_id is not None else ()
    if len(extents) != 1 or not _is_readable(extents[0], size_bytes=reader.size_bytes):
        return b""
    return await reader.read(extents[0].start, extents[0].length)


def _is_readable(extent: Extent, *, size_bytes: int) -> bool:
    return extent.length <= _MAX_METADATA_BYTES and extent.end <= size_bytes


def _sequence(movie: Movie | None, limits: ProbeLimits) -> PictureHeader:
    """Returns the header of frames without a still picture."""
    track = None if movie is None else movie.picture
    if movie is None or track is None:
        raise ProbeRejected(RejectReason.NO_PICTURE)
    limits.check_size(track.square_width, track.coded_height)
    header = PictureHeader(
        stored_width=track.square_width,
        stored_height=track.coded_height,
        codec=track.codec,
        capture=CaptureFacts(orientation=orientation_of(product(track.matrix, movie.matrix))),
    )
    return _animated(header, movie, limits)


def _animated(header: PictureHeader, movie: Movie, limits: ProbeLimits) -> PictureHeader:
    """Returns the header with the facts that only the movie has."""
    track = movie.picture
    count = track.sample_count if track is not None else 0
    limits.check_frames(count)
    duration_ms = movie.duration_ms or (track.duration_ms if track is not None else None)
    limits.check_duration(duration_ms)
    capture = header.capture
    if capture.taken_at is None and movie.created_at is not None:
        capture = replace(capture, taken_at=movie.created_at, taken_offset_known=True)
    return replace(
        header,
        capture=capture,
        animated=count > 1,
        frame_count=count or None,
        duration_ms=duration_ms if count > 1 else None,
    )
