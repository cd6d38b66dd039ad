"""GIF: the logical screen, and whether anything moves (CompuServe GIF89a)."""

from __future__ import annotations

import struct
from typing import Final

from kappi_media.probing.facts import PictureHeader, ProbeLimits
from kappi_media.probing.rejection import ProbeRejected, RejectReason
from kappi_media.probing.source import BlockReader

_TAIL_BYTES: Final = 1 << 10
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_LOOP_EXTENSIONS: Final = (b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0")


async def read_gif(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    """Animation is known by the loop extension, which writers put before the first frame: finding a second
    frame would mean reading the whole first one."""
    screen_width, screen_height, flags = struct.unpack("<HHB", await reader.read(6, 5))
    position = 13 + _table_bytes(flags)
    animated = False
    for _ in range(limits.max_parts):
        kind = (await reader.read(position, 1))[0]
        if kind == _IMAGE:
            frame_width, frame_height = struct.unpack("<HH", await reader.read(position + 5, 4))
            limits.check_size(frame_width, frame_height)
            # A zero screen is a known writer's fault; viewers then take the first frame's size.
            width, height = screen_width or frame_width, screen_height or frame_height
            limits.check_size(width, height)
            await _check_end(reader)
            return PictureHeader(width, height, "gif", animated=animated)
        if kind != _EXTENSION:
            raise ProbeRejected(RejectReason.CORRUPT, "no frame" if kind == _TRAILER else "unknown block")
        animated = animated or await reader.read_upto(position + 2, 12) in _LOOP_EXTENSIONS
        position = await _skip_blocks(reader, position + 2, limits)
    raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many extensions")


def _table_bytes(flags: int) -> int:
    return int(3 << ((flags & 7) + 1)) if flags & 0x80 else 0


async def _skip_blocks(reader: BlockReader, position: int, limits: ProbeLimits) -> int:
    for _ in range(limits.max_parts):
        length = (await reader.read(position, 1))[0]
        position += 1 + length
        if not length:
            return position
    raise ProbeRejected(RejectReason.TOO_COMPLEX, "extension too long")


async def _check_end(reader: BlockReader) -> None:
    tail = await reader.tail(_TAIL_BYTES)
    # The trailer follows a block terminator; a few writers append bytes after it.
    if not (tail.rstrip(b"\x00").endswith(b";") or b"\x00;" in tail):
        raise ProbeRejected(RejectReason.TRUNCATED, "no trailer")
