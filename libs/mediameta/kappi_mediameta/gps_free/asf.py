"""Location removal for ASF: headers, pictures, sound and indices stay. Other objects become padding of the
same size, full of zeros.
"""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.containers import asf_objects as asf
from kappi_mediameta.containers.asf_objects import AsfObject
from kappi_mediameta.gps_free.edits import Region, Unremovable

_MAX_OBJECTS: Final = 10_000
_STREAM_KINDS: Final = frozenset({asf.VIDEO, asf.AUDIO})
_EXTENDED_FIELDS_BYTES: Final = 64
_SHAPE: Final = frozenset({"AspectRatioX", "AspectRatioY"})
_KEPT: Final = frozenset(
    {
        asf.FILE_PROPERTIES,
        asf.guid("75B22635-668E-11CF-A6D9-00AA0062CE6C"),  # error correction
        asf.guid("7BF875CE-468D-11D1-8D82-006097C9A2B2"),  # bit rates
        asf.guid("D6E229DC-35DA-11D1-9034-00A0C90349BE"),  # streams of which one is shown
        asf.guid("A08649CF-4775-4670-8A16-6E35357566CD"),  # the same, in the extension
        asf.guid("D4FED15B-88D3-454F-81F0-ED5C45999E24"),  # priorities of streams
        asf.guid("A69609E6-517B-11D2-B6AF-00C04FD908E9"),  # shared bandwidth
        asf.guid("D6E229DF-35DA-11D1-9034-00A0C90349BE"),  # parameters of the index
        asf.guid("26F18B5D-4584-47EC-9F5F-0E651F0452C9"),  # compatibility
    }
)
_INDICES: Final = frozenset(
    {asf.guid("33000890-E5B1-11CF-89F4-00A0C90349CB"), asf.guid("D6E229D3-35DA-11D1-9034-00A0C90349BE")}
)


async def clean_asf(region: Region) -> None:
    position = 0
    while position + asf.OBJECT_HEADER_BYTES <= region.size_bytes:
        found = await asf.object_at(region, position)
        if found is None or found.end > region.size_bytes:
            break
        if position == 0:
            if found.id != asf.HEADER:
                raise Unremovable("no header")
            await _clean_inside(region, found, asf.HEADER_BYTES)
        elif found.id != asf.DATA and found.id not in _INDICES:
            await _blank(region, found)
        position = found.end
    if position == 0:
        raise Unremovable("a header that does not fit")
    await _check_media(region)
    await region.erase(position, region.size_bytes - position)


async def _check_media(region: Region) -> None:
    """Raises Unremovable where the media do not follow the header in one piece. A live recording does not
    know their size."""
    header = await asf.object_at(region, 0)
    start = header.end if header is not None else 0
    if start + asf.OBJECT_HEADER_BYTES > region.size_bytes:
        raise Unremovable("no media")
    media = await asf.object_at(region, start)
    if media is None or media.id != asf.DATA or media.end > region.size_bytes:
        raise Unremovable("media of an unknown size")


async def _clean_inside(region: Region, parent: AsfObject, skipped: int) -> None:
    """Cleans the objects of a parent. skipped: size of the fields before them."""
    position = parent.begin + skipped
    async for found in asf.asf_objects(region, position, parent.end, most=_MAX_OBJECTS):
        if found.end > parent.end:
            raise Unremovable("an object does not fit")
        await _clean(region, found, in_extension=parent.id == asf.HEADER_EXTENSION)
        position = found.end
    await region.erase(position, max(0, parent.end - position))


async def _clean(region: Region, found: AsfObject, *, in_extension: bool) -> None:
    if found.id == asf.STREAM_PROPERTIES:
        await _check_stream(region, found)
    elif found.id == asf.HEADER_EXTENSION and not in_extension:
        await _clean_inside(region, found, asf.EXTENSION_BYTES)
    elif found.id == asf.EXTENDED_STREAM and in_extension:
        await _clean_extended(region, found)
    elif found.id == asf.METADATA and in_extension:
        await _keep_shape(region, found)
    elif found.id not in _KEPT:
        await _blank(region, found)


async def _check_stream(region: Region, found: AsfObject) -> None:
    """Raises Unremovable for a stream of texts or commands, whose data lie between those of the others."""
    if found.length < 16 or await region.read(found.start, 16) not in _STREAM_KINDS:
        raise Unremovable("a stream that is neither picture nor sound")


async def _clean_extended(region: Region, found: AsfObject) -> None:
    """Erases the names of a stream, and keeps its numbers."""
    if found.length < _EXTENDED_FIELDS_BYTES:
        raise Unremovable("properties that do not fit")
    names, extensions = struct.unpack("<HH", await region.read(found.start + _EXTENDED_FIELDS_BYTES - 4, 4))
    position = found.start + _EXTENDED_FIELDS_BYTES
    for head_bytes, length_bytes, count in ((4, 2, names), (22, 4, extensions)):
        for _ in range(count):
            if position + head_bytes > found.end:
                raise Unremovable("names that do not fit")
            head = await region.read(position, head_bytes)
            length = int.from_bytes(head[-length_bytes:], "little")
            if position + head_bytes + length > found.end:
                raise Unremovable("names that do not fit")
            await region.erase(position + head_bytes, length)
            position += head_bytes + length
    async for inner in asf.asf_objects(region, position, found.end, most=_MAX_OBJECTS):
        if inner.id != asf.STREAM_PROPERTIES or inner.end > found.end:
            raise Unremovable("an unknown object in properties of a stream")
        await _check_stream(region, inner)
        position = inner.end
    await region.erase(position, max(0, found.end - position))


async def _keep_shape(region: Region, found: AsfObject) -> None:
    """Keeps the shape of pixels, written anew, and no other attribute."""
    body = await region.read(found.start, found.length)
    kept = [
        attribute.record
        for attribute in asf.attributes_of(body)
        if attribute.name in _SHAPE and len(attribute.value) <= 4
    ]
    written = len(kept).to_bytes(2, "little") + b"".join(kept)
    if len(written) <= len(body):
        await region.write(found.start, written + bytes(len(body) - len(written)))


async def _blank(region: Region, found: AsfObject) -> None:
    await region.write(found.begin, asf.PADDING)
    await region.erase(found.start, found.length)
