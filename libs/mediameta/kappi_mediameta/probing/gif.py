"""GIF: the logical screen, and what moves on it (CompuServe GIF89a)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BLOCK_BYTES, BlockReader
from kappi_mediameta.probing.xmp import MAX_XMP_BYTES

_TAIL_BYTES: Final = 8 << 10
_LONG_BLOCK_BYTES: Final = 256  # with its length
_EXTENSION, _IMAGE, _TRAILER, _GRAPHIC_CONTROL = 0x21, 0x2C, 0x3B, 0xF9
_XMP_EXTENSION: Final = b"\x0bXMP DataXMP"
_LOOP_EXTENSIONS: Final = (b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0")
# Frames have no index: they are counted as far as this, or to the file's end.
_WALKED_BYTES: Final = 2 << 20
_CENTISECOND_MS: Final = 10
# Browsers show a frame without a sensible delay for this long.
_UNSET_DELAY: Final = 10


@dataclass(slots=True)
class _Frames:
    """What was walked past. whole: up to the trailer, or the file's end. cut: the
    file ended within a block. loops: by the
    extension of animations. end: of what was walked."""

    count: int = 0
    centiseconds: int = 0
    loops: bool = False
    whole: bool = False
    cut: bool = False
    size: tuple[int, int] = (0, 0)
    metadata: Metadata = field(default_factory=Metadata)
    end: int = 0


async def read_gif(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    """Duration and number of frames are known of files of up to 2 MiB; of larger ones that they move."""
    screen_width, screen_height, flags = struct.unpack("<HHB", await reader.read(6, 5))
    limits.check_size(screen_width or 1, screen_height or 1)
    frames = await _walk(reader, limits, start=13 + _table_bytes(flags))
    # A zero screen is a known writer's fault; viewers then take the first frame's size.
    width, height = screen_width or frames.size[0], screen_height or frames.size[1]
    limits.check_size(width, height)
    if frames.cut or (_WALKED_BYTES <= frames.end < reader.size_bytes and await _ends_in_pixels(reader)):
        raise ProbeRejected(RejectReason.TRUNCATED, "pixels missing")
    limits.check_duration(frames.centiseconds * _CENTISECOND_MS)
    animated = frames.count > 1 or (frames.loops and not frames.whole)
    known = frames.whole and animated
    return PictureHeader(
        width,
        height,
        "gif",
        animated=animated,
        duration_ms=frames.centiseconds * _CENTISECOND_MS if known else None,
        frame_count=frames.count if known else None,
        capture=frames.metadata.capture(),
    )


async def _walk(reader: BlockReader, limits: ProbeLimits, *, start: int) -> _Frames:
    frames = _Frames()
    delay = _UNSET_DELAY
    position = start
    blocks = 0
    while not frames.count or position < min(_WALKED_BYTES, reader.size_bytes):
        blocks += 1
        if blocks > limits.max_parts + 2 * limits.max_frames:
            raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many blocks")
        kind = (await reader.read(position, 1))[0]
        if kind == _EXTENSION:
            label = await reader.read_upto(position + 1, 13)
            if label[:1] == bytes([_GRAPHIC_CONTROL]) and len(label) >= 5:
                delay = int.from_bytes(label[3:5], "little")
            frames.loops = frames.loops or label[1:] in _LOOP_EXTENSIONS
            end = await _skip_blocks(reader, position + 2, limits)
            if label[1:] == _XMP_EXTENSION and not frames.metadata.xmp:
                # The packet as it is, then bytes that lead a reader of blocks to its end.
                packet_at = position + 2 + len(_XMP_EXTENSION)
                size = min(end - packet_at, MAX_XMP_BYTES)
                frames.metadata.xmp = [await reader.read_upto(packet_at, size)]
            position = end
        elif kind == _IMAGE:
            descriptor = await reader.read(position + 5, 5)
            width, height = struct.unpack("<HH", descriptor[:4])
            limits.check_size(width, height)
            frames.size = frames.size if frames.count else (width, height)
            frames.count += 1
            frames.centiseconds += delay if delay > 1 else _UNSET_DELAY
            limits.check_frames(frames.count)
            delay = _UNSET_DELAY
            position = await _skip_pixels(reader, position + 11 + _table_bytes(descriptor[4]))
        elif kind == _TRAILER and frames.count:
            frames.whole = True
            break
        elif not frames.count:
            raise ProbeRejected(RejectReason.CORRUPT, "no frame" if kind == _TRAILER else "unknown block")
        else:  # damaged after the first frame, which is all that most viewers need
            break
    else:
        frames.cut = position > reader.size_bytes
        frames.whole = position == reader.size_bytes
    frames.end = position
    return frames


def _table_bytes(flags: int) -> int:
    return int(3 << ((flags & 7) + 1)) if flags & 0x80 else 0


async def _skip_blocks(reader: BlockReader, position: int, limits: ProbeLimits) -> int:
    for _ in range(limits.max_parts):
        length = (await reader.read(position, 1))[0]
        position += 1 + length
        if not length:
            return position
    raise ProbeRejected(RejectReason.TOO_COMPLEX, "extension too long")


async def _skip_pixels(reader: BlockReader, position: int) -> int:
    """Where the blocks of a frame end; where the walk does when they go on beyond it, past the end of a file
    that ends within a block."""
    end = min(_WALKED_BYTES, reader.size_bytes)
    while position < end:
        block = await reader.read_upto(position, min(BLOCK_BYTES - position % BLOCK_BYTES, end - position))
        at = 0
        while at < len(block):
            if not block[at]:
                return position + at + 1
            at += 1 + block[at]
        position += at
    return position


async def _ends_in_pixels(reader: BlockReader) -> bool:
    """Whether the file ends in the middle of a long frame: in blocks of 255 bytes, each with its length. What
    follows a trailer, and whether there is one, does not matter: viewers show the frames."""
    tail = await reader.tail(_TAIL_BYTES)
    return any(set(tail[at::_LONG_BLOCK_BYTES]) == {_LONG_BLOCK_BYTES - 1} for at in range(_LONG_BLOCK_BYTES))
