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
