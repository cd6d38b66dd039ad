import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_client.files import FileChanged, NameBook, declared_name, find_files, safe_name, sha256_of


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("DSC_0412.jpg", "DSC_0412.jpg"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (".bashrc", "bashrc"),
        ("C:\\temp\\a.jpg", "C__temp_a.jpg"),
        ("a\x00b\n.jpg", "a_b_.jpg"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("Пляж 東京.jpg", "Пляж 東京.jpg"),
        ("trailing. ", "trailing"),
        ("x" * 400 + ".jpeg", "x" * 195 + ".jpeg"),
        ("東" * 200 + ".jpg", "東" * 65 + ".jpg"),
    ],
)
def test_names_are_made_safe(wanted: str, name: str) -> None:
    assert safe_name(wanted) == name


@given(st.text(max_size=300))
def test_a_safe_name_stays_in_its_folder(wanted: str) -> None:
    name = safe_name(wanted)
    assert name
    assert name not in {".", ".."}
    assert not name.startswith(".")
    assert "/" not in name
    assert "\x00" not in name
    assert len(name.encode()) <= 240
    assert Path("/folder", name).parent == Path("/folder")


@given(st.lists(st.sampled_from(["a.jpg", "A.jpg", "a (2).jpg", "b", "../a.jpg"]), max_size=12))
def test_every_item_gets_a_different_name(wanted: list[str]) -> None:
    book = NameBook()
    names = [book.take(each).casefold() for each in wanted]
    assert len(set(names)) == len(names)


def test_duplicates_are_numbered() -> None:
    book = NameBook()
    assert [book.take("IMG.JPG"), book.take("img.jpg"), book.take("IMG.JPG")] == [
        "IMG.JPG",
        "img (2).jpg",
        "IMG (3).JPG",
    ]


def test_folders_are_filtered_by_type_and_given_files_are_not(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "sub/c.mov", ".git/d.jpg"):
        path = tmp_path / "trip" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    odd = tmp_path / "odd.dat"
    odd.write_bytes(b"yy")
    found = find_files([tmp_path / "trip", odd])
    assert [(file.path.name, file.content_type) for file in found.files] == [
        ("a.png", "image/png"),
        ("b.JPG", "image/jpeg"),
        ("c.mov", "video/quicktime"),
        ("odd.dat", "application/octet-stream"),
    ]
    assert [path.name for path in found.skipped] == ["notes.txt"]
    assert found.files[-1].size_bytes == 2


def test_sidecars_follow_their_pictures_and_those_without_one_are_named(tmp_path: Path) -> None:
    names = ("b.xmp", "b.jpg", "b.NEF", "c.mov", "c.xmp", "d/b.xmp", "e/b.jpg.XMP", "e/b.jpg", "notes.txt")
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"II*\x00" if name == "b.NEF" else b"x")

    found = find_files([tmp_path])

    assert [(str(file.path.relative_to(tmp_path)), file.content_type) for file in found.files] == [
        ("b.NEF", "image/x-nikon-nef"),
        ("b.xmp", "application/rdf+xml"),
        ("b.jpg", "image/jpeg"),
        ("c.mov", "video/quicktime"),
        ("e/b.jpg", "image/jpeg"),
        ("e/b.jpg.XMP", "application/rdf+xml"),
    ]
    assert [file.picture and file.picture.name for file in found.files] == [
        *(None, "b.NEF", None),
        *(None, None, "b.jpg"),
    ]
    assert [str(path.relative_to(tmp_path)) for path in found.alone] == ["c.xmp", "d/b.xmp"]
    assert [path.name for path in found.skipped] == ["notes.txt"]


def test_the_type_is_read_from_the_content_and_otherwise_from_the_name(tmp_path: Path) -> None:
    for name, content in (
        ("a.jpg", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"),
        ("b", b"\xff\xd8\xff\xe0"),
        ("c.png", b"damaged"),
        ("d.txt", b"a text"),
    ):
        (tmp_path / name).write_bytes(content)
    found = find_files([tmp_path])
    assert [(file.path.name, file.content_type) for file in found.files] == [
        ("a.jpg", "image/png"),
        ("b", "image/jpeg"),
        ("c.png", "image/png"),
    ]
    assert [path.name for path in found.skipped] == ["d.txt"]


def test_a_pipe_is_refused_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="neither a file nor a folder"):
        find_files([tmp_path / "pipe.jpg"])
    assert find_files([tmp_path]).files == []


def test_a_name_of_any_bytes_is_declared_as_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.jpg")
    assert declared_name(path) == "\ufffd\ufffd.jpg"


def test_a_file_that_is_named_twice_is_shared_once(tmp_path: Path) -> None:
    path = tmp_path / "trip" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(b"x")
    (tmp_path / "link.jpg").symlink_to(path)
    found = find_files([path, tmp_path / "trip", tmp_path / "link.jpg"])
    assert [file.path for file in found.files] == [path]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"shor", "shorter"), (b"longer", "longer"), (b"other", "changed")]
)
def test_a_file_that_was_changed_is_recognised(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"photo")
    (file,) = find_files([path]).files
    file.must_be_unchanged(path.stat())
    path.write_bytes(content)
    os.utime(path, ns=(0, file.modified_ns + 1))
    with pytest.raises(FileChanged, match=reason):
        file.must_be_unchanged(path.stat())


def test_a_missing_file_is_an_error_before_any_upload(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        find_files([tmp_path / "nothing.jpg"])


def test_sha256_reports_its_progress(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"z" * 2_500_000)
    seen: list[int] = []
    assert sha256_of(path, progress=seen.append) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sum(seen) == 2_500_000
    assert len(seen) == 3
