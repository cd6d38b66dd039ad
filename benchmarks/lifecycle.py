"""Measures the processor time of a tick over due galleries, by step, with PostgreSQL.

`python -m benchmarks.lifecycle [--against CHECKOUT] [--galleries N] [--objects N] [--claim-only]`. The steps
of a round run one after the other in one process, in turns with the code of other checkouts, on one
PostgreSQL, with tables and a store of their own. Relay and broker are left out: `events` measures them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import uvloop
from kappi_chassis.bus import Processor, Record
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.db.migrations import migrate
from kappi_chassis.embedded.postgres import EmbeddedPostgres
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.outbox import Outbox
from kappi_chassis.storage.local import LocalObjectStore
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick
from kappi_contracts.keys import gallery_prefix, original_key
from kappi_contracts.topics import BY_CE_TYPE
from kappi_galleries import consumers as galleries
from kappi_janitor.bootstrap import Dependencies, build_handlers, build_purge, build_purger, build_sweep
from kappi_janitor.settings import JanitorSettings
from kappi_media import consumers as media
from kappi_testkit.background import Background
from kappi_testkit.events import RecordingDeadLetters, record_of

from benchmarks.processor import seconds_with_children

SERVICES: Final = ("galleries", "media", "janitor")
BATCH: Final = 250
"""Events that a consumer takes at once."""
FILLED_AT_ONCE: Final = 10_000
AT_ONCE: Final = 8
"""Events without a common transaction that are handled at once."""
TIMEOUT_S: Final = 600.0
START_TIMEOUT_S: Final = 300.0
_ADDRESS: Final = "KAPPI_BENCHMARK_POSTGRES"
_PID: Final = "KAPPI_BENCHMARK_POSTGRES_PID"
_DUE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_GALLERIES: Final = """
INSERT INTO galleries (id, code, access_key_hash, visibility, expires_at, created_at, updated_at)
SELECT id, 'code' || ($3::bigint + n), sha256(id::text::bytea), 'shared', $2, $2, $2
FROM unnest($1::uuid[]) WITH ORDINALITY AS e (id, n)
"""
_DUE_DATES: Final = """
INSERT INTO due_galleries (gallery_id, sequence, expires_at)
SELECT id, 1, $2::timestamptz + ($3::bigint + n) * interval '1 second'
FROM unnest($1::uuid[]) WITH ORDINALITY AS e (id, n)
"""
_PURGED: Final = "SELECT count(*) FROM outbox WHERE topic = 'ObjectsPurged'"


class Lifecycle:
    """The services of a gallery's end. pid: of PostgreSQL's first process."""

    def __init__(
        self, databases: dict[str, Database], store: LocalObjectStore, *, pid: int, count: int
    ) -> None:
        self._databases = databases
        self._store = store
        self._pid = pid
        self._count = count
        outboxes = {name: Outbox(database) for name, database in databases.items()}
        settings = JanitorSettings(database_url=databases["janitor"].url)  # type: ignore[arg-type]  # parsed
        deps = Dependencies(database=databases["janitor"], outbox=outboxes["janitor"], store=store)
        self._purger = build_purger(deps, settings, build_purge(deps, settings))
        self._sweep = build_sweep(deps, settings, self._purger)
        handlers = {
            "galleries": galleries.handlers(outboxes["galleries"], clock=utc_now),
            "media": media.handlers(outboxes["media"]),
            "janitor": build_handlers(deps, self._purger),
        }
        self._processors = {
            name: Processor(group=name, handlers=each, dead_letters=RecordingDeadLetters())
            for name, each in handlers.items()
        }

    async def fill(self) -> None:
        for begin in range(0, self._count, FILLED_AT_ONCE):
            ids = [new_id() for _ in range(min(FILLED_AT_ONCE, self._count - begin))]
            await self._databases["galleries"].hot.execute(_GALLERIES, ids, _DUE, begin)
            await self._databases["janitor"].hot.execute(_DUE_DATES, ids, _DUE, begin)
        await self._databases["galleries"].hot.execute("ANALYZE galleries")
        await self._databases["janitor"].hot.execute("ANALYZE due_galleries")

    async def run(self, *, claim_only: bool, objects: int) -> None:
        """Prints a line for each step. objects: in the store for each gallery, before the purge."""
        tick = JanitorTick(schedule="hourly", at=utc_now() - timedelta(seconds=1), origin="timer")
        envelope = Envelope(id=new_id(), source="/benchmarks", time=utc_now(), sequence=1, data=tick)
        await self._measure("claim", lambda: self._sweep(envelope))
        if claim_only:
            return
        expired = await self._published("janitor", "GalleryExpired")
        await self._measure("delete, galleries", lambda: self._consume("galleries", expired))
        deleted = await self._published("galleries", "GalleryDeleted")
        await self._measure("close, media", lambda: self._consume("media", deleted))
        await self._measure("order the purge", lambda: self._consume("janitor", deleted))
        await self._put_objects([_gallery_id(each) for each in deleted], objects)
        await self._measure("purge", self._purge)
        if objects:
            others = [new_id() for _ in range(self._count)]
            await self._put_objects(others, objects)
            await self._measure("by the store alone", lambda: self._delete_in_store(others))

    async def _put_objects(self, gallery_ids: Iterable[UUID], number: int) -> None:
        async def put(gallery_id: UUID) -> None:
            async with places:
                for _ in range(number):
                    key = original_key(gallery_id, new_id())
                    await self._store.put(key, b"content", content_type="image/jpeg")

        places = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*map(put, gallery_ids))

    async def _delete_in_store(self, gallery_ids: Iterable[UUID]) -> None:
        async def delete(gallery_id: UUID) -> None:
            async with places:
                while (await self._store.delete_versions_page(gallery_prefix(gallery_id))).deleted:
                    pass

        places = asyncio.Semaphore(JanitorSettings.model_fields["purge_concurrency"].default)
        await asyncio.gather(*map(delete, gallery_ids))

    async def _measure(self, name: str, step: Callable[[], Awaitable[object]]) -> None:
        began, own, database = time.monotonic(), time.process_time(), seconds_with_children(self._pid)
        await step()
        own, database = time.process_time() - own, seconds_with_children(self._pid) - database
        micro = 1e6 / self._count
        print(
            f"{name:<20} service {own * micro:7.0f} µs, PostgreSQL {database * micro:7.0f} µs a gallery, "
            f"{self._count / (time.monotonic() - began):7.0f}/s, "
            f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB",
            flush=True,
        )

    async def _published(self, service: str, topic: str) -> list[Record]:
        rows = await self._databases[service].hot.fetch(
            "SELECT event_id, type, sequence, payload FROM outbox WHERE topic = $1 ORDER BY id", topic
        )
        assert len(rows) == self._count, f"{len(rows)} of {topic}"
        return [record_of(_envelope(row)) for row in rows]

    async def _consume(self, service: str, records: list[Record]) -> None:
        processor, places = self._processors[service], asyncio.Semaphore(AT_ONCE)
        # An older checkout knows no batches.
        handles_together = getattr(processor, "handles_together", lambda _: False)

        async def alone(record: Record) -> None:
            async with places:
                await processor.process(record)

        for batch in _batches(records):
            if handles_together(batch[0].topic):
                assert all(await processor.process_together(batch))
            else:
                await asyncio.gather(*map(alone, batch))

    async def _purge(self) -> None:
        async with asyncio.timeout(TIMEOUT_S), Background() as beside:
            beside.start(self._purger.run())
            while await self._databases["janitor"].hot.fetchval(_PURGED) < self._count:  # noqa: ASYNC110 - no signal
                await asyncio.sleep(0.2)


def _envelope(row: Any) -> Envelope[Any]:
    event = msgspec.json.decode(row["payload"], type=BY_CE_TYPE[row["type"]])
    return Envelope(
        id=row["event_id"], source="/benchmarks", time=utc_now(), sequence=row["sequence"], data=event
    )


def _gallery_id(record: Record) -> UUID:
    return UUID((record.key or b"").decode())


def _batches(records: list[Record]) -> Iterable[list[Record]]:
    return (records[begin : begin + BATCH] for begin in range(0, len(records), BATCH))


async def _round(address: str, pid: int, count: int, *, claim_only: bool, objects: int) -> None:
    """address: of the databases, without the `_` and the service at the end of their names."""
    async with AsyncExitStack() as stack:
        databases = {}
        for service in SERVICES:
            databases[service] = Database(f"{address}_{service}")
            await databases[service].start()
            stack.push_async_callback(databases[service].close)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kappi-bench-"))
        store = LocalObjectStore(Path(folder))
        await store.ready()
        stack.push_async_callback(store.close)
        life = Lifecycle(databases, store, pid=pid, count=count)
        await life.fill()
        await life.run(claim_only=claim_only, objects=objects)


async def _make_templates(postgres: EmbeddedPostgres) -> None:
    """Makes databases with the schema of this checkout."""
    for service in SERVICES:
        await postgres.create_database(f"template_{service}")
        await migrate(f"kappi_{service}", postgres.url(f"template_{service}"))


async def _copy_databases(postgres: EmbeddedPostgres, prefix: str) -> None:
    connection = await asyncpg.connect(postgres.url("postgres"), timeout=60, ssl=False)
    try:
        for service in SERVICES:
            await connection.execute(f"CREATE DATABASE {prefix}_{service} TEMPLATE template_{service}")
    finally:
        await connection.close()


def _rounds(options: argparse.Namespace) -> None:
    root = Path(__file__).parent.parent
    checkouts = {"this": root, **{str(each): each.resolve() for each in options.against}}
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres", start_timeout_s=START_TIMEOUT_S)
        postgres.start()
        try:
            asyncio.run(_make_templates(postgres))
            for number in range(options.rounds):
                for turn, (name, checkout) in enumerate(checkouts.items()):
                    print(f"-- round {number + 1}, {name}", flush=True)
                    prefix = f"round_{number}_{turn}"
                    asyncio.run(_copy_databases(postgres, prefix))
                    packages = [*checkout.glob("libs/*"), *checkout.glob("services/*"), root]
                    environment = {
                        **os.environ,
                        "PYTHONPATH": ":".join(map(str, packages)),
                        _ADDRESS: postgres.url(prefix),
                        _PID: str(postgres.pid),
                    }
                    command = [sys.executable, "-m", "benchmarks.lifecycle", *sys.argv[1:]]
                    subprocess.run(command, env=environment, check=True)
        finally:
            postgres.stop()


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.lifecycle", description=__doc__)
    parser.add_argument("--against", type=Path, action="append", default=[], metavar="CHECKOUT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--galleries", type=int, default=5_000)
    parser.add_argument("--objects", type=int, default=0, help="in the store for each gallery")
    parser.add_argument("--claim-only", action="store_true", help="for a million due dates and more")
    options = parser.parse_args()
    configure_logging(service="benchmark", level="WARNING", renderer="console")
    if _ADDRESS in os.environ:
        address, pid = os.environ[_ADDRESS], int(os.environ[_PID])
        count, claim_only = options.galleries, options.claim_only
        uvloop.run(_round(address, pid, count, claim_only=claim_only, objects=options.objects))
    else:
        _rounds(options)


if __name__ == "__main__":
    main()
