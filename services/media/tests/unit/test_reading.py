from __future__ import annotations

from typing import Any

import msgspec
import pytest
from kappi_chassis.problems import MalformedJson, Problem, ValidationFailed
from kappi_media.api.reading import check_attributes, decode
from kappi_media.api.schemas import BatchDeclaration, ItemChanges

BATCH = msgspec.json.Decoder(BatchDeclaration)
CHANGES = msgspec.json.Decoder(ItemChanges)


def refused(body: bytes, decoder: msgspec.json.Decoder[Any] = BATCH) -> Problem:
    with pytest.raises(Problem) as caught:
        decode(decoder, body)
    return caught.value


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        (b"{}", "files", "missing"),
        (b'{"files": 1}', "files", "invalid"),
        (b'{"files": [{"size": 1, "content_type": "image/png"}]}', "files.0.filename", "missing"),
        (b'{"files": [1]}', "files.0", "invalid"),
        (b'{"files": [], "connection": "slow"}', "files", "invalid"),
        (b"[]", "", "invalid"),
    ],
)
def test_a_fault_is_named_by_its_path(body: bytes, field: str, code: str) -> None:
    problem = refused(body)
    assert isinstance(problem, ValidationFailed)
    assert [(error.field, error.code) for error in problem.errors] == [(field, code)]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"attributes":{"a":' + b"[" * 9_999])
def test_what_is_no_json_is_called_so(body: bytes) -> None:
    assert isinstance(refused(body, CHANGES), MalformedJson)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"caption": "a\\u0000b"}', "caption"),
        (b'{"tags": ["a", "\\u0000"]}', "tags.1"),
        (b'{"attributes": {"a": [{"\\u0000": 1}]}}', "attributes"),
        (b'{"caption": "\\ud800"}', "caption"),
        (b'{"attributes": {"\\udc00": 1}}', "attributes"),
    ],
)
def test_a_nul_or_half_a_character_is_named_wherever_it_hides(body: bytes, field: str) -> None:
    problem = refused(body, CHANGES)
    assert isinstance(problem, ValidationFailed)
    assert [error.field for error in problem.errors] == [field]


def test_the_text_backslash_u0000_is_no_nul() -> None:
    assert decode(CHANGES, b'{"caption": "\\\\u0000"}').caption == "\\u0000"


def test_attributes_are_bounded_by_their_json() -> None:
    check_attributes([("attributes", {"x": "y" * 4_000}), ("other", {})])
    with pytest.raises(ValidationFailed) as caught:
        check_attributes([("files.3.attributes", {"x": "é" * 2_100})])
    assert [error.field for error in caught.value.errors] == ["files.3.attributes"]
