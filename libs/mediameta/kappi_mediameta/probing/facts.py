"""The facts that a probe returns, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from kappi_mediameta.probing.formats import MediaKind
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason

MAX_CAPTION_CHARS: Final = 2_000
MAX_KEYWORDS: Final = 50
MAX_KEYWORD_CHARS: Final = 64
"""Limits of captions and tags, also of those that clients write."""
MAX_TITLE_CHARS: Final = 300

Projection = Literal["equirectangular", "cylindrical", "cubemap"]
"""How a picture or a film shows what is around the camera."""


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
class Exposure:
    """How the device took a picture. lens: its name. aperture: the f-number. iso: the speed.
    focal_length_35mm: that of the same view on 35 mm film, in mm."""

    lens: str | None = None
    exposure_time_s: float | None = None
    aperture: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None
    focal_length_35mm: float | None = None

    def or_else(self, other: Exposure) -> Exposure:
        """Returns each field of this one, or of the other where this one has none."""
        return Exposure(
            lens=self.lens or other.lens,
            exposure_time_s=self.exposure_time_s or other.exposure_time_s,
            aperture=self.aperture or other.aperture,
            iso=self.iso or other.iso,
            focal_length_mm=self.focal_length_mm or other.focal_length_mm,
            focal_length_35mm=self.focal_length_35mm or other.focal_length_35mm,
        )


@dataclass(frozen=True, slots=True)
class EmbeddedFilm:
    """The film in the file of a motion photo: a range of its bytes that is an MP4 of its own."""

    start: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Details:
    """Facts that are shown beside a picture or a film, and decide nothing.

    exposure: None rather than one without a value. rating: 1 to 5, 0 for none, -1 for a rejected picture.
    projection: None for what is flat. film: of a motion photo.
    """

    exposure: Exposure | None = None
    rating: int | None = None
    title: str | None = None
    projection: Projection | None = None
    film: EmbeddedFilm | None = None

    def or_else(self, other: Details) -> Details:
        """Returns each field of this one, or of the other where this one has none."""
        exposure = self.exposure or other.exposure
        if self.exposure is not None and other.exposure is not None:
            exposure = self.exposure.or_else(other.exposure)
        return Details(
            exposure=exposure,
            rating=self.rating if self.rating is not None else other.rating,
            title=self.title or other.title,
            projection=self.projection or other.projection,
            film=self.film or other.film,
        )


NO_DETAILS: Final = Details()


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """Facts that the device wrote, and that were written about the picture into its file later.

    orientation: EXIF 1..8, how stored pixels are turned for display. taken_at: aware UTC; local time without
    an offset is taken as UTC, and `taken_offset_known` is False. taken_offset_minutes: east of UTC; None
    where it is unknown, or where only the instant is known. live_id: also in the other half of a Live Photo.
    film_from_end: bytes from the start of a motion photo's film to the end of the file, as written there.
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
    details: Details = NO_DETAILS
    film_from_end: int | None = None


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """A picture as it is stored. stored_width/height: before orientation, with square pixels.

    projection: of a film.
    """

    stored_width: int
    stored_height: int
    codec: str
    animated: bool = False
    duration_ms: int | None = None
    capture: CaptureFacts = CaptureFacts()
    frame_count: int | None = None
    projection: Projection | None = None


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
    details: Details = NO_DETAILS


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
