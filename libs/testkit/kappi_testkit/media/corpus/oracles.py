"""Reads files with ExifTool, FFprobe, ImageMagick and imagecodecs, in the terms of a `Probe`.

ExifTool reads metadata and camera RAW, FFprobe videos, ImageMagick pictures, imagecodecs JPEG XL. ExifTool
confirms the size of a picture if it supports the rotations and crops of its format.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import imagecodecs
from kappi_mediameta.probing import MediaFormat

from kappi_testkit.programs import require_program

_TIMEOUT_S: Final = 120
_EXIF_TIME: Final = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d:\d\d|Z)?")
# Items with properties of their own, which ExifTool lists but does not apply.
_SELF_TURNING: Final = frozenset({".heic", ".heif", ".hif", ".avif", ".jxl"})
# The time of an editor's last save is not the time of capture.
_LEFT_OUT: Final = ("--XMP:all", "--PNG:ModifyDate", "--ICC_Profile:all")
_RAW: Final = frozenset(fmt.value.extension for fmt in MediaFormat if fmt.is_camera_raw)
# Of films. A `Z` is no zone.
_ZONED: Final = frozenset({"CreationDate", "DateTimeOriginal"})
_UNSET_YEARS: Final = frozenset({"0000", "1904"})
_ANIMATED: Final = frozenset({"image/gif", "image/webp", "image/apng", "image/png", "image/avif"})


@dataclass(frozen=True, slots=True)
class Reading:
    """The values that the tools read.

    width, height: as displayed. sizes_agree: whether the tools read the same size. frame_ms: duration of one
    frame. taken_at: UTC, or local time treated as UTC if no offset is written.
    """

    kind: str
    width: int
    height: int
    sizes_agree: bool
    duration_ms: float | None
    frame_ms: float
    taken_at: datetime | None
    offset_minutes: int | None
    place: tuple[float, float] | None
    camera: tuple[str | None, str | None]
    live_id: str | None


def run(program: str, *arguments: str | Path) -> str:
    """Returns a tool's output. Raises CalledProcessError."""
    done = subprocess.run(  # noqa: S603 - an installed program, on files of the test
        [require_program(program), *map(str, arguments)],
        check=True,
        capture_output=True,
        timeout=_TIMEOUT_S,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
    )
    return done.stdout.decode("utf-8", "replace")


def read_with_tools(paths: Sequence[Path]) -> dict[Path, Reading]:
    """Returns the readings. One ExifTool reads all files, the other tools one file each."""
    listed = json.loads(run("exiftool", "-j", "-n", "-q", "-q", "-m", *_LEFT_OUT, *paths))
    metadata = {Path(entry["SourceFile"]): entry for entry in listed}
    return {path: _reading(path, metadata[path]) for path in paths}


def _reading(path: Path, metadata: dict[str, Any]) -> Reading:
    mime_type = str(metadata.get("MIMEType", ""))
    if mime_type.startswith("video/") and path.suffix != ".avif":
        return _film(path, metadata)
    width, height = _raw_size(metadata) if path.suffix in _RAW else _picture_size(path, mime_type)
    turns_itself = path.suffix in _SELF_TURNING
    # A HEIC without a rotation of its own is rotated by EXIF, which ImageMagick ignores.
    turned_by_exif = not turns_itself or (path.suffix not in (".avif", ".jxl") and "Rotation" not in metadata)
    agree = (
        turns_itself
        or path.suffix in _RAW
        or (metadata.get("ImageWidth"), metadata.get("ImageHeight")) == (width, height)
    )
    if int(metadata.get("Orientation", 1)) >= 5 and turned_by_exif:
        width, height = height, width
    seconds = metadata.get("Duration")
    return Reading(
        kind="image",
        width=width,
        height=height,
        sizes_agree=agree,
        duration_ms=float(seconds) * 1000 if seconds and mime_type in _ANIMATED else None,
        frame_ms=10.0,
        **_capture(metadata),
    )


def _raw_size(metadata: dict[str, Any]) -> tuple[int, int]:
    """Returns the size of the developed picture, as stored."""
    if "DefaultCropSize" in metadata:
        width, height = str(metadata["DefaultCropSize"]).split()
        return int(width), int(height)
    start = "ExifImage" if "ExifImageWidth" in metadata else "Image"
    return int(metadata[start + "Width"]), int(metadata[start + "Height"])


def _picture_size(path: Path, mime_type: str) -> tuple[int, int]:
    """Returns the size as stored, except for formats that rotate by themselves."""
    if mime_type == "image/jxl":  # which ImageMagick does not read
        height, width = imagecodecs.jpegxl_decode(path.read_bytes()).shape[:2]
        return width, height
    first = run("identify", "-format", "%w %h %W %H\n", path).splitlines()[0].split()
    width, height, canvas_width, canvas_height = map(int, first)
    if mime_type in ("image/gif", "image/webp", "image/apng"):
        # The first frame of an animation may be smaller.
        return canvas_width or width, canvas_height or height
    return width, height


def _film(path: Path, metadata: dict[str, Any]) -> Reading:
    found = json.loads(
        run("ffprobe", "-v", "error", "-show_streams", "-show_format", "-print_format", "json", path)
    )
    stream = next(s for s in found["streams"] if s["codec_type"] == "video")
    width, height = int(stream["width"]), int(stream["height"])
    shape = stream.get("sample_aspect_ratio", "1:1").replace(":", "/")
    if shape not in ("N/A", "0/1"):
        width = round(width * Fraction(shape))
    turns = [float(data["rotation"]) for data in stream.get("side_data_list", ()) if "rotation" in data]
    if turns and round(turns[0] / 90) % 2:
        width, height = height, width
    rate = Fraction(stream["avg_frame_rate"]) if stream["avg_frame_rate"] != "0/0" else Fraction(25)
    seconds = found["format"].get("duration")
    return Reading(
        kind="video",
        width=width,
        height=height,
        sizes_agree=True,
        duration_ms=float(seconds) * 1000 if seconds else None,
        frame_ms=float(1000 / rate) if rate else 1000.0,
        **_capture(metadata),
    )


def _capture(metadata: dict[str, Any]) -> dict[str, Any]:
    taken_at, offset_minutes = _taken(metadata)
    place = (metadata.get("GPSLatitude"), metadata.get("GPSLongitude"))
    known = all(isinstance(part, int | float) for part in place) and place != (0, 0)
    return {
        "taken_at": taken_at,
        "offset_minutes": offset_minutes,
        "place": place if known else None,
        "camera": (_name(metadata.get("Make")), _name(metadata.get("Model"))),
        # ExifTool's older name for the tag of a picture, and its present one.
        "live_id": metadata.get("MediaGroupUUID", metadata.get("ContentIdentifier")),
    }


def _name(written: object) -> str | None:
    return " ".join(str(written).split()) or None if written is not None else None


def _taken(metadata: dict[str, Any]) -> tuple[datetime | None, int | None]:
    """Returns the time that a device wrote with the picture, in the order of trust."""
    film = str(metadata.get("MIMEType", "")).startswith("video/")
    # A video's CreateDate is in UTC. An option to tell ExifTool so would make it miss clocks of 1970.
    names = ("CreationDate", "DateTimeOriginal", "CreateDate", "DateTimeDigitized", "ModifyDate")
    offsets = {"DateTimeOriginal": "OffsetTimeOriginal", "CreateDate": "OffsetTimeDigitized"}
    for name in names:
        match = _EXIF_TIME.match(str(metadata.get(name, "")))
        if match is None or match.group(1) in _UNSET_YEARS:
            continue
        fraction = match.group(5) or f".{metadata.get('SubSecTimeOriginal', 0)}"
        local = datetime.fromisoformat("-".join(match.group(1, 2, 3)) + "T" + match.group(4)).replace(
            microsecond=int(fraction[1:7].ljust(6, "0")), tzinfo=UTC
        )
        written = metadata.get(offsets.get(name, ""), metadata.get("OffsetTime"))
        zone = match.group(6) if film else written
        minutes = _minutes(zone)
        told = minutes if not film or (name in _ZONED and zone != "Z") else None
        return local - timedelta(minutes=minutes or 0), told
    return None, None


def _minutes(zone: object) -> int | None:
    match = re.fullmatch(r"([+-])(\d\d):(\d\d)", str(zone or "").strip())
    if match is None:
        return 0 if zone == "Z" else None
    minutes = int(match.group(2)) * 60 + int(match.group(3))
    return -minutes if match.group(1) == "-" else minutes
