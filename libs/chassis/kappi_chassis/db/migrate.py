"""`python -m kappi_chassis.db.migrate kappi_media`: a service's database at the newest schema, as a job.

`python -m kappi_chassis.db.migrate --wait kappi_media` changes nothing: it returns once the job is done, so
that a service is not started on a schema it does not know. Both read `KAPPI_MEDIA_DATABASE_URL` and nothing
else of the service's settings.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta

import asyncpg
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from kappi_chassis.db.revisions import current_revisions, lacks_migrations, newest_revisions, versions_folder
from kappi_chassis.observability.logs import configure_logging, get_logger
from kappi_chassis.settings import PlatformSettings

WAIT_AT_MOST = timedelta(minutes=10)
_POLL_S = 1.0
_OUTAGES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

_log = get_logger(__name__)


class _Target(BaseSettings):
    """The one setting needed here; its prefix is only known at run time."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr


def database_url(package: str) -> str:
    """Returns the URL in the service's own setting. Raises ValidationError if it is not set."""
    prefix = package.upper() + "_"
    return _Target(_env_prefix=prefix).database_url.get_secret_value()  # type: ignore[call-arg]  # see above


async def bring_up_to_date(package: str, url: str) -> bool:
    """Migrates the database unless it is at the newest revision; returns whether it migrated.

    Raises OSError, asyncpg.PostgresError, and what Alembic raises for a database newer than this code.
    """
    # Importing Alembic and walking its scripts costs half a second per service; this costs milliseconds.
    if await current_revisions(url) == newest_revisions(versions_folder(package)):
        return False
    from kappi_chassis.db.migrations import migrate

    await migrate(package, url)
    return True


async def until_migrated(
    package: str, url: str, *, at_most: timedelta = WAIT_AT_MOST, poll_s: float = _POLL_S
) -> None:
    """Waits until the schema is the code's or a newer one, also while the database is away.

    Raises TimeoutError.
    """
    folder = versions_folder(package)
    deadline = time.monotonic() + at_most.total_seconds()
    while True:
        try:
            if not lacks_migrations(folder, await current_revisions(url)):
                return
            why = "not migrated yet"
        except _OUTAGES as error:
            why = type(error).__name__
        if time.monotonic() > deadline:
            raise TimeoutError(f"the database of {package} is not ready after {at_most}: {why}")
        _log.info("migrate.waiting", package=package, why=why)
        await asyncio.sleep(poll_s)


def main(arguments: list[str]) -> int:
    """Returns the exit status: 0 if the schema is ready, 1 if not (the log says why), 2 for a wrong call."""
    match arguments:
        case ["--wait", package]:
            only_waits = True
        case [package] if not package.startswith("-"):
            only_waits = False
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    platform = PlatformSettings()
    configure_logging(service="migrate", level=platform.log_level, renderer=platform.log_format)
    try:
        url = database_url(package)
        if only_waits:
            asyncio.run(until_migrated(package, url))
            return 0
        outcome = asyncio.run(_migrate(package, url))
    except ValidationError:
        _log.error("migrate.failed", package=package, error=f"{package.upper()}_DATABASE_URL is not set")
        return 1
    except (*_OUTAGES, ModuleNotFoundError) as error:
        _log.error("migrate.failed", package=package, error_type=type(error).__name__, error=str(error))
        return 1
    _log.info(f"migrate.{outcome}", package=package)
    return 0


async def _migrate(package: str, url: str) -> str:
    current = await current_revisions(url)
    if current != newest_revisions(folder := versions_folder(package)) and not lacks_migrations(
        folder, current
    ):
        return "newer_already"  # a release was rolled back and runs on the newer schema
    return "migrated" if await bring_up_to_date(package, url) else "up_to_date"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
