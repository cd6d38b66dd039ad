"""The services of Kappi. Packages, settings, databases and Kafka users are named after them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. stores_objects: it reads the settings of the object store."""

    name: str
    has_database: bool = True
    stores_objects: bool = False

    @property
    def package(self) -> str:
        return f"kappi_{self.name}"


SERVICES: Final = (
    Service(name="gateway", has_database=False),
    Service(name="identity"),
    Service(name="galleries"),
    Service(name="media", stores_objects=True),
    Service(name="janitor", stores_objects=True),
)
NAMES: Final = tuple(service.name for service in SERVICES)
SERVING: Final = tuple(name for name in NAMES if name != "janitor")
"""The services with an HTTP interface of their own."""
DATABASES: Final = tuple(service.name for service in SERVICES if service.has_database)
