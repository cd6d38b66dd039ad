"""Header of a GIF: the logical screen and its frames (CompuServe GIF89a)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from kappi_mediameta.containers.gif_blocks import EXTENSION, IMAGE, TIMING, TRAILER, GifBlock, read_blocks
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.xmp import MAX_XMP_BYTES

_TAIL_BYTES: Final = 8 << 10
_LONG_BLOCK_BYTES: Final = 256  # with its length
_XMP_EXTENSION: Final = b"\x0bXMP DataXMP"
_LOOP_EXTENSIONS: Final = (b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0")
# Frames have no index. They are counted up to this position, or to the end of the file.
_WALKED_BYTES: Final = 2 << 20
_CENTISECOND_MS: Final = 10
# Browsers show a frame of less than two hundredths of a second for this time.
_UNSET_DELAY: Final = 10


@dataclass(slots=True)
class _Frames:
    """What the walk found. count: of pictures. loops: by the extension of animations. whole: the walk came to
    the trailer, or to the end of the file. cut: the file ends within a block, or within its data.
    end: of the walk."""

    count: int = 0
    centiseconds: int = 0
    delay: int = _UNSET_DELAY
    loops: bool = False
    whole: bool = False
    cut: bool = False
    size: tuple[int, int] = (0, 0)
    metadata: Metadata = field(default_factory=Metadata)
    end: int = 0


async def read_gif(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    """Returns the header. Duration and number of frames are known of files of up to 2 MiB. Of larger files it
    is known that they move."""
    screen_width, screen_height = struct.unpack("<HH", await reader.read(6, 4))
    limits.check_size(screen_width or 1, screen_height or 1)
    frames = await _walk(reader, limits)
    # Some writers write a screen of size zero. Viewers then take the size of the first frame.
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


async def _walk(reader: BlockReader, limits: ProbeLimits) -> _Frames:
    """Walks to the first frame, then as far as frames are counted."""
    frames = _Frames()
    stop = min(_WALKED_BYTES, reader.size_bytes)
    blocks = limits.max_parts + 2 * limits.max_frames
    async for block in read_blocks(reader, most=blocks, most_pieces=limits.max_parts, pixels_end=stop):
        if block.kind == EXTENSION:
            await _note_extension(reader, frames, block)
        elif block.kind == IMAGE:
            await _note_picture(reader, limits, frames, block)
        elif frames.count:  # most viewers need the first frame alone, also if damage follows it
            frames.whole = block.kind == TRAILER
            frames.end = block.begin
            return frames
        else:
            no_frame = "no frame" if block.kind == TRAILER else "unknown block"
            raise ProbeRejected(RejectReason.CORRUPT, no_frame)
        frames.end = block.end
        frames.cut = block.end > reader.size_bytes or (
            # Writers fill all pieces but the last: behind that one, only the ends are missing.
            block.end == reader.size_bytes and not block.whole and block.full
        )
        if frames.count and block.end >= stop:
            break
    if not frames.count:
        raise ProbeRejected(RejectReason.TRUNCATED, "no frame")
    frames.whole = frames.end == reader.size_bytes
    return frames


async def _note_extension(reader: BlockReader, frames: _Frames, block: GifBlock) -> None:
    if not block.whole:
        raise ProbeRejected(RejectReason.TRUNCATED, "extension cut off")
    data = await reader.read_upto(block.begin + 2, 12)
    if block.label == TIMING and len(data) >= 4:
        frames.delay = int.from_bytes(data[2:4], "little")
    frames.loops = frames.loops or data in _LOOP_EXTENSIONS
    if data == _XMP_EXTENSION and not frames.metadata.xmp:
        # The packet as it is, then bytes that lead a reader of blocks to its end.
        packet_at = block.begin + 2 + len(_XMP_EXTENSION)
        frames.metadata.xmp = [await reader.read_upto(packet_at, min(block.end - packet_at, MAX_XMP_BYTES))]


async def _note_picture(reader: BlockReader, limits: ProbeLimits, frames: _Frames, block: GifBlock) -> None:
    width, height = struct.unpack("<HH", await reader.read(block.begin + 5, 4))
    limits.check_size(width, height)
    frames.size = frames.size if frames.count else (width, height)
    frames.count += 1
    frames.centiseconds += frames.delay if frames.delay > 1 else _UNSET_DELAY
    frames.delay = _UNSET_DELAY
    limits.check_frames(frames.count)


async def _ends_in_pixels(reader: BlockReader) -> bool:
    """Returns whether the file ends in the middle of a long frame: in blocks of 255 bytes, each with its
    length. A missing trailer and bytes behind it do not matter, because viewers show the frames."""
    tail = await reader.tail(_TAIL_BYTES)
    return any(set(tail[at::_LONG_BLOCK_BYTES]) == {_LONG_BLOCK_BYTES - 1} for at in range(_LONG_BLOCK_BYTES))
