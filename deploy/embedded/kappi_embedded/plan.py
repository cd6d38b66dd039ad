"""The parts of the stack, and which of them the environment replaces by other servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kappi_chassis.settings import is_loopback
from kappi_contracts import services
from kappi_contracts.services import Service
from kappi_gateway.http.public_url import checked_public_url

DEFAULT_PORT = 8000
GATEWAY = "gateway"
DEFAULT_HOST = "127.0.0.1"
ANY_ADDRESS = {"0.0.0.0", "::", ""}  # noqa: S104 - compared with, not bound to


class BadSetting(ValueError):
    """A setting cannot be used; the message names it and the accepted values."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service process."""

    name: str
    module: str
    package: str
    has_database: bool = False
    stores_objects: bool = False

    @property
    def prefix(self) -> str:
        return f"KAPPI_{self.name.upper()}_"

    @property
    def database_url_name(self) -> str:
        return f"{self.prefix}DATABASE_URL"


def _spec(service: Service) -> ServiceSpec:
    return ServiceSpec(
        service.name,
        module=f"{service.package}.main",
        package=service.package,
        has_database=service.has_database,
        stores_objects=service.stores_objects,
    )


# The gateway comes last: it calls the others.
SERVICES: tuple[ServiceSpec, ...] = (
    ServiceSpec("store", module="kappi_embedded.store", package="kappi_embedded", stores_objects=True),
    *(_spec(service) for service in services.SERVICES if service.name != GATEWAY),
    *(_spec(service) for service in services.SERVICES if service.name == GATEWAY),
)
BY_NAME: Mapping[str, ServiceSpec] = {service.name: service for service in SERVICES}
WITH_DATABASE: tuple[ServiceSpec, ...] = tuple(service for service in SERVICES if service.has_database)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan, read once from the environment. data_dir is absolute. database_urls: only those that were
    given. store_reserve_bytes: None for the default.
    """

    data_dir: Path
    host: str
    port: int
    public_url: str
    kafka_bootstrap: str | None
    database_urls: Mapping[str, str]
    uses_s3: bool
    durable: bool
    store_reserve_bytes: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach the stack."""
        return self.host in ANY_ADDRESS or not is_loopback(self.host)

    @property
    def has_no_other_name(self) -> bool:
        """Whether the public URL is only this machine's own name for the gateway's port.

        Clients then reach the gateway directly, under any address of the machine.
        """
        parts = urlsplit(self.public_url)
        plain = parts.scheme == "http" and parts.port == self.port and not parts.path
        return plain and is_loopback(parts.hostname or "")

    @property
    def services(self) -> tuple[ServiceSpec, ...]:
        """The services to run. The store process serves the local folder; an S3 store needs none."""
        return tuple(service for service in SERVICES if service.name != "store" or not self.uses_s3)

    @property
    def needs_postgres(self) -> bool:
        return any(service.name not in self.database_urls for service in WITH_DATABASE)

    @property
    def needs_broker(self) -> bool:
        return self.kafka_bootstrap is None


def data_dir_from(environ: Mapping[str, str]) -> Path:
    """Returns the folder that holds all state, absolute."""
    return Path(environ.get("KAPPI_DATA_DIR") or "data").expanduser().absolute()


def read_plan(environ: Mapping[str, str]) -> Plan:
    """Returns the plan. Raises BadSetting."""
    host = environ.get("KAPPI_HOST") or DEFAULT_HOST
    port = _port(environ.get("KAPPI_PORT") or str(DEFAULT_PORT))
    reachable = "localhost" if host in ANY_ADDRESS | {"127.0.0.1", "::1"} else host
    public_url = (environ.get("KAPPI_PUBLIC_URL") or f"http://{reachable}:{port}").rstrip("/")
    try:
        public_url = checked_public_url(public_url)
    except ValueError as refused:
        raise BadSetting(f"KAPPI_PUBLIC_URL: {refused}") from refused
    return Plan(
        data_dir=data_dir_from(environ),
        host=host,
        port=port,
        public_url=public_url,
        kafka_bootstrap=environ.get("KAPPI_KAFKA_BOOTSTRAP") or None,
        database_urls={
            service.name: url for service in WITH_DATABASE if (url := environ.get(service.database_url_name))
        },
        uses_s3=bool(environ.get("KAPPI_S3_ENDPOINT") or environ.get("KAPPI_S3_BUCKET")),
        durable=environ.get("KAPPI_EMBEDDED_DURABLE", "1") != "0",
        store_reserve_bytes=_bytes(environ, "KAPPI_LOCAL_STORE_RESERVE_BYTES"),
    )


def _bytes(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise BadSetting(f"{name} is {text!r}: give a number of bytes")
    return int(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise BadSetting(f"KAPPI_PORT is {text!r}: give a port number from 1 to 65535")
    return int(text)
