"""The AsyncAPI document is valid, and its examples are what it describes."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from kappi_contracts.asyncapi import asyncapi
from kappi_contracts.schemas import example, json_schema
from kappi_contracts.topics import BY_CE_TYPE, DLQ_SUFFIX, TOPICS

from tests.clients.toolchains import npm_packages


def test_the_document_is_valid_by_the_schema_of_asyncapi() -> None:
    document = asyncapi()
    schema = npm_packages() / "@asyncapi" / "specs" / "schemas" / f"{document['asyncapi']}.json"
    validator = jsonschema_rs.Draft7Validator(json.loads(schema.read_text()))
    faults = [
        f"{'/'.join(map(str, fault.instance_path))}: {fault.message}"
        for fault in validator.iter_errors(document)
    ]
    assert faults == []
    document["channels"]["MediaReady"]["adress"] = document["channels"]["MediaReady"].pop("address")
    assert not validator.is_valid(document), "the schema accepts what it does not know"


@pytest.mark.parametrize("event", BY_CE_TYPE.values(), ids=lambda event: event.ce_type())
def test_each_example_fits_its_schema(event: type) -> None:
    jsonschema_rs.Draft202012Validator(json_schema(event), validate_formats=True).validate(example(event))


def test_the_document_has_what_a_reader_needs_to_connect() -> None:
    document = asyncapi()
    assert set(document["servers"]) == {"kubernetes", "compose", "embedded"}
    assert document["servers"]["kubernetes"]["security"]
    for topic in TOPICS:
        assert {topic.name, topic.name + DLQ_SUFFIX} <= set(document["channels"])
    for name, message in document["components"]["messages"].items():
        if name != "DeadLetter":
            (found,) = message["examples"]
            assert set(message["headers"]["required"]) <= set(found["headers"])
