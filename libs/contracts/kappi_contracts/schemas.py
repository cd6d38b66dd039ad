"""JSON Schemas of the events' data, generated from the models, and the folder of all generated documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from kappi_contracts.events.base import Event

Document = dict[str, Any]

DOCUMENTS = Path(__file__).resolve().parent / "documents"
"""Folder of `schemas/`, `examples/` and `asyncapi.json`, which the wheel ships."""


def rendered(document: Document) -> str:
    """Returns a document as the text of a file."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def example(event: type[Event]) -> Document:
    """Returns the golden example of one event version's data."""
    found: Document = json.loads((DOCUMENTS / "examples" / f"{event.document_name()}.json").read_text())
    return found


def json_schema(event: type[Event]) -> Document:
    """Returns the JSON Schema 2020-12 of one event version's data."""
    (reference,), components = msgspec.json.schema_components([event], ref_template="#/$defs/{name}")
    name = reference["$ref"].rsplit("/", 1)[-1]
    schema = components.pop(name)
    document: Document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:kappi:event:{event.topic_name()}:v{event.version}",
        **schema,
    }
    if event.deprecated:
        document["deprecated"] = True
    if components:
        document["$defs"] = components
    return document
