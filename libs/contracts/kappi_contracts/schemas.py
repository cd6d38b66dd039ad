"""Documents generated from the models: JSON Schemas and AsyncAPI 3."""

from __future__ import annotations

from typing import Any

import msgspec

from kappi_contracts.events.base import Event
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS, Topic

Document = dict[str, Any]

_CE_HEADERS = {
    "content-type": "Media type of the value, `application/json`",
    "ce_specversion": "`1.0`",
    "ce_id": "UUIDv7 of this occurrence; the same on redelivery and replay",
    "ce_type": "Event type and version",
    "ce_source": "The service that published it",
    "ce_subject": "The aggregate's id, equal to the Kafka key",
    "ce_time": "When it happened, RFC 3339 UTC",
    "ce_sequence": "Position in the aggregate's history; apply only what is newer",
    "traceparent": "W3C Trace Context",
}


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
    if components:
        document["$defs"] = components
    return document


def asyncapi() -> Document:
    """Returns the AsyncAPI 3.0 document of all events, from the registry."""
    messages = {version.ce_type(): _message(version) for topic in TOPICS for version in topic.versions}
    operations: Document = {}
    for topic in TOPICS:
        operations[f"{topic.owner}.publish.{topic.name}"] = _operation("send", topic)
        for consumer in topic.consumers:
            operations[f"{consumer}.consume.{topic.name}"] = _operation("receive", topic)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kappi events",
            "version": "1.0.0",
            "description": "CloudEvents 1.0 in Kafka's binary content mode. At-least-once delivery: "
            "deduplicate by `ce_id`, order by `ce_sequence`. "
            f"A record a consumer cannot process goes to `<topic>{DLQ_SUFFIX}`.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": operations,
        "components": {"messages": messages},
    }


def _channel(topic: Topic) -> Document:
    return {
        "address": topic.name,
        "description": topic.description,
        "messages": {
            version.ce_type(): {"$ref": f"#/components/messages/{version.ce_type()}"}
            for version in topic.versions
        },
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {"retention.ms": int(topic.retention.total_seconds() * 1000)},
            }
        },
        "x-owner": topic.owner,
        "x-consumers": list(topic.consumers),
    }


def _operation(action: str, topic: Topic) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "messages": [
            {"$ref": f"#/channels/{topic.name}/messages/{version.ce_type()}"} for version in topic.versions
        ],
    }


def _message(event: type[Event]) -> Document:
    return {
        "name": event.ce_type(),
        "title": event.topic_name(),
        "summary": (event.__doc__ or "").strip(),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": [name for name in _CE_HEADERS if name != "traceparent"],
            "properties": {
                name: {"type": "string", "description": text} for name, text in _CE_HEADERS.items()
            },
        },
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": json_schema(event),
        },
        "bindings": {"kafka": {"key": {"type": "string", "description": f"`{event.aggregate}`"}}},
    }
