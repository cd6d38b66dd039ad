"""The AsyncAPI document of all events, generated from the registry."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Final

from kappi_contracts.events.base import Event
from kappi_contracts.schemas import Document, example, json_schema
from kappi_contracts.topics import DLQ_RETENTION, DLQ_SUFFIX, TOPICS, Topic

_BINDING: Final = "0.5.0"
_HEADERS: Final = {
    "content-type": "Media type of the value, `application/json`",
    "ce_specversion": "`1.0`",
    "ce_id": "UUID of this occurrence; the same on redelivery and replay",
    "ce_type": "Event type and version",
    "ce_source": "The service that published it",
    "ce_subject": "The aggregate's id, equal to the Kafka key",
    "ce_time": "When it happened, RFC 3339 UTC",
    "ce_sequence": "Position in the aggregate's history, 20 digits; apply only what is newer",
    "traceparent": "W3C Trace Context",
    "kappi_mac": "MAC by which Kappi's services recognise events of their deployment",
}
_OPTIONAL: Final = ("traceparent", "kappi_mac")
_DLQ_HEADERS: Final = {
    "dlq_topic": "Topic of the record, without the prefix",
    "dlq_partition": "Partition of the record",
    "dlq_offset": "Offset of the record",
    "dlq_group": "Consumer group that could not handle it",
    "dlq_error_type": "Class of the error",
    "dlq_error": "Text of the error",
    "dlq_failed_at": "When it failed, RFC 3339 UTC",
}
_EXAMPLE_ID: Final = "01936d2e-7c00-7a11-9b5e-2f6c1d0a4b99"


def asyncapi() -> Document:
    """Returns the AsyncAPI 3.0 document."""
    messages = {version.ce_type(): _message(version) for topic in TOPICS for version in topic.versions}
    channels: Document = {}
    operations: Document = {}
    for topic in TOPICS:
        channels[topic.name] = _channel(topic)
        channels[topic.name + DLQ_SUFFIX] = _dlq_channel(topic)
        operations[f"{topic.owner}.publish.{topic.name}"] = _operation("send", topic)
        for consumer in topic.consumers:
            operations[f"{consumer}.consume.{topic.name}"] = _operation("receive", topic)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kappi events",
            "version": installed_version("kappi-contracts"),
            "description": "CloudEvents 1.0 in Kafka's binary content mode. At-least-once delivery: "
            "deduplicate by `ce_id`, order by `ce_sequence`. "
            f"A record a consumer cannot process goes to `<topic>{DLQ_SUFFIX}`. docs/events.md is the guide.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {**messages, "DeadLetter": _dead_letter()},
            "securitySchemes": {
                "scram": {
                    "type": "scramSha512",
                    "description": "A Kafka user with SCRAM-SHA-512 over TLS, `kappi-reader` for others.",
                }
            },
        },
    }


def _servers() -> Document:
    return {
        "kubernetes": {
            "host": "kappi-kafka-bootstrap:9093",
            "protocol": "kafka-secure",
            "description": "Strimzi's cluster of the production overlay, in its namespace.",
            "security": [{"$ref": "#/components/securitySchemes/scram"}],
        },
        "compose": {
            "host": "kafka:9092",
            "protocol": "kafka",
            "description": "The broker of docker-compose.yml, in its network.",
        },
        "embedded": {
            "host": "127.0.0.1:{port}",
            "protocol": "kafka",
            "description": "The in-process broker of `kappi up`; `kappi doctor` shows its address.",
            "variables": {"port": {"description": "A free port, chosen at each start"}},
        },
    }


def _channel(topic: Topic) -> Document:
    return {
        "address": topic.name,
        "description": topic.description,
        "messages": {
            version.ce_type(): {"$ref": f"#/components/messages/{version.ce_type()}"}
            for version in topic.versions
        },
        "bindings": _kafka(topic.partitions, retention_s=topic.retention.total_seconds()),
        "x-owner": topic.owner,
        "x-consumers": list(topic.consumers),
    }


def _dlq_channel(topic: Topic) -> Document:
    return {
        "address": topic.name + DLQ_SUFFIX,
        "description": f"Records of {topic.name} that a consumer of Kappi could not handle.",
        "messages": {"DeadLetter": {"$ref": "#/components/messages/DeadLetter"}},
        "bindings": _kafka(1, retention_s=DLQ_RETENTION.total_seconds()),
    }


def _kafka(partitions: int, *, retention_s: float) -> Document:
    return {
        "kafka": {
            "partitions": partitions,
            "topicConfiguration": {"retention.ms": int(retention_s * 1000)},
            "bindingVersion": _BINDING,
        }
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
    data = example(event)
    key = str(data[event.aggregate])
    return {
        "name": event.ce_type(),
        "title": event.topic_name(),
        "summary": (event.__doc__ or "").strip(),
        "contentType": "application/json",
        "headers": _described(_HEADERS, optional=_OPTIONAL),
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": json_schema(event),
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"`{event.aggregate}`"},
                "bindingVersion": _BINDING,
            }
        },
        "examples": [{"name": event.topic_name(), "headers": _example_headers(event, key), "payload": data}],
    }


def _example_headers(event: type[Event], key: str) -> Document:
    return {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": _EXAMPLE_ID,
        "ce_type": event.ce_type(),
        "ce_source": "/" + next(topic.owner for topic in TOPICS if event in topic.versions),
        "ce_subject": key,
        "ce_time": "2026-05-31T12:00:00Z",
        "ce_sequence": f"{7:020}",
    }


def _dead_letter() -> Document:
    return {
        "name": "DeadLetter",
        "title": "Dead letter",
        "summary": "The record as it was, key, value and headers, with the headers that say why it is here.",
        "contentType": "application/json",
        "headers": _described(_DLQ_HEADERS),
        "payload": {},
    }


def _described(texts: dict[str, str], *, optional: tuple[str, ...] = ()) -> Document:
    return {
        "type": "object",
        "required": [name for name in texts if name not in optional],
        "properties": {name: {"type": "string", "description": text} for name, text in texts.items()},
    }
