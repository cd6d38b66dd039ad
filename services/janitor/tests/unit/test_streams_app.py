"""How the Faust app is told to reach the broker."""

from __future__ import annotations

import ssl
from typing import Any

import faust
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.settings import PlatformSettings
from kappi_janitor.streams.app import build_app


def app_on(**settings: Any) -> faust.App:
    connection = KafkaConnection.from_settings(PlatformSettings(**settings))
    return build_app(connection, group="t.janitor-tick", monitor=faust.Monitor())


def security_of(app: faust.App) -> dict[str, Any]:
    """The options that Faust gives to aiokafka."""
    return dict(credentials_to_aiokafka_auth(app.conf.broker_credentials, app.conf.ssl_context))


def test_plain() -> None:
    app = app_on(kafka_bootstrap="a:1,b:2", kafka_session_timeout_ms=6_000)
    assert [str(url) for url in app.conf.broker] == ["kafka://a:1", "kafka://b:2"]
    assert app.conf.id == "t.janitor-tick"
    assert app.conf.broker_session_timeout == 6
    assert app.conf.consumer_auto_offset_reset == "earliest"
    assert security_of(app) == {"security_protocol": "PLAINTEXT"}


def test_tls() -> None:
    security = security_of(app_on(kafka_security_protocol="SSL"))
    assert security["security_protocol"] == "SSL"
    assert security["ssl_context"].verify_mode == ssl.CERT_REQUIRED


def test_sasl_without_tls() -> None:
    assert security_of(sasl("SASL_PLAINTEXT")) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "janitor",
        "sasl_plain_password": "secret",
        "ssl_context": None,
    }


def test_sasl_over_tls() -> None:
    security = security_of(sasl("SASL_SSL"))
    assert (security["security_protocol"], security["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-256")
    assert security["ssl_context"].verify_mode == ssl.CERT_REQUIRED


def test_the_password_is_not_in_what_faust_may_log() -> None:
    assert "secret" not in repr(sasl("SASL_SSL").conf.broker_credentials)


def sasl(protocol: str) -> faust.App:
    return app_on(
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism="SCRAM-SHA-256",
        kafka_sasl_username="janitor",
        kafka_sasl_password="secret",
    )
