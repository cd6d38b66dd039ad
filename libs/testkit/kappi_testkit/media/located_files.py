"""Writes files that contain a place with common programs, and reads these places."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pillow_heif
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.gps_free.patching import patched
from kappi_mediameta.probing import BytesSource
from PIL import Image

from kappi_testkit.media.corpus.movies import camcorder
from kappi_testkit.programs import require_program

TIMEOUT_S: Final = 60
_TELLING: Final = (
    *("gps", "location", "latitude", "longitude", "city", "province", "state", "country", "loci"),
    *("sublocation", "sub-location"),
)
# These names are no places: a film has no exposure, but ExifTool names them.
_EXPECTED: Final = frozenset({"LocationInfo", "SubjectLocation"})
_EXIF_PLACE: Final = (
    "-GPSLatitude=48.8577",
    "-GPSLatitudeRef=N",
    "-GPSLongitude=2.295",
    "-GPSLongitudeRef=E",
    "-GPSAltitude=35.4",
    "-GPSAltitudeRef=above",
    "-GPSDateStamp=2026:05:01",
    "-GPSProcessingMethod=GPS",
    "-GPSAreaInformation=Champ de Mars, a name that is long enough to lie elsewhere",
)
_EXIF_REST: Final = (
    "-EXIF:Make=Kappi",
    "-EXIF:Model=One",
    "-EXIF:Orientation#=6",
    "-EXIF:DateTimeOriginal=2026:05:01 10:20:30",
    "-EXIF:OffsetTimeOriginal=+02:00",
    "-EXIF:ExposureTime=1/125",
)
_XMP: Final = (
    "-XMP-exif:GPSLatitude=48.8577",
    "-XMP-exif:GPSLongitude=2.295",
    "-XMP-photoshop:City=Paris",
    "-XMP-iptcCore:CountryCode=FR",
    "-XMP-iptcExt:LocationShownCity=Paris",
    "-XMP-dc:Title=A title that stays",
    "-XMP:Rating=5",
)
_IPTC: Final = (
    "-IPTC:City=Paris",
    "-IPTC:Sub-location=Champ de Mars",
    "-IPTC:Keywords=tower",
    "-IPTC:Headline=Stays",
)


def picture() -> Image.Image:
    return Image.effect_noise((96, 64), 60).convert("RGB")


def _tagged(path: Path, *tags: str) -> Path:
    exiftool = require_program("exiftool")
    run([exiftool, "-q", "-overwrite_original", *tags, str(path)])
    return path


def _photo(extension: str, *tags: str, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"photo{extension}"
        picture().save(path, **options)
        return _tagged(path, *tags)

    return make


def _heif(folder: Path) -> Path:
    path = folder / "photo.heic"
    pillow_heif.from_pillow(picture()).save(path, quality=60)
    return _tagged(path, *_EXIF_PLACE, *_EXIF_REST, *_XMP)


def _film(name: str, *options: str, tags: tuple[str, ...] = ()) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        source = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=1")
        sound = ("-f", "lavfi", "-i", "sine=duration=1")
        ffmpeg = require_program("ffmpeg")
        run([ffmpeg, "-v", "error", "-y", *source, *sound, *options, str(path)])
        return _tagged(path, *tags) if tags else path

    return make


_X264: Final = ("-c:v", "mpeg4", "-c:a", "aac", "-shortest")
_QUICKTIME: Final = (
    "-Keys:GPSCoordinates=48.8577 2.295 35.4",
    "-UserData:GPSCoordinates=48.8577 2.295 35.4",
    "-ItemList:GPSCoordinates=48.8577 2.295 35.4",
    "-Keys:LocationName=Champ de Mars",
    "-Keys:Make=Kappi",
    "-Keys:CreationDate=2026:05:01 10:20:30+02:00",
    "-XMP-exif:GPSLatitude=48.8577",
    "-XMP-dc:Title=Stays",
)
_PLACE: Final = ("-metadata", "location=+48.8577+002.2950/", "-metadata", "location-eng=+48.8577+002.2950/")


def _camcorder(folder: Path) -> Path:
    path = folder / "film.mts"
    camcorder(path)
    return path


FILES: Final[Mapping[str, Callable[[Path], Path]]] = {
    "jpeg": _photo(".jpg", *_EXIF_PLACE, *_EXIF_REST, *_XMP, *_IPTC),
    "jpeg-big-endian": _photo(".jpg", "-ExifByteOrder=MM", *_EXIF_PLACE, *_EXIF_REST),
    "jpeg-progressive": _photo(".jpg", *_EXIF_PLACE, *_EXIF_REST, progressive=True, quality=95),
    "jpeg-xmp-only": _photo(".jpg", *_XMP),
    "jpeg-iptc-only": _photo(".jpg", *_IPTC),
    "png": _photo(".png", *_EXIF_PLACE, *_EXIF_REST, *_XMP),
    "png-packed-xmp": _photo(".png", "-api", "Compress=1", *_XMP),
    "webp": _photo(".webp", *_EXIF_PLACE, *_EXIF_REST, *_XMP),
    "tiff": _photo(".tif", *_EXIF_PLACE, *_EXIF_REST, *_XMP, *_IPTC),
    "tiff-deflate": _photo(".tif", *_EXIF_PLACE, *_EXIF_REST, compression="tiff_adobe_deflate"),
    "gif": _photo(".gif", *_XMP),
    "heic": _heif,
    "avif": _photo(".avif", *_EXIF_PLACE, *_EXIF_REST, *_XMP),
    "mp4": _film("film.mp4", *_X264, *_PLACE, tags=_QUICKTIME),
    "mp4-ffmpeg": _film("film.mp4", *_X264, *_PLACE),
    "mp4-keys": _film("film.mp4", *_X264, "-movflags", "use_metadata_tags+faststart", *_PLACE),
    "mov": _film("film.mov", *_X264, *_PLACE, tags=_QUICKTIME),
    "m4v": _film("film.m4v", *_X264, tags=_QUICKTIME),
    "3gp": _film("film.3gp", "-c:v", "mpeg4", "-an", *_PLACE, tags=("-UserData:LocationInformation=Paris",)),
    "mts": _camcorder,
    "mkv": _film("film.mkv", *_X264, *_PLACE, "-metadata", "title=Stays"),
    "webm": _film(
        "film.webm", "-c:v", "libvpx", "-c:a", "libopus", "-shortest", *_PLACE, "-metadata", "title=Stays"
    ),
}


def run(argv: list[str]) -> bytes:
    done = subprocess.run(argv, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603 - tests' own
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def tags_of(path: Path) -> dict[str, Any]:
    """Returns all tags that exiftool reads, except those about the file itself."""
    exiftool = require_program("exiftool")
    # `-ee`: also embedded parts, such as a film after a picture.
    (seen,) = json.loads(run([exiftool, "-j", "-a", "-G1:3", "-ee", "-n", str(path)]))
    left_out = ("System:", "ExifTool:", "File:", "SourceFile", "Composite:")
    return {name: value for name, value in seen.items() if not name.startswith(left_out)}


def tells_place(tag: str) -> bool:
    name = tag.rpartition(":")[2]
    return name not in _EXPECTED and any(word in name.lower() for word in _TELLING)


def content_hash(path: Path) -> str:
    """Returns the hash of the coded picture or the coded frames and sound: what a lossless copy keeps."""
    if path.suffix in {".mkv", ".webm", ".mp4", ".mov", ".m4v", ".3gp"}:
        ffmpeg = require_program("ffmpeg")
        return run(
            [ffmpeg, "-v", "error", "-i", str(path), "-map", "0", "-c", "copy", "-f", "streamhash", "-"]
        ).decode()
    if path.suffix == ".mts":  # its coded frames contain the place
        return run([require_program("ffmpeg"), "-v", "error", "-i", str(path), "-f", "hash", "-"]).decode()
    if path.suffix == ".jpg":
        bare = run([require_program("exiftool"), "-all=", "-o", "-", str(path)])
        return hashlib.sha256(bare).hexdigest()
    with Image.open(path) as opened:
        return hashlib.sha256(opened.convert("RGB").tobytes()).hexdigest()


async def without_place(body: bytes) -> bytes:
    """Returns the location-free copy that the service makes."""

    async def chunks() -> Any:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    patches = await find_location(BytesSource(body))
    return b"".join([piece async for piece in patched(chunks(), patches)])
