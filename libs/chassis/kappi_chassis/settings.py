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
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    kafka_create_topics: bool = True
    kafka_replication_factor: int = Field(default=-1, description="-1: the broker's default")
    kafka_fetch_max_wait_ms: int = 500
    kafka_session_timeout_ms: int = Field(
        default=10_000, description="After how long a consumer that died gives up its partitions"
    )
    topic_prefix: str = ""
    gap_signal_dir: Path | None = Field(
        default=None,
        description="Where a consumer leaves a note when the broker lost records before it read them",
    )
    internal_secret: Secrets = Field(
        default=(),
        description="What services show one another with each call: a call without it is refused, so that "
        "only the gateway is a way in. A long random text; two while it is replaced, the first is shown. "
        "Required where a service listens on more than the loopback interface",
    )
    event_secret: Secrets = Field(
        default=(),
        description="Makes and checks the MAC of every event: consumers act on no record without a good one. "
        "A long random text; two while it is replaced, the first makes MACs. Required where the broker "
        "is another machine and does not ask who writes (`SASL_…`)",
    )


class ServiceSettings(BaseSettings):
    """Base of one service's settings; subclasses set their `env_prefix`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int
    ops_port: int
    ops_host: str | None = Field(
        default=None, description="Where health and metrics listen, if not on `host`"
    )
    roles: Annotated[frozenset[Role], NoDecode, BeforeValidator(words), Field(min_length=1)] = ALL_ROLES
    max_in_flight: int = Field(default=256, description="Requests at once; more are answered 503 early")
    max_connections: int = Field(
        default=10_000,
        gt=0,
        description="Connections at once, at most half of the descriptors the process may have. Beyond it "
        "the one that has waited longest for a request is closed: clients that connect and say nothing "
        "keep no place",
    )
    drain_delay: timedelta = Field(
        default=timedelta(0),
        description="How long to serve after readiness went false, so that routes forget us",
    )
    drain_timeout: timedelta = timedelta(seconds=20)
    keep_alive: timedelta = Field(
        default=timedelta(seconds=75),
        description="How long an idle connection is kept: longer than a load balancer in front keeps it, or "
        "it sends a request into one that is being closed",
    )


class DatabaseSettings(ServiceSettings):
    """Settings of a service with its own database."""

    database_url: SecretStr
    database_pool_size: int = 10
    outbox_retention: timedelta = timedelta(days=7)
    inbox_retention: timedelta = timedelta(days=14)
    idempotency_secret: SecretStr = Field(
        description="Any long random text, the same in every replica; hides stored answers"
    )
    idempotency_retention: timedelta = timedelta(days=1)


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
