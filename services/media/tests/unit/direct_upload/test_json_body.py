from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.problems import MalformedJson, PayloadTooLarge, Problem, ValidationFailed
from kappi_media.api.direct_upload.body import MalformedBase64
from kappi_media.api.direct_upload.json_body import JsonBody
from kappi_media.domain.declarations import PostedFile


async def chunks(body: bytes, sizes: Sequence[int]) -> AsyncIterator[bytes]:
    """Yields the body in pieces of these sizes, over and over."""
    position, turn = 0, 0
    while position < len(body):
        size = sizes[turn % len(sizes)]
        yield body[position : position + size]
        position, turn = position + size, turn + 1


async def read(body: bytes, *sizes: int) -> tuple[bytes, PostedFile]:
    posted = JsonBody(chunks(body, sizes or (65536,)))
    content = b"".join([piece async for piece in posted.content()])
    return content, posted.declaration()


def document(content: bytes, **more: object) -> bytes:
    text = base64.b64encode(content).decode()
    return json.dumps({"filename": "a.jpg", "content_base64": text, **more}).encode()


@given(
    content=st.binary(max_size=300),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    caption=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30),
    first=st.booleans(),
)
async def test_it_reads_the_same_however_it_is_cut(
    content: bytes, sizes: list[int], caption: str, first: bool
) -> None:
    said = {"filename": "a.jpg", "caption": caption, "attributes": {"content_base64": "eA==", "deep": [{}]}}
    text = {"content_base64": base64.b64encode(content).decode()}
    body = json.dumps({**text, **said} if first else {**said, **text}).encode()
    found, declared = await read(body, *sizes)
    assert found == content
    assert (declared.filename, declared.caption, declared.content_base64) == ("a.jpg", caption, "")
    assert declared.attributes == said["attributes"]


@given(content=st.binary(min_size=50, max_size=400), size=st.integers(1, 90))
async def test_line_breaks_and_escapes_mean_what_json_says(content: bytes, size: int) -> None:
    text = base64.encodebytes(content).decode().replace("\n", "\\r\\n").replace("/", "\\/")
    text = text.replace("+", "\\u002B").replace("=", "\\u003d")
    body = b'{"content\\u005fbase64" : "' + text.encode() + b'","filename":"\\"a\\\\\\".jpg"}'
    found, declared = await read(body, size)
    assert found == content
    assert declared.filename == '"a\\".jpg'


@pytest.mark.parametrize(
    "text",
    [
        *("eHg", "eHg=eHg=", "eHg= eA", "e-g_", "eH=g", "====", "=", "eHhé"),
        *("eHg\\u00e9", "eHg\\x", 'eHg\\"', "eHg=\\u003d"),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_what_is_no_base64_is_told_by_field(text: str, size: int) -> None:
    body = b'{"filename": "a.jpg", "content_base64": "' + text.encode() + b'"}'
    with pytest.raises(MalformedBase64) as refused:
        await read(body, size)
    assert (refused.value.status, refused.value.code) == (400, "malformed_base64")
    assert [error.field for error in refused.value.errors] == ["content_base64"]


@pytest.mark.parametrize(
    ("body", "failure", "field"),
    [
        (b"", MalformedJson, None),
        (b"{", MalformedJson, None),
        (b'{"filename": "a.jpg", "content_base64": "eHg', MalformedJson, None),
        (b'{"filename": "a.jpg", "content_base64": "eHh4"', MalformedJson, None),
        (b'{"content_base64": "eHh4", "content_base64": "eHh4", "filename": "a"}', MalformedJson, None),
        (b'{"filename": "a", "content_base64": "eHh4"} trailing', MalformedJson, None),
        (b'{"filename": "a", "attributes": {"a": ' + b"[" * 5000, MalformedJson, None),
        (b'["content_base64", "eHh4"]', ValidationFailed, ""),
        (b'"content_base64"', ValidationFailed, ""),
        (b'{"filename": "a.jpg"}', ValidationFailed, "content_base64"),
        (b'{"filename": "a.jpg", "content_base64": null}', ValidationFailed, "content_base64"),
        (b'{"content_base64": "eHh4"}', ValidationFailed, "filename"),
        (b'{"content_base64": "eHh4", "filename": "a", "tags": "x"}', ValidationFailed, "tags"),
        (b'{"content_base64": "eHh4", "filename": "a", "sha256": "x"}', ValidationFailed, "sha256"),
        (b'{"content_base64": "eHh4", "filename": "a", "caption": "\\u0000"}', ValidationFailed, None),
    ],
)
async def test_a_fault_around_the_content_is_told_as_for_other_bodies(
    body: bytes, failure: type[Problem], field: str | None
) -> None:
    with pytest.raises(failure) as refused:
        await read(body, 7)
    if field is not None:
        assert [error.field for error in refused.value.errors] == [field]


async def test_what_surrounds_the_content_is_bounded() -> None:
    for body in (b" " * 70_000, b'{"caption": "' + b"x" * 70_000, document(b"x") + b" " * 70_000):
        with pytest.raises(PayloadTooLarge):
            await read(body, 1 << 20)
    fits = document(b"x" * 999) + b" " * 60_000
    assert (await read(fits))[0] == b"x" * 999


async def test_attributes_may_be_as_large_as_elsewhere() -> None:
    await read(document(b"x", attributes={"a": "x" * 4_000}))
    with pytest.raises(ValidationFailed) as refused:
        await read(document(b"x", attributes={"a": "x" * 4_096}))
    assert [(error.field, error.code) for error in refused.value.errors] == [("attributes", "too_large")]


async def test_nothing_of_a_large_file_is_kept() -> None:
    quantum = base64.b64encode(bytes(range(48)) * 1024)  # 64 KiB of text

    async def flood() -> AsyncIterator[bytes]:
        yield b'{"filename": "a.jpg", "content_base64": "'
        for _ in range(512):
            yield quantum
        yield b'"}'

    tracemalloc.start()
    size = 0
    async for piece in JsonBody(flood()).content():
        size += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 512 * 48 * 1024
    assert peak < 1 << 20
