from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.http.form_stream import MalformedForm
from kappi_chassis.problems import PayloadTooLarge, Problem, UnknownField, ValidationFailed
from kappi_media.api.direct_upload.form_body import FormBody
from kappi_media.domain.declarations import PostedFile

BOUNDARY = "----kappi7MA4YWxkTrZu0gW"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, value: bytes | str, *, filename: str | None = None, more: str = "") -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'
    return head.encode() + (value.encode() if isinstance(value, str) else value) + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def read(body: bytes, size: int = 65536, content_type: str = TYPE) -> tuple[bytes, PostedFile]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    posted = FormBody(chunks(), content_type=content_type)
    content = b"".join([piece async for piece in posted.content()])
    return content, posted.declaration()


@given(content=st.binary(max_size=300), size=st.integers(1, 97), first=st.booleans())
async def test_it_reads_the_same_however_it_is_cut(content: bytes, size: int, first: bool) -> None:
    file = part("file", content, filename="дом 🏠.jpg", more="Content-Type: image/jpeg\r\n")
    said = [
        part("caption", "Où ça?"),
        part("tags", "alps"),
        part("tags", "2026"),
        part("attributes", '{"day": 3}'),
        part("location", ""),
    ]
    found, declared = await read(form(file, *said) if first else form(*said, file), size)
    assert found == content
    assert (declared.filename, declared.content_type) == ("дом 🏠.jpg", "image/jpeg")
    assert (declared.caption, declared.tags, declared.location) == ("Où ça?", ["alps", "2026"], None)
    assert declared.attributes == {"day": 3}


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("a%22b.jpg", 'a"b.jpg'),
        ('a\\"b.jpg', 'a"b.jpg'),
        ("C:\\pictures\\a.jpg", "a.jpg"),
        ("a%20b.jpg", "a%20b.jpg"),
        ("a;b.jpg", "a;b.jpg"),
    ],
)
async def test_file_names_as_clients_write_them(written: str, read_as: str) -> None:
    _, declared = await read(form(part("file", b"x", filename=written)))
    assert declared.filename == read_as


async def test_an_unknown_field_is_named() -> None:
    with pytest.raises(UnknownField) as caught:
        await read(form(part("file", b"x", filename="a.jpg"), part("capton", "a"), part("name", "b")))
    assert [error.field for error in caught.value.errors] == ["capton", "name"]


async def test_the_generic_type_says_nothing() -> None:
    more = "Content-Type: application/octet-stream\r\n"
    _, declared = await read(form(part("file", b"x", filename="a.jpg", more=more)))
    assert declared.content_type is None


async def test_tags_may_come_as_one_array() -> None:
    _, declared = await read(form(part("file", b"x", filename="a"), part("tags", '["a, b", "c"]')))
    assert declared.tags == ["a, b", "c"]


FILE = part("file", b"x", filename="a.jpg")


@pytest.mark.parametrize(
    ("body", "failure", "field"),
    [
        (b"", MalformedForm, None),
        (b"no boundary at all", MalformedForm, None),
        (FILE, MalformedForm, None),
        (FILE[:40], MalformedForm, None),
        (form(FILE, FILE), MalformedForm, "file"),
        (form(FILE, part("caption", "a"), part("caption", "b")), MalformedForm, "caption"),
        (form(FILE, part("caption", b"\xff")), MalformedForm, "caption"),
        (form(FILE, part("caption", "a\x00")), MalformedForm, "caption"),
        (form(FILE, part("attributes", "{")), MalformedForm, "attributes"),
        (form(FILE, part("tags", "[")), MalformedForm, "tags"),
        (form(FILE, *[part("tags", "a")] * 300), MalformedForm, None),
        (b"--" + BOUNDARY.encode() + b"\r\nX: y\r\n\r\n\r\n" + form(FILE), MalformedForm, None),
        (form(part("caption", "a")), ValidationFailed, "file"),
        (form(part("file", b"x")), ValidationFailed, "filename"),
        (form(FILE, part("attributes", "[]")), ValidationFailed, "attributes"),
        (form(FILE, part("sha256", "x")), ValidationFailed, "sha256"),
        (form(FILE, part("caption", "x" * 2001)), ValidationFailed, "caption"),
        (form(FILE, part("caption", "x" * 70_000)), PayloadTooLarge, None),
    ],
)
async def test_a_fault_is_told_with_its_field(body: bytes, failure: type[Problem], field: str | None) -> None:
    with pytest.raises(failure) as refused:
        await read(body, 31)
    if field is not None:
        assert [error.field for error in refused.value.errors] == [field]


@pytest.mark.parametrize(("length", "taken"), [(4_000, True), (9_000, False)])
async def test_a_parts_header_is_bounded(length: int, taken: bool) -> None:
    file = part(
        "file", b"x", filename="a.jpg", more=f"Content-Type: image/jpeg\r\nX-More: {'x' * length}\r\n"
    )
    if taken:
        assert (await read(form(file)))[0] == b"x"
    else:
        with pytest.raises(MalformedForm):
            await read(form(file), 31)


async def test_attributes_may_be_as_large_as_elsewhere() -> None:
    await read(form(FILE, part("attributes", json.dumps({"a": "x" * 4_000}))))
    with pytest.raises(ValidationFailed) as refused:
        await read(form(FILE, part("attributes", json.dumps({"a": "x" * 4_096}))))
    assert [(error.field, error.code) for error in refused.value.errors] == [("attributes", "too_large")]


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", f"multipart/form-data; boundary={'x' * 500}"]
)
async def test_a_form_without_a_usable_boundary_is_none(content_type: str) -> None:
    with pytest.raises(MalformedForm):
        await read(form(FILE), content_type=content_type)
