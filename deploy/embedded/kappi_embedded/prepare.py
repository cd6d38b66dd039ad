"""A short-lived process at start-up that migrates every database to its newest schema."""

from __future__ import annotations

import asyncio
import os

from kappi_chassis.db.migrate import bring_up_to_date
from kappi_chassis.observability.logs import configure_logging, get_logger

from kappi_embedded.plan import WITH_DATABASE, ServiceSpec

_log = get_logger(__name__)


async def prepare() -> None:
    # One after another, because Alembic keeps the current migration in module globals.
    for service in WITH_DATABASE:
        await _prepare_one(service)


async def _prepare_one(service: ServiceSpec) -> None:
    changed = await bring_up_to_date(service.package, os.environ[service.database_url_name])
    _log.info("prepare.migrated" if changed else "prepare.up_to_date", database=service.name)


def main() -> None:
    configure_logging(service="prepare", level="INFO", renderer="json")
    asyncio.run(prepare())


if __name__ == "__main__":
    main()
