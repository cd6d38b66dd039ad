from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kappi_media.archive.names import archive_names, safe_name

DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"
}
# Hostile names, and names that are almost equal.
NAMES = st.one_of(
    st.text(max_size=300),
    st.text(alphabet='aA.é\u0301e /\\:*?"<>|\x00\u202e()23', max_size=12),
    st.sampled_from(["CON", "con.jpg", "Lpt1 .png", "a.jpg", "A.JPG", "a (2).jpg", "..", ".", "", ". . ."]),
)


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("IMG_0001.HEIC", "IMG_0001.HEIC"),
        ("Ærø før.jpg", "Ærø før.jpg"),
        ("e\u0301te\u0301.jpg", "\u00e9t\u00e9.jpg"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/absolute.jpg", "_absolute.jpg"),
        ("C:\\temp\\a.jpg", "C__temp_a.jpg"),
        ('what? "yes" <no>|*.jpg', "what_ _yes_ _no___.jpg"),
        ("nul", "_nul"),
        ("COM1.tar.gz", "_COM1.tar.gz"),
        ("console.jpg", "console.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("line\nbreak\x00.jpg", "linebreak.jpg"),
        ("trailing. . ", "trailing"),
        (". . .", "file"),
        ("", "download"),
    ],
)
def test_one_name(filename: str, name: str) -> None:
    assert safe_name(filename) == name


@pytest.mark.parametrize(
    ("filenames", "names"),
    [
        (["image.jpg", "image.jpg", "image.jpg"], ["image.jpg", "image (2).jpg", "image (3).jpg"]),
        (["a.jpg", "A.JPG"], ["a.jpg", "A (2).JPG"]),
        # A file that really has the name keeps it, at any position.
        (["a.jpg", "a.jpg", "a (2).jpg"], ["a.jpg", "a (3).jpg", "a (2).jpg"]),
        (["\u00e9.jpg", "e\u0301.jpg"], ["\u00e9.jpg", "\u00e9 (2).jpg"]),
        (["straße", "STRASSE"], ["straße", "STRASSE (2)"]),
        (["a?.jpg", "a*.jpg"], ["a_.jpg", "a_ (2).jpg"]),
        ([".hidden", "hidden"], ["hidden", "hidden (2)"]),
    ],
)
def test_names_together(filenames: list[str], names: list[str]) -> None:
    assert archive_names(filenames) == names


@pytest.mark.parametrize(
    ("filenames", "names"),
    [
        (["IMG_1.CR3", "+IMG_1.xmp"], ["IMG_1.CR3", "IMG_1.xmp"]),
        (["IMG_1.CR3", "+img_1.cr3.XMP"], ["IMG_1.CR3", "IMG_1.CR3.XMP"]),
        (
            ["IMG_1.CR3", "+IMG_1.xmp", "IMG_1.CR3", "+IMG_1.xmp"],
            ["IMG_1.CR3", "IMG_1.xmp", "IMG_1 (2).CR3", "IMG_1 (2).xmp"],
        ),
        (
            ["IMG_1.CR3", "IMG_1.CR3", "+IMG_1.CR3.xmp"],
            ["IMG_1.CR3", "IMG_1 (2).CR3", "IMG_1 (2).CR3.xmp"],
        ),
        # Two pictures of one stem: the longer form is found too.
        (["a.jpg", "+a.xmp", "A.CR3", "+A.xmp"], ["a.jpg", "a.xmp", "A.CR3", "A.CR3.xmp"]),
        # Pictures that were renamed since.
        (["best.CR3", "+IMG_1.xmp"], ["best.CR3", "best.xmp"]),
        (["best.CR3", "+IMG_1.CR3.xmp"], ["best.CR3", "best.CR3.xmp"]),
        (["a.CR3", "+a.xmp", "A.XMP"], ["a.CR3", "a.CR3.xmp", "A.XMP"]),
        (["a.CR3", "+a.xmp", "A.XMP", "a.cr3.xmp"], ["a.CR3", "a (2).xmp", "A.XMP", "a.cr3.xmp"]),
        (["picture", "+picture.xmp"], ["picture", "picture.xmp"]),
        (["con.CR3", "+con.xmp"], ["_con.CR3", "_con.xmp"]),
        (["a?.CR3", "+a?.xmp"], ["a_.CR3", "a_.xmp"]),
    ],
)
def test_sidecars_follow_their_pictures(filenames: list[str], names: list[str]) -> None:
    sidecars = [at for at, name in enumerate(filenames) if name.startswith("+")]

    assert archive_names([name.removeprefix("+") for name in filenames], sidecars) == names


@given(st.lists(NAMES, min_size=1, max_size=8), st.data())
def test_no_sidecar_takes_the_name_of_another_file(pictures: list[str], data: st.DataObject) -> None:
    pictures += data.draw(st.permutations([f"{name}.xmp" for name in pictures]))
    sidecar = st.sampled_from(["", ".xmp", "a.XMP", "a.jpg.xmp"])
    filenames, sidecars = [], set()
    for picture in pictures:
        filenames.append(picture)
        if beside := data.draw(sidecar):
            sidecars.add(len(filenames))
            filenames.append(picture + beside)

    names = archive_names(filenames, sidecars)

    assert archive_names(filenames, sidecars) == names
    assert len({unicodedata.normalize("NFD", name.casefold()) for name in names}) == len(filenames)
    assert [names[at] for at in range(len(names)) if at not in sidecars] == archive_names(pictures)
    assert all(names[at][-4:].lower() == ".xmp" and len(names[at].encode()) <= 255 for at in sidecars)


@given(st.lists(NAMES, max_size=12))
@example(["a.jpg", "a.jpg", "a (2).jpg", "A (2).jpg", "a (3).jpg"])
def test_whatever_is_uploaded_can_be_unpacked_anywhere(filenames: list[str]) -> None:
    names = archive_names(filenames)

    assert len(names) == len(filenames)
    assert archive_names(filenames) == names
    alike = [unicodedata.normalize("NFD", name.casefold()) for name in names]
    assert len(set(alike)) == len(names)
    for name in names:
        assert name
        assert unicodedata.is_normalized("NFC", name)
        assert not set(name) & set('/\\:*?"<>|')
        assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in name)
        assert name[-1] not in ". "
        assert name[0] != "."
        assert name.partition(".")[0].rstrip(" ").lower() not in DEVICES
        assert len(name.encode()) <= 255


def test_many_of_one_name_do_not_take_quadratic_time() -> None:
    names = archive_names(["image.jpg"] * 50_000)

    assert names[-1] == "image (50000).jpg"
    assert len(set(names)) == 50_000
