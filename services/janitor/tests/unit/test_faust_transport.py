"""What Faust's consumer is told about the broker."""

from __future__ import annotations

import ssl
from typing import Any

from kappi_chassis.bus import KafkaConnection
from kappi_chassis.settings import PlatformSettings
from kappi_janitor.faust_transport import SHORTEST_FETCH_WAIT_MS, consumer_options


def told(platform: PlatformSettings) -> dict[str, Any]:
    return consumer_options(KafkaConnection.from_settings(platform), group="t.janitor")


def test_plain() -> None:
    platform = PlatformSettings(kafka_bootstrap="a:1,b:2", kafka_fetch_max_wait_ms=250)
    options = told(platform)
    assert options["bootstrap_servers"] == "a:1,b:2"
    assert options["security_protocol"] == "PLAINTEXT"
    assert options["group_id"] == "t.janitor"
    assert options["fetch_max_wait_ms"] == 250
    assert options["enable_auto_commit"] is False
    assert options["auto_offset_reset"] == "earliest"


def test_an_idle_janitor_does_not_ask_a_broker_that_holds_its_answers_all_the_time() -> None:
    platform = PlatformSettings(kafka_bootstrap="a:1", kafka_fetch_max_wait_ms=5)
    assert told(platform)["fetch_max_wait_ms"] == SHORTEST_FETCH_WAIT_MS


def test_sasl_over_tls() -> None:
    platform = PlatformSettings(
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-256",
        kafka_sasl_username="janitor",
        kafka_sasl_password="secret",  # type: ignore[arg-type]  # parsed
    )
    options = told(platform)
    assert options["security_protocol"] == "SASL_SSL"
    assert (options["sasl_mechanism"], options["sasl_plain_username"], options["sasl_plain_password"]) == (
        "SCRAM-SHA-256",
        "janitor",
        "secret",
    )
    assert isinstance(options["ssl_context"], ssl.SSLContext)
    assert options["ssl_context"].verify_mode == ssl.CERT_REQUIRED
