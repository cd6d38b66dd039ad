"""Files that belong to a picture of the same batch: XMP sidecars, which photo editors write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from kappi_chassis.problems import FieldError
from kappi_mediameta.probing import format_of
from kappi_mediameta.probing.xmp import MAX_XMP_BYTES

from kappi_media.domain.content_types import is_camera_raw_name

SIDECAR_TYPE: Final = "application/rdf+xml"
"""The type under which sidecars are stored and served, whatever was declared."""
MAX_SIDECAR_BYTES: Final = MAX_XMP_BYTES
_ENDING: Final = ".xmp"


class Declared(Protocol):
    @property
    def filename(self) -> str: ...

    @property
    def content_type(self) -> str: ...


def is_sidecar(filename: str) -> bool:
    return filename[-len(_ENDING) :].lower() == _ENDING


def sidecars_of(files: Sequence[Declared]) -> tuple[Mapping[int, int], list[FieldError]]:
    """Returns the places of sidecars in a batch by the places of their pictures, and the errors of those
    without one.

    `IMG_1.CR3.xmp` belongs to `IMG_1.CR3`. `IMG_1.xmp` belongs to the camera RAW with this stem, else to the
    picture with it.
    """
    sidecars = [at for at, file in enumerate(files) if is_sidecar(file.filename)]
    if not sidecars:
        return {}, []
    pictures = _pictures_by_name(files)
    owned: dict[int, int] = {}
    errors = []
    for at in sidecars:
        named = files[at].filename[: -len(_ENDING)].casefold()
        found = next((each for rank in pictures if (each := rank.get(named))), [])
        if len(found) != 1:
            message = "It belongs to no picture of this batch, or to more than one, by its name."
            errors.append(FieldError(f"files.{at}.filename", "sidecar_without_picture", message))
        elif found[0] in owned:
            message = "Its picture has a sidecar in this batch already."
            errors.append(FieldError(f"files.{at}.filename", "sidecar_repeated", message))
        else:
            owned[found[0]] = at
    return owned, errors


def _pictures_by_name(files: Sequence[Declared]) -> tuple[dict[str, list[int]], ...]:
    """Returns the places of pictures by their names, of camera RAW by their stems, and of all by these."""
    by_name: dict[str, list[int]] = {}
    raw_by_stem: dict[str, list[int]] = {}
    by_stem: dict[str, list[int]] = {}
    for at, file in enumerate(files):
        fmt = format_of(file.content_type)
        if fmt is None or fmt.kind != "image" or is_sidecar(file.filename):
            continue
        name = file.filename.casefold()
        stem = name.rpartition(".")[0] or name
        by_name.setdefault(name, []).append(at)
        by_stem.setdefault(stem, []).append(at)
        # Some clients declare a camera RAW as the TIFF that it is, too.
        if fmt.is_camera_raw or is_camera_raw_name(name):
            raw_by_stem.setdefault(stem, []).append(at)
    return by_name, raw_by_stem, by_stem
