"""A MAC covers all parts that a consumer acts on, and only holders of the secret can make it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from kappi_chassis.bus.connection import KafkaConnection, require_authentic_events
from kappi_chassis.bus.mac import MAC_HEADER, EventMac
from kappi_chassis.bus.processor import Record
from kappi_chassis.settings import PlatformSettings, SecretMissing
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted
from structlog.testing import capture_logs

OLD, NEW = "the-old-secret-of-events", "the-new-secret-of-events"
EVENT = Envelope(
    id=UUID(int=1),
    source="/galleries",
    time=datetime(2026, 5, 1, tzinfo=UTC),
    sequence=3,
    data=GalleryDeleted(
        gallery_id=UUID(int=2), owner_id=None, reason="requested", deleted_at=datetime(2026, 5, 1, tzinfo=UTC)
    ),
    traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
)


def signed(*secrets: str) -> Record:
    topic, key, value = "GalleryDeleted", EVENT.key.encode(), EVENT.value()
    headers = EventMac(secrets).signed(topic=topic, key=key, value=value, headers=EVENT.headers())
    return Record(topic=topic, partition=0, offset=0, key=key, value=value, headers=headers)


def accepted(record: Record, *secrets: str) -> bool:
    return EventMac(secrets).accepts(
        topic=record.topic, key=record.key, value=record.value, headers=record.headers
    )


def without(record: Record, name: str) -> Record:
    return replace(record, headers=tuple(header for header in record.headers if header[0] != name))


def test_a_record_is_accepted_at_any_offset_and_with_added_headers() -> None:
    record = signed(NEW)
    assert accepted(record, NEW)
    assert accepted(replace(record, partition=7, offset=9), NEW)
    assert accepted(replace(record, headers=(*record.headers, ("dlq_error", b"x"), ("other", b"y"))), NEW)


@pytest.mark.parametrize(
    "name",
    ["ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "ce_sequence", "traceparent", MAC_HEADER],
)
def test_no_attribute_can_be_changed_removed_or_repeated(name: str) -> None:
    record = signed(NEW)
    value = dict(record.headers)[name]
    changed = bytes([value[0] ^ 1]) + value[1:]
    rest = without(record, name).headers
    assert not accepted(replace(record, headers=rest), NEW)
    assert not accepted(replace(record, headers=(*rest, (name, changed))), NEW)
    assert not accepted(replace(record, headers=(*rest, (name, b""))), NEW)
    assert not accepted(replace(record, headers=(*record.headers, (name, changed))), NEW), (
        "the last value of a header counts"
    )
    assert accepted(replace(record, headers=((name, changed), *record.headers)), NEW)


def test_neither_topic_nor_key_nor_data_can_be_changed() -> None:
    record = signed(NEW)
    assert record.key is not None
    assert record.value is not None
    for forged in (
        replace(record, topic="AccountDeleted"),
        replace(record, key=record.key + b"0"),
        replace(record, key=None),
        replace(record, value=record.value + b" "),
        replace(record, value=None),
        replace(record, value=b""),
        # The end of one part cannot become the start of the next.
        replace(record, topic=record.topic + record.key[:1].decode(), key=record.key[1:]),
        replace(record, key=record.key + record.value[:1], value=record.value[1:]),
    ):
        assert not accepted(forged, NEW)


def test_a_mac_without_the_secret_is_refused() -> None:
    record = signed(NEW)
    assert not accepted(record, OLD)
    assert not accepted(signed(), NEW), "unsigned"
    plain = hashlib.sha256(record.value or b"").hexdigest().encode()
    assert not accepted(replace(record, headers=(*record.headers, (MAC_HEADER, plain))), NEW)
    guess = hmac.digest(b"", record.value or b"", "sha256").hex().encode()
    assert not accepted(replace(record, headers=(*record.headers, (MAC_HEADER, guess))), NEW)


def test_records_of_both_secrets_are_accepted_during_a_rotation() -> None:
    for made_with in ((OLD,), (OLD, NEW), (NEW, OLD), (NEW,)):
        assert accepted(signed(*made_with), NEW, OLD)
        assert accepted(signed(*made_with), OLD, NEW)
    assert signed(NEW, OLD) == signed(NEW), "the first secret makes the MAC"
    assert not accepted(signed(OLD), NEW)


def test_without_a_secret_records_have_no_mac() -> None:
    assert signed().headers == EVENT.headers()
    assert accepted(signed(), *())
    assert accepted(signed(OLD), *())


def _settings(**given: str) -> PlatformSettings:
    return PlatformSettings.model_validate(given)


def test_the_connection_has_the_secret_and_its_repr_does_not_show_it() -> None:
    connection = KafkaConnection.from_settings(_settings(event_secret=f"{NEW},{OLD}"))
    record = signed(OLD)
    assert connection.mac.accepts(
        topic=record.topic, key=record.key, value=record.value, headers=record.headers
    )
    assert NEW not in repr(connection)
    assert NEW not in repr(_settings(event_secret=NEW))


@pytest.mark.parametrize(
    "given",
    [
        {"kafka_bootstrap": "kafka:9092"},
        {"kafka_bootstrap": "127.0.0.1:9092,kafka:9092"},
        {"kafka_bootstrap": "10.0.0.7:9092", "kafka_security_protocol": "SSL"},
    ],
)
def test_a_remote_broker_without_authentication_requires_a_secret(given: dict[str, str]) -> None:
    with pytest.raises(SecretMissing, match="KAPPI_EVENT_SECRET"):
        require_authentic_events(_settings(**given))
    require_authentic_events(_settings(**given, event_secret=NEW))
    require_authentic_events(_settings(**given | {"kafka_security_protocol": "SASL_SSL"}))


def test_a_local_broker_needs_no_secret_and_a_warning_is_logged() -> None:
    with capture_logs() as logs:
        require_authentic_events(_settings(kafka_bootstrap="127.0.0.1:9092,[::1]:9093,localhost:9094"))
    assert [(line["event"], line["log_level"]) for line in logs] == [("events.open", "warning")]
