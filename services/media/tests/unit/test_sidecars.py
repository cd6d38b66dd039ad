"""Which sidecar of a batch belongs to which picture."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from kappi_media.domain.sidecars import is_sidecar, sidecars_of


@dataclass(frozen=True, slots=True)
class Declared:
    filename: str
    content_type: str


RAW, JPEG, FILM = "image/x-canon-cr3", "image/jpeg", "video/mp4"


def declared(name: str) -> Declared:
    types = {"cr3": RAW, "jpg": JPEG, "mp4": FILM, "nef": "image/tiff", "txt": "text/plain"}
    return Declared(name, types.get(name.rpartition(".")[2].lower(), "application/xml"))


@pytest.mark.parametrize(
    ("names", "owned"),
    [
        (["IMG_1.CR3", "IMG_1.xmp"], {0: 1}),
        (["IMG_1.xmp", "IMG_1.CR3"], {1: 0}),
        (["IMG_1.CR3", "IMG_1.CR3.xmp"], {0: 1}),
        (["img_1.cr3", "IMG_1.XMP"], {0: 1}),
        (["IMG_1.jpg", "IMG_1.xmp"], {0: 1}),
        (["IMG_1.jpg", "IMG_1.CR3", "IMG_1.xmp"], {1: 2}),
        (["IMG_1.jpg", "IMG_1.CR3", "IMG_1.jpg.xmp", "IMG_1.xmp"], {0: 2, 1: 3}),
        (["IMG_1.jpg", "IMG_1.NEF", "IMG_1.xmp"], {1: 2}),
        (["a.b.CR3", "a.b.xmp"], {0: 1}),
        (["day 1/IMG_1.CR3", "day 2/IMG_1.CR3", "day 2/IMG_1.xmp"], {1: 2}),
        (["IMG_1.CR3", "IMG_2.CR3"], {}),
        (["xmp.jpg"], {}),
    ],
)
def test_a_sidecar_has_the_name_of_its_picture(names: list[str], owned: dict[int, int]) -> None:
    assert sidecars_of([declared(name) for name in names]) == (owned, [])


@pytest.mark.parametrize(
    ("names", "field", "code"),
    [
        (["IMG_1.xmp"], "files.0.filename", "sidecar_without_picture"),
        (["IMG_2.CR3", "IMG_1.xmp"], "files.1.filename", "sidecar_without_picture"),
        (["IMG_1.mp4", "IMG_1.xmp"], "files.1.filename", "sidecar_without_picture"),
        (["IMG_1.txt", "IMG_1.xmp"], "files.1.filename", "sidecar_without_picture"),
        (["IMG_1.CR3", "IMG_1.CR3", "IMG_1.xmp"], "files.2.filename", "sidecar_without_picture"),
        (["IMG_1.CR3", "IMG_1.xmp", "IMG_1.xmp.xmp"], "files.2.filename", "sidecar_without_picture"),
        (["IMG_1.CR3", "IMG_1.xmp", "IMG_1.CR3.xmp"], "files.2.filename", "sidecar_repeated"),
        ([".xmp"], "files.0.filename", "sidecar_without_picture"),
    ],
)
def test_a_sidecar_without_one_picture_is_an_error(names: list[str], field: str, code: str) -> None:
    _, (error,) = sidecars_of([declared(name) for name in names])
    assert (error.field, error.code) == (field, code)


def test_only_the_ending_makes_a_sidecar() -> None:
    assert [name for name in ("a.xmp", "a.XmP", "a.xmp.jpg", "xmp", "axmp") if is_sidecar(name)] == [
        "a.xmp",
        "a.XmP",
    ]
