"""The committed documents match the models, and a record is read as it was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from kappi_contracts.asyncapi import asyncapi
from kappi_contracts.envelope import Envelope, MalformedEvent, UnknownVersion, decode
from kappi_contracts.events.base import Event
from kappi_contracts.generate import documents
from kappi_contracts.schemas import DOCUMENTS
from kappi_contracts.topics import BY_CE_TYPE, BY_NAME, TOPICS

VERSIONS = [version for topic in TOPICS for version in topic.versions]


def _file(event: type[Event], folder: str) -> Path:
    return DOCUMENTS / folder / f"{event.document_name()}.json"


def test_generated_documents_are_committed() -> None:
    stale = [name for name, text in documents().items() if (DOCUMENTS / name).read_text() != text]
    assert not stale, "run `make schemas` and commit the result"


def test_every_committed_file_belongs_to_a_model() -> None:
    expected = {f"{version.document_name()}.json" for version in VERSIONS}
    for folder in ("schemas", "examples"):
        assert {path.name for path in (DOCUMENTS / folder).iterdir()} == expected, folder


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


@pytest.mark.parametrize(
    ("snapshot", "live"),
    [
        ("AccountSnapshotTaken", ("AccountCreated", "AccountTierChanged", "AccountSuspensionChanged")),
        ("GallerySnapshotTaken", ("GalleryCreated", "GalleryUpdated")),
        ("MediaSnapshotTaken", ("MediaReady", "MediaMoved")),
    ],
)
def test_a_snapshot_tells_only_what_live_events_tell(snapshot: str, live: tuple[str, ...]) -> None:
    def fields(name: str) -> set[str]:
        return set(BY_NAME[name].versions[0].__struct_fields__)

    assert fields(snapshot) - {"taken_at"} <= set().union(*map(fields, live))
    assert {BY_NAME[name].owner for name in live} == {BY_NAME[snapshot].owner}
    assert {BY_NAME[name].key for name in live} == {BY_NAME[snapshot].key}


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
            own = (
                [node["$ref"]] if str(node.get("$ref", "")).startswith(("#/channels", "#/components")) else []
            )
            return own + [each for value in node.values() for each in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert len(found) > len(TOPICS)
    assert all(resolve(reference) for reference in found)


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


HEADERS = {
    "ce_specversion": b"1.0",
    "ce_id": b"01936d2e-7c00-7a11-9b5e-2f6c1d0a4b99",
    "ce_type": b"gg.kappi.GalleryDeleted.v1",
    "ce_source": b"/galleries",
    "ce_time": b"2026-05-31T12:00:00Z",
}


@pytest.mark.parametrize("sequence", [b"7", b"00000000000000000007"])
def test_a_sequence_is_read_padded_and_as_older_releases_wrote_it(sequence: bytes) -> None:
    golden = _file(BY_CE_TYPE["gg.kappi.GalleryDeleted.v1"], "examples").read_bytes()
    assert decode(golden, tuple({**HEADERS, "ce_sequence": sequence}.items())).sequence == 7


def test_sequences_have_their_order_as_text() -> None:
    event = BY_CE_TYPE["gg.kappi.GalleryDeleted.v1"]
    data = msgspec.json.decode(_file(event, "examples").read_bytes(), type=event)
    numbers = [1, 9, 10, 99, 1_000_000_007, 2**63 - 1]
    sent = [
        Envelope(id=UUID(int=1), source="/tests", time=datetime.now(UTC), sequence=number, data=data)
        for number in numbers
    ]
    texts = [dict(envelope.headers())["ce_sequence"] for envelope in sent]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {20}
    assert [decode(each.value(), each.headers()).sequence for each in sent] == numbers


@pytest.mark.parametrize(
    ("event_type", "known"),
    [
        (b"gg.kappi.GalleryDeleted.v2", True),
        (b"gg.kappi.GalleryDeleted.v17", True),
        (b"gg.kappi.GalleryDeleted.v0", False),
        (b"gg.kappi.GalleryDeleted.v2x", False),
        (b"gg.kappi.Unknown.v2", False),
        (b"xx.kappi.GalleryDeleted.v2", False),
        (b"gg.kappi.GalleryDeleted.v2\n", False),
        (b"\xff", False),
    ],
)
def test_a_new_version_of_a_known_event_is_told_from_garbage(event_type: bytes, known: bool) -> None:
    headers = {**HEADERS, "ce_sequence": b"1", "ce_type": event_type}
    with pytest.raises(MalformedEvent) as refused:
        decode(b"{}", tuple(headers.items()))
    assert isinstance(refused.value, UnknownVersion) is known
