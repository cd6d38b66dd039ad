"""`python -m kappi_contracts check` tells other teams whether their schema accepts what Kappi sends."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kappi_contracts.__main__ import main
from kappi_contracts.schemas import json_schema
from kappi_contracts.topics import BY_CE_TYPE

THEIRS: dict[str, Any] = {
    "title": "MediaReady",
    "type": "object",
    "properties": {
        "media_id": {"type": "string"},
        "kind": {"enum": ["image", "video", "sound"]},
        "size_bytes": {"type": "number"},
        "duration_ms": {"type": ["integer", "null"]},
    },
    "required": ["media_id", "kind"],
}


def _check(folder: Path, schema: Any, *arguments: str) -> int:
    path = folder / "theirs.json"
    path.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return main(["check", str(path), *arguments])


@pytest.mark.parametrize("event", BY_CE_TYPE.values(), ids=lambda event: event.ce_type())
def test_a_consumer_may_take_the_schema_as_it_is(event: Any, tmp_path: Path) -> None:
    assert _check(tmp_path, json_schema(event)) == 0


def test_a_consumer_may_read_less_and_accept_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(tmp_path, THEIRS) == 0
    assert capsys.readouterr().out == "MediaReady.v1: fits\n"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda its: its["properties"].update(colour={"type": "string"}), "colour: never sent"),
        (lambda its: its["required"].append("colour"), "colour: required, but not sent"),
        (lambda its: its["required"].append("contributor_id"), "contributor_id: required, but optional sent"),
        (lambda its: its["properties"].update(kind={"enum": ["image"]}), 'kind: "video" is not "image"'),
        (
            lambda its: its["properties"].update(media_id={"type": "integer"}),
            "media_id: string is not integer",
        ),
        (
            lambda its: its["properties"].update(media_id={"type": "string", "format": "date-time"}),
            'media_id: format "date-time" is not promised',
        ),
        (
            lambda its: its["properties"].update(content_type={"type": "string", "pattern": "^image/"}),
            'content_type: pattern "^image/" is not promised',
        ),
        (
            lambda its: its["properties"].update(content_type={"enum": ["image/jpeg"]}),
            'content_type: string is not "image/jpeg"',
        ),
        (
            lambda its: its["properties"].update(duration_ms={"type": "integer"}),
            "duration_ms: null is not integer",
        ),
        (
            lambda its: its["properties"].update(width={"type": "integer", "maximum": 9}),
            "width: maximum 9 is not",
        ),
        (lambda its: its.update(additionalProperties=False), "schema: additionalProperties must be allowed"),
        (lambda its: its.update({"not": {"required": ["width"]}}), "schema: not"),
    ],
)
def test_each_reason_is_a_line(
    change: Callable[[Any], object], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = copy.deepcopy(THEIRS)
    change(theirs)
    assert _check(tmp_path, theirs) == 1
    assert f"MediaReady.v1: {line}" in capsys.readouterr().out


def test_references_and_lists_are_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {"type": "array", "items": {"$ref": "#/$defs/Kind"}}
    theirs = {
        "type": "object",
        "properties": {"kinds": kinds},
        "$defs": {"Kind": {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}}},
    }
    assert _check(tmp_path, theirs, "--event", "MediaAccessed") == 0
    theirs["$defs"]["Kind"]["properties"]["count"]["minimum"] = 2  # type: ignore[index]
    assert _check(tmp_path, theirs, "--event", "MediaAccessed.v1") == 1
    assert "kinds[].count: minimum 2 is not promised" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ("{", ()),
        ("[]", ()),
        ("[" * 100_000, ()),
        ("{}", ()),
        ("{}", ("--event", "MediaLost")),
        ("{}", ("--event", "MediaReady.v9")),
    ],
)
def test_what_cannot_be_checked_has_a_status_of_its_own(
    schema: str, arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(tmp_path, schema, *arguments) == 2
    assert capsys.readouterr().err


def test_a_missing_file_cannot_be_checked(tmp_path: Path) -> None:
    assert main(["check", str(tmp_path / "none.json")]) == 2


@pytest.mark.parametrize(
    ("schema", "status"),
    [
        ({"$ref": "#"}, 1),
        ({"anyOf": [{"$ref": "#"}]}, 2),
        ({"properties": {"media_id": {"$ref": "#"}}}, 1),
        ({"properties": 7}, 2),
        ({"anyOf": 7}, 2),
        ({"type": "object", "anyOf": [{"type": "string"}]}, 1),
        ({"$ref": "other.json"}, 1),
    ],
)
def test_a_strange_schema_has_an_answer(schema: Any, status: int, tmp_path: Path) -> None:
    assert _check(tmp_path, schema, "--event", "MediaReady") == status
