"""Settings from the environment. `KAPPI_…` is shared, `KAPPI_<SERVICE>_…` belongs to one service."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Role = Literal["api", "worker", "relay"]
ALL_ROLES: frozenset[Role] = frozenset({"api", "worker", "relay"})


def words(value: Any) -> Any:
    """Splits a comma-separated list of the environment; an empty one has no items. Use it with `NoDecode`."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",")] if value.strip() else []


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address. host: a name or an IP address, without the port."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class SecretMissing(ValueError):
    """A secret of the deployment is not set although other machines can reach what it protects."""


_Secret = Annotated[SecretStr, Field(min_length=16)]
Secrets = Annotated[tuple[_Secret, ...], NoDecode, BeforeValidator(words), Field(max_length=2)]
"""One or two secrets: the first is used, both are accepted, so that one can be replaced without a stop."""


class PlatformSettings(BaseSettings):
    """Settings shared by all services: broker, logs, secrets between services."""

    # A refused value may be a secret and would be printed.
    model_config = SettingsConfigDict(
        env_prefix="KAPPI_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    access_log: bool = Field(
        default=False,
        description="Log a line for every answer. Answers with an error are logged in any case: at most 60 a "
        "minute of one client and 1,200 in all, and the number of the others",
    )
    otlp_endpoint: Annotated[str | None, BeforeValidator(lambda text: text or None)] = Field(
        default=None,
        pattern="^https?://",
        description="Base URL of an OpenTelemetry collector (OTLP, protobuf over HTTP) that gets traces, for "
        "example `http://collector:4318`. Headers and certificates: the variables `OTEL_EXPORTER_OTLP_…` of "
        "OpenTelemetry. Without it, nothing is measured",
    )
    trace_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the traces that is exported. The gateway decides for a request, the services "
        "follow",
    )
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    kafka_create_topics: bool = True
    kafka_replication_factor: int = Field(
        default=-1, description="Copies of each topic. -1: the broker's default"
    )
    kafka_fetch_max_wait_ms: int = 500
    kafka_session_timeout_ms: int = Field(
        default=10_000,
        description="Time after which the partitions of a consumer that died go to another one",
    )
    topic_prefix: str = ""
    commit: str = Field(
        default="", description="Commit of the source that runs, for `kappi_build_info`. The image sets it"
    )
    gap_signal_dir: Path | None = Field(
        default=None,
        description="Folder for notes of consumers whose records the broker removed before they read them",
    )
    dead_letter_limit: int = Field(
        default=100,
        ge=0,
        description="Dead letters of a consumer group within `KAPPI_DEAD_LETTER_WINDOW`, in one process. At "
        "the next one, the group's consumer stops in this process until a restart, and no record is lost. It "
        "protects from a faulty release, which would send every event to the dead letters. 0: no limit",
    )
    dead_letter_window: timedelta = Field(
        default=timedelta(minutes=10), gt=timedelta(0), description="See `KAPPI_DEAD_LETTER_LIMIT`"
    )
    internal_secret: Secrets = Field(
        default=(),
        description="Secret that services send with each call to another service. A call without it is "
        "refused, so that the gateway is the only way in. A long random text, or two while it is replaced: "
        "the first is sent, both are accepted. Required if a service listens on more than the loopback "
        "interface",
    )
    event_secret: Secrets = Field(
        default=(),
        description="Secret of the MAC of every event. Consumers ignore records without a valid MAC. A "
        "long random text, or two while it is replaced: the first makes MACs, both are accepted. Required "
        "if the broker is on another machine and does not authenticate its clients (`SASL_…`)",
    )


class ServiceSettings(BaseSettings):
    """Base of one service's settings; subclasses set their `env_prefix`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int
    ops_port: int
    ops_host: str | None = Field(default=None, description="Address for health and metrics, if not `host`")
    roles: Annotated[frozenset[Role], NoDecode, BeforeValidator(words), Field(min_length=1)] = ALL_ROLES
    max_in_flight: int = Field(default=256, description="Concurrent requests. Further ones are answered 503")
    max_connections: int = Field(
        default=10_000,
        gt=0,
        description="Concurrent connections, at most half of the file descriptors of the process. For a "
        "further one, the connection that has waited longest for a request is closed, so that clients that "
        "send nothing keep no place",
    )
    drain_delay: timedelta = Field(
        default=timedelta(0),
        description="Time for which requests are still accepted after readiness became false, until load "
        "balancers have noticed",
    )
    drain_timeout: timedelta = timedelta(seconds=20)
    keep_alive: timedelta = Field(
        default=timedelta(seconds=75),
        description="Time for which an idle connection is kept. It must be longer than that of a load "
        "balancer in front, which would otherwise send a request into a connection that is being closed",
    )


class DatabaseSettings(ServiceSettings):
    """Settings of a service with its own database."""

    database_url: SecretStr
    database_pool_size: int = 10
    outbox_retention: timedelta = timedelta(days=7)
    inbox_retention: timedelta = timedelta(days=14)
    idempotency_secret: SecretStr = Field(
        description="Secret that encrypts stored answers: a long random text, the same in every replica"
    )
    idempotency_retention: timedelta = timedelta(days=1)


class ReconcileSettings(DatabaseSettings):
    """Settings of a service that compares its rows with what others have."""

    reconcile_every: timedelta = Field(
        default=timedelta(days=1),
        gt=timedelta(0),
        description="Time between two comparisons of everything, which begin with a tick",
    )
    reconcile_budget: timedelta = Field(
        default=timedelta(minutes=1),
        ge=timedelta(0),
        description="Time after each tick in which a comparison works; it continues after the next tick. "
        "Protects the database and the store; PT0S: it runs on an operator's request alone",
    )


class PasswordSettings(DatabaseSettings):
    """Settings of a service that stores and checks passwords."""

    password_time_cost: int = Field(default=2, ge=1, description="argon2id passes")
    password_memory_kib: int = Field(default=19_456, ge=8, description="argon2id memory, KiB")
    password_queue: int = Field(
        default=64,
        ge=1,
        description="Most passwords that wait to be checked; further ones are answered 503 `busy`",
    )
    password_share: int = Field(
        default=8,
        ge=1,
        description="Most waiting passwords of one address or account; addresses are served in turn, so that "
        "an address that sends many delays each other one by one password",
    )
