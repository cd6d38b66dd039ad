from __future__ import annotations

import re
from email.message import Message
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.storage.disposition import MAX_FILENAME_BYTES, attachment, safe_filename


def parsed(header: str) -> str:
    """Returns the file name as a client reads it (RFC 6266, 4.3: `filename*` wins)."""
    assert header.startswith('attachment; filename="')
    extended = re.search(r"filename\*=UTF-8''(\S+)$", header)
    if extended:
        return unquote(extended.group(1), errors="strict")
    message = Message()
    message["content-disposition"] = header
    name = message.get_filename()
    assert name is not None
    return name


@pytest.mark.parametrize(
    ("given_name", "saved_as"),
    [
        ("photo.jpg", "photo.jpg"),
        ("IMG 0001 (2).jpg", "IMG 0001 (2).jpg"),
        ("фото.jpg", "фото.jpg"),
        ("🏔️👩‍👩‍👧.png", "🏔️👩‍👩‍👧.png"),
        ('she said "hi".jpg', 'she said "hi".jpg'),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\temp\\a.jpg", "C__temp_a.jpg"),
        ("a\r\nSet-Cookie: x=1.jpg", "aSet-Cookie_ x=1.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("100%.jpg", "100%.jpg"),
        ("%41.jpg", "%41.jpg"),
        ("<b>", "<b>"),
        ("semi;colon,comma.jpg", "semi;colon,comma.jpg"),
        ("תמונה.jpg", "תמונה.jpg"),
        ("صورة ٣.jpg", "صورة ٣.jpg"),
        ("e\u0301te\u0301.jpg", "e\u0301te\u0301.jpg"),
        ("a.jpg...", "a.jpg"),
        ("tab\tand\x7fdelete.jpg", "taband delete.jpg".replace(" ", "")),
        ("line\u2028and\u2029paragraph.jpg", "lineandparagraph.jpg"),
        ("\ufeffmarked.jpg", "marked.jpg"),
        (".hidden", "hidden"),
        ("name. ", "name"),
        ("lone\ud800surrogate.jpg", "lonesurrogate.jpg"),
        ("", "download"),
        ("..", "download"),
        ("\x00\x1f\u200b", "download"),
    ],
)
def test_names_become_headers(given_name: str, saved_as: str) -> None:
    assert parsed(attachment(given_name)) == saved_as


def test_old_clients_get_an_ascii_name() -> None:
    assert attachment("über 50% naïve.jpg") == (
        "attachment; filename=\"uber 50_ naive.jpg\"; filename*=UTF-8''%C3%BCber%2050%25%20na%C3%AFve.jpg"
    )


@pytest.mark.parametrize("stem", ["a" * 500, "я" * 500, "👩‍👩‍👧" * 90])
def test_long_names_keep_their_extension(stem: str) -> None:
    name = parsed(attachment(stem + ".jpeg"))
    assert name.endswith(".jpeg")
    assert len(name.encode()) <= MAX_FILENAME_BYTES


def test_a_too_long_extension_is_cut() -> None:
    assert len(safe_filename("a." + "b" * 500).encode()) == MAX_FILENAME_BYTES


@given(st.text())
def test_any_name_becomes_a_harmless_header(filename: str) -> None:
    header = attachment(filename)
    assert all(" " <= char <= "~" for char in header)
    assert header.count('"') == 2
    name = parsed(header)
    assert name == safe_filename(filename) != ""
    assert not set(name) & set("/\\:\r\n\0")
    assert len(name.encode()) <= MAX_FILENAME_BYTES
    assert not name.startswith(".")
