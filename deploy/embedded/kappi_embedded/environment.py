"""Builds the environment of each service process: defaults for one machine, overridden by the caller's
variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from kappi_chassis.embedded.ports import LOOPBACK
from kappi_contracts.accounts import JWKS_PATH
from kappi_gateway.routes import Service as Upstream

from kappi_embedded.checkout import commit
from kappi_embedded.data_dir import DataDir
from kappi_embedded.plan import SERVICES, Plan, ServiceSpec

# The embedded broker answers a fetch as soon as there is a record, so a long wait lets idle consumers sleep.
_FETCH_WAIT_MS = 5_000
# The share of a consumer that died waits this long until another consumer gets it.
_SESSION_TIMEOUT_MS = 3_000
_DRAIN_TIMEOUT = "PT4S"  # shorter than the supervisor waits
# A larger pool per service would only cost memory: PostgreSQL's processes are the largest of the stack.
_POOL_SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The addresses of the stack's parts. services: (port, ops port) by name."""

    services: Mapping[str, tuple[int, int]]
    kafka_bootstrap: str
    databases: Mapping[str, str]

    def url(self, service: str) -> str:
        return f"http://{LOOPBACK}:{self.services[service][0]}"


class Environments:
    """Builds the variables of each child, which receives only its own secrets."""

    def __init__(self, plan: Plan, data: DataDir, environ: Mapping[str, str]) -> None:
        self._plan = plan
        self._data = data
        self._environ = environ

    def of_service(self, service: ServiceSpec, addresses: Addresses) -> dict[str, str]:
        others = tuple(other.prefix for other in SERVICES if other.name != service.name)
        given = {name: value for name, value in self._environ.items() if not name.startswith(others)}
        if not service.stores_objects:
            given = {name: value for name, value in given.items() if not name.startswith("KAPPI_S3_")}
        port, ops_port = addresses.services[service.name]
        defaults = {
            **self.of_platform(addresses),
            f"{service.prefix}PORT": str(port),
            f"{service.prefix}OPS_PORT": str(ops_port),
            f"{service.prefix}OPS_HOST": LOOPBACK,
            f"{service.prefix}DRAIN_TIMEOUT": _DRAIN_TIMEOUT,
            **self._of_database(service, addresses),
            **self._of_objects(service),
            **self._of_deployment(service),
            **self._own(service, addresses),
        }
        return defaults | given

    def of_platform(self, addresses: Addresses) -> dict[str, str]:
        """Returns the variables that every process of the stack shares."""
        platform = {
            "KAPPI_KAFKA_BOOTSTRAP": addresses.kafka_bootstrap,
            "KAPPI_PUBLIC_URL": self._plan.public_url,
            "PYTHONUNBUFFERED": "1",
            "KAPPI_COMMIT": commit(),
        }
        if self._plan.needs_broker:
            platform |= {
                "KAPPI_KAFKA_CREATE_TOPICS": "false",
                "KAPPI_KAFKA_SESSION_TIMEOUT_MS": str(_SESSION_TIMEOUT_MS),
                "KAPPI_KAFKA_FETCH_MAX_WAIT_MS": str(_FETCH_WAIT_MS),
                "KAPPI_GAP_SIGNAL_DIR": str(self._data.signals),
            }
        return platform

    def of_replayer(self, addresses: Addresses) -> dict[str, str]:
        return {
            **self._environ,
            **self.of_platform(addresses),
            **self.of_databases(addresses),
            "KAPPI_DATA_DIR": str(self._data.root),
        }

    def of_databases(self, addresses: Addresses) -> dict[str, str]:
        """Returns the URL of every service's database, for the processes that prepare and replay."""
        return {f"KAPPI_{name.upper()}_DATABASE_URL": url for name, url in addresses.databases.items()}

    def _of_deployment(self, service: ServiceSpec) -> dict[str, str]:
        """Returns the secrets of internal calls, and of events for the services that use them."""
        own = {"KAPPI_INTERNAL_SECRET": self._data.secret("internal")}
        if service.name != "store":
            own["KAPPI_EVENT_SECRET"] = self.event_secret()
        return own

    def event_secret(self) -> str:
        return self._environ.get("KAPPI_EVENT_SECRET") or self._data.event_secret()

    def _of_database(self, service: ServiceSpec, addresses: Addresses) -> dict[str, str]:
        if not service.has_database:
            return {}
        return {
            service.database_url_name: addresses.databases[service.name],
            f"{service.prefix}DATABASE_POOL_SIZE": str(_POOL_SIZE),
            f"{service.prefix}IDEMPOTENCY_SECRET": self._data.secret(f"{service.name}-idempotency"),
        }

    def _of_objects(self, service: ServiceSpec) -> dict[str, str]:
        if self._plan.uses_s3 or not service.stores_objects:
            return {}
        return {
            "KAPPI_LOCAL_STORE_DIR": str(self._data.objects),
            "KAPPI_LOCAL_STORE_URL": f"{self._plan.public_url}/store/",
            "KAPPI_LOCAL_STORE_SECRET": self._data.secret("store"),
        }

    def _own(self, service: ServiceSpec, addresses: Addresses) -> dict[str, str]:
        match service.name:
            case "identity":
                return self._of_identity()
            case "galleries":
                return self._of_galleries(addresses)
            case "media":
                return {
                    "KAPPI_MEDIA_GRANT_JWKS_URL": f"{addresses.url('galleries')}/internal/jwks.json",
                    "KAPPI_MEDIA_ACCOUNT_JWKS_URL": addresses.url("identity") + JWKS_PATH,
                    "KAPPI_MEDIA_GALLERIES_URL": addresses.url("galleries"),
                }
            case "janitor":
                return self._of_janitor(addresses)
            case "gateway":
                return self._of_gateway(addresses)
            case _:
                return {}

    def _of_identity(self) -> dict[str, str]:
        own = {}
        if "KAPPI_IDENTITY_KEY_SECRET" not in self._environ:
            own["KAPPI_IDENTITY_KEY_SECRET"] = self._data.identity_key_secret()
        if "KAPPI_IDENTITY_SMTP_HOST" not in self._environ:
            own["KAPPI_IDENTITY_MAIL_DIR"] = str(self._data.mail)
        return own

    def _of_galleries(self, addresses: Addresses) -> dict[str, str]:
        own = {
            "KAPPI_GALLERIES_ACCOUNT_JWKS_URL": addresses.url("identity") + JWKS_PATH,
            "KAPPI_GALLERIES_MEDIA_URL": addresses.url("media"),
        }
        if "KAPPI_GALLERIES_GRANT_KEY" not in self._environ:
            own["KAPPI_GALLERIES_GRANT_KEY_FILE"] = str(self._data.grant_key())
        return own

    def _of_janitor(self, addresses: Addresses) -> dict[str, str]:
        return {
            "KAPPI_JANITOR_GALLERIES_URL": addresses.url("galleries"),
            "KAPPI_JANITOR_MEDIA_URL": addresses.url("media"),
        }

    def _of_gateway(self, addresses: Addresses) -> dict[str, str]:
        own = {
            "KAPPI_GATEWAY_HOST": self._plan.host,
            "KAPPI_GATEWAY_PORT": str(self._plan.port),
            "KAPPI_GATEWAY_OWN_ADDRESSES": str(self._plan.has_no_other_name).lower(),
        }
        running = {service.name for service in self._plan.services}
        for service in Upstream:
            if service.value in running and service is not Upstream.GATEWAY:
                own[f"KAPPI_GATEWAY_{service.name}_URL"] = addresses.url(service.value)
        if self._plan.uses_s3:
            own["KAPPI_GATEWAY_MEDIA_ORIGINS"] = self._s3_origin()
        else:
            # A page opened under another name still loads its pictures from this origin.
            own["KAPPI_GATEWAY_MEDIA_ORIGINS"] = _origin_of(self._plan.public_url)
        return own

    def _s3_origin(self) -> str:
        """Returns the origin from which a browser fetches pictures."""
        region = self._environ.get("KAPPI_S3_REGION") or "us-east-1"
        endpoint = (
            self._environ.get("KAPPI_S3_PUBLIC_ENDPOINT")
            or self._environ.get("KAPPI_S3_ENDPOINT")
            or f"https://s3.{region}.amazonaws.com"
        )
        parts = urlsplit(endpoint)
        host = parts.netloc
        if self._environ.get("KAPPI_S3_ADDRESSING") == "virtual":
            host = f"{self._environ.get('KAPPI_S3_BUCKET', '')}.{host}"
        return f"{parts.scheme}://{host}"


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
