"""XMP sidecars, which photo editors write: which one belongs to which picture, and their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from kappi_client.formats import CAMERA_RAW

if TYPE_CHECKING:
    from kappi_client.files import LocalFile

SIDECAR_TYPE: Final = "application/rdf+xml"
_ENDING: Final = ".xmp"


def is_sidecar(path: PurePath) -> bool:
    return path.name[-len(_ENDING) :].lower() == _ENDING


def pictures_of_sidecars(files: Iterable[LocalFile]) -> Mapping[Path, Path]:
    """Returns the pictures of sidecars in the same folder, as the server finds them; one sidecar for each.

    `IMG_1.CR3.xmp` belongs to `IMG_1.CR3`. `IMG_1.xmp` belongs to the camera RAW with this stem, else to the
    picture with it.
    """
    by_folder: dict[Path, list[LocalFile]] = {}
    for file in files:
        by_folder.setdefault(file.path.parent, []).append(file)
    found: dict[Path, Path] = {}
    for inside in by_folder.values():
        pictures = [file for file in inside if file.content_type.startswith("image/")]
        ranks = (
            _by_name((file.path.name, file) for file in pictures),
            _by_name((file.path.stem, file) for file in pictures if file.content_type in CAMERA_RAW),
            _by_name((file.path.stem, file) for file in pictures),
        )
        taken: set[Path] = set()
        for sidecar in (file.path for file in inside if is_sidecar(file.path)):
            named = sidecar.name[: -len(_ENDING)].casefold()
            same = next((same for rank in ranks if (same := rank.get(named))), [])
            if len(same) == 1 and same[0] not in taken:
                taken.add(same[0])
                found[sidecar] = same[0]
    return found


def batches_of(files: Sequence[LocalFile], most: int) -> Iterator[list[LocalFile]]:
    """Yields batches of files to declare together, of at most `most`.

    files: each sidecar behind its picture, with which it stays. Pictures of one name in several folders are
    not in one batch with their sidecars, because the server could not tell them apart.
    """
    batch: list[LocalFile] = []
    folders: dict[str, Path] = {}
    has_sidecar: set[str] = set()
    for group in _groups(files):
        stem, folder = group[0].path.stem.casefold(), group[0].path.parent
        is_alike = folders.get(stem, folder) != folder and (len(group) > 1 or stem in has_sidecar)
        if is_alike or len(batch) + len(group) > most:
            yield batch
            batch = []
            folders.clear()
            has_sidecar.clear()
        batch += group
        folders.setdefault(stem, folder)
        if len(group) > 1:
            has_sidecar.add(stem)
    if batch:
        yield batch


def names_beside(sidecar: str, *, picture: str, saved_as: str) -> tuple[str, ...]:
    """Returns names under which photo editors find the sidecar of a picture, the usual one first.

    picture: its name in the gallery. saved_as: its name in the folder.
    """
    begin, ending = sidecar[: -len(_ENDING)], sidecar[-len(_ENDING) :]
    whole = saved_as + ending
    if begin.casefold().endswith(PurePath(picture).suffix.casefold()):
        return (whole,)
    return PurePath(saved_as).stem + ending, whole


def _groups(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    group: list[LocalFile] = []
    for file in files:
        if group and file.picture != group[0].path:
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _by_name(named: Iterable[tuple[str, LocalFile]]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for name, file in named:
        found.setdefault(name.casefold(), []).append(file.path)
    return found
