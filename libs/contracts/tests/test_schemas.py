"""The committed documents match the models, and no change breaks a release."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from kappi_contracts.compatibility import breaking_changes
from kappi_contracts.envelope import Envelope, MalformedEvent, decode
from kappi_contracts.events.base import Event
from kappi_contracts.generate import HOME, documents, main
from kappi_contracts.schemas import asyncapi, json_schema
from kappi_contracts.topics import BY_CE_TYPE, TOPICS

VERSIONS = [version for topic in TOPICS for version in topic.versions]


def _file(event: type[Event], folder: str) -> Path:
    return HOME / folder / f"{event.topic_name()}.v{event.version}.json"


def test_generated_documents_are_committed() -> None:
    stale = [name for name, text in documents().items() if (HOME / name).read_text() != text]
    assert not stale, "run `make schemas` and commit the result"


def test_every_committed_file_belongs_to_a_model() -> None:
    expected = {f"{version.topic_name()}.v{version.version}.json" for version in VERSIONS}
    for folder in ("schemas", "released", "examples"):
        assert {path.name for path in (HOME / folder).iterdir()} == expected, folder


@pytest.mark.parametrize("event", VERSIONS, ids=lambda event: event.ce_type())
def test_models_are_compatible_with_their_release(event: type[Event]) -> None:
    released = json.loads(_file(event, "released").read_text())
    assert breaking_changes(released, json.loads(json.dumps(json_schema(event)))) == []


@pytest.mark.parametrize("event", VERSIONS, ids=lambda event: event.ce_type())
def test_golden_examples_are_read_and_written_back_unchanged(event: type[Event]) -> None:
    golden = json.loads(_file(event, "examples").read_text())
    read = msgspec.json.decode(_file(event, "examples").read_bytes(), type=event)
    assert json.loads(msgspec.json.encode(read)) == golden


@pytest.mark.parametrize("event", VERSIONS, ids=lambda event: event.ce_type())
def test_an_old_model_reads_what_a_newer_producer_adds(event: type[Event]) -> None:
    golden = json.loads(_file(event, "examples").read_text())
    read = msgspec.convert({**golden, "added_later": {"nested": [1]}}, event, strict=False)
    assert json.loads(msgspec.json.encode(read)) == golden


def test_every_event_model_is_registered_once() -> None:
    assert {model.ce_type() for model in Event.__subclasses__()} == set(BY_CE_TYPE)
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


@pytest.mark.parametrize("event", VERSIONS, ids=lambda event: event.ce_type())
def test_the_key_is_a_field_of_the_model(event: type[Event]) -> None:
    assert event.aggregate in event.__struct_fields__


def test_asyncapi_references_resolve() -> None:
    document = asyncapi()

    def resolve(reference: str) -> Any:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        return node

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if str(node.get("$ref", "")).startswith("#/channels") else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert len(found) > len(TOPICS)
    assert all(resolve(reference) for reference in found)


def test_the_generator_refuses_a_breaking_change(tmp_path: Path) -> None:
    assert main(tmp_path) == 0
    released = tmp_path / "released" / "GalleryDeleted.v1.json"
    document = json.loads(released.read_text())
    document["properties"]["colour"] = {"type": "string"}
    released.write_text(json.dumps(document))
    assert main(tmp_path) == 1


BASE = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
    "required": ["a"],
}


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, False),
        ({"description": "new words"}, False),
        ({"properties": {**BASE["properties"], "c": {"type": "string"}}}, False),  # type: ignore[dict-item]
        ({"properties": {**BASE["properties"], "c": {"type": "string"}}, "required": ["a", "c"]}, True),  # type: ignore[dict-item]
        ({"properties": {"a": {"type": "string"}}}, True),
        ({"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}, True),
        ({"required": ["a", "b"]}, True),
        ({"required": []}, True),
    ],
)
def test_breaking_changes_are_recognised(change: dict[str, Any], broken: bool) -> None:
    assert bool(breaking_changes(BASE, {**BASE, **change})) is broken


@pytest.mark.parametrize("event", VERSIONS, ids=lambda event: event.ce_type())
def test_an_envelope_is_unchanged_after_kafka(event: type[Event]) -> None:
    data = msgspec.json.decode(_file(event, "examples").read_bytes(), type=event)
    sent = Envelope(
        id=msgspec.convert("01936d2e-7c00-7a11-9b5e-2f6c1d0a4b99", type=UUID),
        source="/galleries",
        time=msgspec.convert("2026-05-31T12:00:00.000123Z", type=datetime),
        sequence=7,
        data=data,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    assert decode(sent.value(), sent.headers()) == sent


@pytest.mark.parametrize(
    ("replace", "value"),
    [
        ({"ce_type": b"gg.kappi.Unknown.v1"}, b"{}"),
        ({"ce_type": b"\xff"}, b"{}"),
        ({"ce_id": b"no uuid"}, None),
        ({"ce_sequence": b"many"}, None),
        ({"ce_time": b"yesterday"}, None),
        ({}, b"{"),
        ({}, b"{}"),
        ({}, b"\xff\xfe"),
    ],
)
def test_a_record_that_is_no_event_is_malformed(replace: dict[str, bytes], value: bytes | None) -> None:
    golden = _file(BY_CE_TYPE["gg.kappi.GalleryDeleted.v1"], "examples").read_bytes()
    headers = {
        "ce_specversion": b"1.0",
        "ce_id": b"01936d2e-7c00-7a11-9b5e-2f6c1d0a4b99",
        "ce_type": b"gg.kappi.GalleryDeleted.v1",
        "ce_source": b"/galleries",
        "ce_time": b"2026-05-31T12:00:00Z",
        "ce_sequence": b"1",
    }
    decode(golden, tuple(headers.items()))
    with pytest.raises(MalformedEvent):
        decode(golden if value is None else value, tuple({**headers, **replace}.items()))
    with pytest.raises(MalformedEvent):
        decode(None, tuple(headers.items()))
