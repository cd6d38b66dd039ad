"""CloudEvents 1.0 over Kafka, binary mode: attributes as `ce_*` headers, the event's JSON as the value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from kappi_contracts.events.base import TYPE_PREFIX, Event
from kappi_contracts.topics import BY_CE_TYPE, BY_NAME

E = TypeVar("E", bound=Event, covariant=True)

Headers = tuple[tuple[str, bytes], ...]

_encoder = msgspec.json.Encoder()
_decoders: dict[type[Event], msgspec.json.Decoder[Event]] = {}
_REQUIRED = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_sequence")


_TYPE = re.compile(rf"{re.escape(TYPE_PREFIX)}\.(?P<topic>\w{{1,100}})\.v[1-9]\d{{0,5}}", re.ASCII)
_SEQUENCE_DIGITS = 20
"""Digits of `ce_sequence`, which is zero-padded, so that it has its order as text, too (CloudEvents extension
`sequence`). The largest sequence has 19.
"""


class MalformedEvent(Exception):
    """A record that is not a known event, or whose data does not fit its model. It is never retried."""


class UnknownVersion(MalformedEvent):
    """A version of a known event that this program does not know. topic: of the event.

    While a new version is introduced, the producer also publishes the old one, so that a consumer may skip
    this one (ADR-0061).
    """

    def __init__(self, event_type: str, *, topic: str) -> None:
        super().__init__(f"unknown version of {topic}: {event_type!r}")
        self.topic = topic


@dataclass(frozen=True, slots=True)
class Envelope(Generic[E]):
    """An event with its CloudEvents attributes.

    sequence: position in its aggregate's history, starting at 1; consumers apply only events newer than the
    last. traceparent: W3C Trace Context of the request or consumer that caused it.
    """

    id: UUID
    source: str
    time: datetime
    sequence: int
    data: E
    traceparent: str | None = None

    @property
    def type(self) -> str:
        return type(self.data).ce_type()

    @property
    def key(self) -> str:
        return self.data.key()

    def value(self) -> bytes:
        """Returns the Kafka value."""
        return encode_data(self.data)

    def headers(self) -> Headers:
        """Returns the Kafka headers."""
        return encode_headers(
            event_id=self.id,
            event_type=self.type,
            source=self.source,
            key=self.key,
            time=self.time,
            sequence=self.sequence,
            traceparent=self.traceparent,
        )


def encode_data(event: Event) -> bytes:
    """Returns the Kafka value of an event: its data as JSON, UTF-8."""
    return _encoder.encode(event)


def encode_headers(
    *,
    event_id: UUID,
    event_type: str,
    source: str,
    key: str,
    time: datetime,
    sequence: int,
    traceparent: str | None,
) -> Headers:
    """Returns the Kafka headers in binary content mode (CloudEvents Kafka protocol binding 1.0, 3.2)."""
    headers = (
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event_id).encode()),
        ("ce_type", event_type.encode()),
        ("ce_source", source.encode()),
        ("ce_subject", key.encode()),
        ("ce_time", _rfc3339(time).encode()),
        ("ce_sequence", f"{sequence:0{_SEQUENCE_DIGITS}}".encode()),
    )
    return (*headers, ("traceparent", traceparent.encode())) if traceparent else headers


def decode(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> Envelope[Event]:
    """Decodes a record. Raises MalformedEvent if it is not a known event or does not fit its model; of these,
    UnknownVersion if another version of the event is known.
    """
    found = {name: content for name, content in headers if content is not None}  # Kafka allows null headers
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise MalformedEvent(f"headers missing: {', '.join(missing)}")
    model = _model(found["ce_type"])
    if value is None:
        raise MalformedEvent("an event has data; this record has none")
    return _build(model, value, found)


def _model(name: bytes) -> type[Event]:
    event_type = name.decode(errors="replace")
    if (model := BY_CE_TYPE.get(event_type)) is not None:
        return model
    parts = _TYPE.fullmatch(event_type)
    if parts is not None and parts["topic"] in BY_NAME:
        raise UnknownVersion(event_type, topic=parts["topic"])
    raise MalformedEvent(f"unknown event type {name!r}")


def _build(model: type[Event], value: bytes, headers: Mapping[str, bytes]) -> Envelope[Event]:
    decoder = _decoders.get(model)
    if decoder is None:
        decoder = _decoders.setdefault(model, msgspec.json.Decoder(model))
    try:
        return Envelope(
            id=UUID(headers["ce_id"].decode()),
            source=headers["ce_source"].decode(),
            time=_instant(headers["ce_time"].decode()),
            sequence=int(headers["ce_sequence"]),
            data=decoder.decode(value),
            traceparent=headers["traceparent"].decode() if "traceparent" in headers else None,
        )
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise MalformedEvent(f"{model.ce_type()}: {error}") from error


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("ce_time has no offset")
    return moment


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
