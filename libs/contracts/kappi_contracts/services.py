"""The services of Kappi. Packages, settings, databases and Kafka users are named after them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. stores_objects: it reads the settings of the object store.

    makes_calls: it calls other services or is called by them, so that it needs the deployment's secret.
    """

    name: str
    has_database: bool = True
    stores_objects: bool = False
    makes_calls: bool = True

    @property
    def package(self) -> str:
        return f"kappi_{self.name}"


SERVICES: Final = (
    Service(name="gateway", has_database=False),
    Service(name="identity"),
    Service(name="galleries"),
    Service(name="media", stores_objects=True),
    Service(name="janitor", stores_objects=True, makes_calls=False),
)
NAMES: Final = tuple(service.name for service in SERVICES)
CALLING: Final = tuple(service.name for service in SERVICES if service.makes_calls)
DATABASES: Final = tuple(service.name for service in SERVICES if service.has_database)
