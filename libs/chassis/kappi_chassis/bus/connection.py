"""The settings of a connection to the broker, in the terms of aiokafka."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any

from kappi_chassis.bus.mac import EventMac
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.settings import PlatformSettings, SecretMissing, is_loopback

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """A connection. prefix: put before every topic name, so that deployments can share a cluster. mac: of its
    events.
    """

    bootstrap: str
    prefix: str = ""
    security: dict[str, Any] | None = None
    fetch_max_wait_ms: int = 500
    session_timeout_ms: int = 10_000
    mac: EventMac = field(default_factory=EventMac)

    @classmethod
    def from_settings(cls, settings: PlatformSettings) -> KafkaConnection:
        security: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
        if settings.kafka_security_protocol.endswith("SSL"):
            security["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ca_file)
        if settings.kafka_security_protocol.startswith("SASL"):
            if settings.kafka_sasl_username is None or settings.kafka_sasl_password is None:
                raise ValueError("SASL needs KAPPI_KAFKA_SASL_USERNAME and KAPPI_KAFKA_SASL_PASSWORD")
            security |= {
                "sasl_mechanism": settings.kafka_sasl_mechanism,
                "sasl_plain_username": settings.kafka_sasl_username,
                "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
            }
        return cls(
            bootstrap=settings.kafka_bootstrap,
            prefix=settings.topic_prefix,
            security=security,
            fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            mac=EventMac([secret.get_secret_value() for secret in settings.event_secret]),
        )

    def client_options(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.bootstrap, **(self.security or {})}

    def topic(self, name: str) -> str:
        return self.prefix + name

    def unprefixed(self, topic: str) -> str:
        return topic.removeprefix(self.prefix)


def require_authentic_events(settings: PlatformSettings) -> None:
    """Raises SecretMissing when other programs could write events and nothing would distinguish them from
    real ones.
    """
    if settings.event_secret or settings.kafka_security_protocol.startswith("SASL"):
        return
    hosts = [address.rpartition(":")[0] for address in settings.kafka_bootstrap.split(",")]
    if not all(is_loopback(host) for host in hosts):
        raise SecretMissing("KAPPI_EVENT_SECRET: any long random text, the same for every service")
    _log.warning("events.open", reason="KAPPI_EVENT_SECRET is not set: any local process may write events")
