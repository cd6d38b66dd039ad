"""The facts that a probe returns, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kappi_mediameta.probing.formats import MediaKind
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason

MAX_CAPTION_CHARS: Final = 2_000
MAX_KEYWORDS: Final = 50
MAX_KEYWORD_CHARS: Final = 64
"""Limits of captions and tags, also of those that clients write."""


@dataclass(frozen=True, slots=True)
class Camera:
    make: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Coordinates:
    """WGS 84 degrees; altitude in metres above sea level."""

    latitude: float
    longitude: float
    altitude: float | None = None


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """Facts that the device wrote, and that were written about the picture into its file later.

    orientation: EXIF 1..8, how stored pixels are turned for display. taken_at: aware UTC; local time without
    an offset is taken as UTC, and `taken_offset_known` is False. taken_offset_minutes: east of UTC; None
    where it is unknown, or where only the instant is known. live_id: also in the other half of a Live Photo.
    """

    orientation: int = 1
    taken_at: datetime | None = None
    taken_offset_known: bool = False
    camera: Camera | None = None
    location: Coordinates | None = None
    taken_offset_minutes: int | None = None
    live_id: str | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """A picture as it is stored. stored_width/height: before orientation, with square pixels."""

    stored_width: int
    stored_height: int
    codec: str
    animated: bool = False
    duration_ms: int | None = None
    capture: CaptureFacts = CaptureFacts()
    frame_count: int | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """Facts of a media file. width, height: as displayed (orientation, pixel shape applied), in pixels.

    orientation: EXIF 1..8. For a video it stands for the display matrix, for HEIC and AVIF for their own
    rotation and mirror, which their decoders apply. frame_count: of an animation, where the header has it.
    The other fields are those of `CaptureFacts`.
    """

    kind: MediaKind
    content_type: str
    width: int
    height: int
    orientation: int
    codec: str
    animated: bool
    duration_ms: int | None
    taken_at: datetime | None
    taken_offset_known: bool
    camera: Camera | None
    location: Coordinates | None
    taken_offset_minutes: int | None = None
    live_id: str | None = None
    frame_count: int | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeLimits:
    """Bounds of one probe. The defaults allow every camera on sale (200 MP phones, 8K video).

    max_frames: of an animated picture. max_parts: of segments, chunks, boxes or elements walked. max_reads,
    max_read_bytes: of the source. Two or three reads are enough for most; panoramas begin with megabytes.
    """

    max_pixels: int = 256_000_000
    max_video_pixels: int = 8192 * 8192
    max_side: int = 65_535
    max_duration: timedelta = timedelta(hours=24)
    max_frames: int = 10_000
    max_parts: int = 2_000
    max_reads: int = 192
    max_read_bytes: int = 12 << 20

    def check_size(self, width: int, height: int, *, max_pixels: int | None = None) -> None:
        """Raises ProbeRejected for a picture without an area, or with too large an area."""
        if width < 1 or height < 1:
            raise ProbeRejected(RejectReason.CORRUPT, f"no area: {width} x {height}")
        allowed = self.max_pixels if max_pixels is None else max_pixels
        if max(width, height) > self.max_side or width * height > allowed:
            raise ProbeRejected(RejectReason.TOO_MANY_PIXELS, f"{width} x {height}")

    def check_frames(self, count: int) -> None:
        """Raises ProbeRejected for an animated picture of too many frames."""
        if count > self.max_frames:
            raise ProbeRejected(RejectReason.TOO_MANY_FRAMES, f"{count} frames")

    def check_duration(self, duration_ms: int | None) -> None:
        """Raises ProbeRejected for a video or an animation that is too long."""
        # In seconds, because a number of a damaged header may be more than a timedelta holds.
        if duration_ms is not None and duration_ms / 1000 > self.max_duration.total_seconds():
            raise ProbeRejected(RejectReason.TOO_LONG, f"{duration_ms} ms")
