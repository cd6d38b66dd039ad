from pathlib import Path

import pytest
from kappi_client.files import LocalFile
from kappi_client.sidecars import batches_of, names_beside, pictures_of_sidecars

RAW, JPEG, FILM, XMP = "image/x-canon-cr3", "image/jpeg", "video/mp4", "application/rdf+xml"


def file(name: str, content_type: str = JPEG, *, of: str | None = None) -> LocalFile:
    return LocalFile(Path(name), 1, content_type, 0, Path(of) if of is not None else None)


@pytest.mark.parametrize(
    ("sidecar", "files", "picture"),
    [
        ("a.xmp", [file("a.CR3", RAW)], "a.CR3"),
        ("A.XMP", [file("a.CR3", RAW)], "a.CR3"),
        ("a.xmp", [file("a.jpg"), file("a.CR3", RAW)], "a.CR3"),
        ("a.jpg.xmp", [file("a.jpg"), file("a.CR3", RAW)], "a.jpg"),
        ("a.xmp", [file("a.jpg"), file("a.mp4", FILM)], "a.jpg"),
        ("a.xmp", [file("a.jpg"), file("a.png")], None),
        ("a.xmp", [file("a.mp4", FILM)], None),
        ("a.xmp", [file("b/a.jpg")], None),
    ],
)
def test_the_picture_of_a_sidecar(sidecar: str, files: list[LocalFile], picture: str | None) -> None:
    found = pictures_of_sidecars([*files, file(sidecar, XMP)])
    assert found == ({} if picture is None else {Path(sidecar): Path(picture)})


def test_a_picture_has_one_sidecar() -> None:
    files = [file("a.jpg"), file("a.jpg.xmp", XMP), file("a.xmp", XMP)]
    assert pictures_of_sidecars(files) == {Path("a.jpg.xmp"): Path("a.jpg")}


def test_no_batch_tears_a_pair_apart() -> None:
    files = [file("a.jpg"), file("b.jpg"), file("b.xmp", XMP, of="b.jpg"), file("c.jpg")]
    assert list(batches_of(files, 2)) == [files[:1], files[1:3], files[3:]]
    assert list(batches_of(files, 3)) == [files[:3], files[3:]]
    assert list(batches_of(files, 4)) == [files]
    assert list(batches_of([], 4)) == []


def test_pictures_of_one_name_in_several_folders_are_apart_from_each_others_sidecars() -> None:
    first = [file("1/a.CR3", RAW), file("1/a.xmp", XMP, of="1/a.CR3"), file("1/a.jpg")]
    second = [file("2/A.CR3", RAW), file("2/A.xmp", XMP, of="2/A.CR3")]
    third = [file("3/a.jpg"), file("3/b.jpg"), file("4/b.jpg")]
    assert list(batches_of([*first, *second, *third], 100)) == [first, second, third]


@pytest.mark.parametrize(
    ("sidecar", "picture", "saved_as", "names"),
    [
        ("a.xmp", "a.CR3", "a.CR3", ("a.xmp", "a.CR3.xmp")),
        ("a.xmp", "a.CR3", "a (2).CR3", ("a (2).xmp", "a (2).CR3.xmp")),
        ("a.cr3.XMP", "a.CR3", "a.CR3", ("a.CR3.XMP",)),
    ],
)
def test_names_beside_a_picture(sidecar: str, picture: str, saved_as: str, names: tuple[str, ...]) -> None:
    assert names_beside(sidecar, picture=picture, saved_as=saved_as) == names
