"""Copies facts between items and tags, in batch.

    python -m kappi_media.tagging fill [--since INSTANT]     from tags to items that have no facts yet
    python -m kappi_media.tagging write [--since INSTANT]    from items to tags of their originals

Settings are those of the service. INSTANT: RFC 3339; items reserved before it are left unchanged. The command
may be repeated, and run while the service runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import datetime, timedelta

from kappi_chassis.clock import utc_now
from kappi_chassis.db import Database
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.storage import ObjectStore
from kappi_chassis.storage.settings import StorageSettings, build_store

from kappi_media.repository.tags import TagQueries
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.facts_from_tags import FactsFromTags
from kappi_media.use_cases.tag_originals import TagAllOriginals, TagOriginal


async def fill(
    database: Database, store: ObjectStore, *, retry_after: timedelta, since: datetime | None
) -> str:
    facts = FactsFromTags(TagQueries(database), store=store, clock=utc_now, retry_after=retry_after)
    return f"{await facts.fill_all(since=since)} filled"


async def write(database: Database, store: ObjectStore, *, since: datetime | None) -> str:
    tag_all = TagAllOriginals(TagQueries(database), tag=TagOriginal(store))
    tagged, failed = await tag_all(since=since)
    return f"{tagged} tagged, {failed} failed"


async def _run(what: str, since: datetime | None) -> str:
    settings = MediaSettings()  # type: ignore[call-arg]  # required fields come from the environment
    database = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
    store = build_store(StorageSettings())
    await database.start()
    try:
        if what == "fill":
            return await fill(database, store, retry_after=settings.tags_retry_after, since=since)
        return await write(database, store, since=since)
    finally:
        await database.close()
        await store.close()


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs an offset, e.g. Z")
    return instant


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m kappi_media.tagging", description=__doc__)
    parser.add_argument("what", choices=("fill", "write"))
    parser.add_argument("--since", type=_instant)
    options = parser.parse_args(arguments)
    configure_logging(service="media-tagging", level="INFO", renderer="console")
    sys.stdout.write(asyncio.run(_run(options.what, options.since)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
