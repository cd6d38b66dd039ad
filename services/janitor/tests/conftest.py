"""The janitor on a database of its own; events come as hand-made records, the store is a folder or an S3."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kappi_chassis.bus import Processor
from kappi_chassis.bus.processor import Handler
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_chassis.storage import DeleteReport, ObjectPage, StorageUnavailable
from kappi_chassis.storage.local import LocalObjectStore
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import Event
from kappi_contracts.topics import BY_CE_TYPE
from kappi_janitor.bootstrap import Dependencies, build_handlers, build_purge, build_purger, build_sweep
from kappi_janitor.consumers import GROUP
from kappi_janitor.settings import JanitorSettings
from kappi_janitor.streams.ticks import TOPIC
from kappi_janitor.use_cases.purge_prefix import PurgePrefix, Purger
from kappi_testkit.clock import Clock
from kappi_testkit.events import RecordingDeadLetters, record_of
from kappi_testkit.servers.databases import DatabaseMaker
from sqlalchemy import text


class FaultyStore:
    """A real store that can be down, or refuse single keys so many times; counts the batches it removed."""

    def __init__(self, store: Any) -> None:
        self.real = store
        self.down = False
        self.refusals: dict[str, int] = {}
        self.batches: list[int] = []
        self.before_delete: Callable[[], Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def abort_multipart_uploads(self, prefix: str) -> int:
        self._check()
        aborted: int = await self.real.abort_multipart_uploads(prefix)
        return aborted

    async def list_page(self, prefix: str, **options: Any) -> ObjectPage:
        self._check()
        page: ObjectPage = await self.real.list_page(prefix, **options)
        return page

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        self._check()
        if self.before_delete is not None:
            await self.before_delete()
        if any(left for key, left in self.refusals.items() if key.startswith(prefix)):
            report = await self._delete_but_refused(prefix)
        else:
            report = await self.real.delete_versions_page(prefix)
        if report.deleted:
            self.batches.append(report.deleted)
        return report

    async def _delete_but_refused(self, prefix: str) -> DeleteReport:
        page = await self.real.list_page(prefix)
        failed = {}
        for found in page.objects:
            if self.refusals.get(found.key, 0):
                self.refusals[found.key] -= 1
                failed[found.key] = "AccessDenied"
        done = await self.real.delete_batch([found.key for found in page.objects if found.key not in failed])
        return DeleteReport(deleted=done.deleted, failed={**done.failed, **failed})

    def _check(self) -> None:
        if self.down:
            raise StorageUnavailable("the store is away")


@dataclass(frozen=True, slots=True)
class Published:
    """An outbox row, read back."""

    event: Any
    key: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Janitor:
    """The service's inside, driven by hand."""

    deps: Dependencies
    processor: Processor
    purger: Purger
    purge: PurgePrefix
    dead_letters: RecordingDeadLetters
    clock: Clock
    store: FaultyStore

    async def hear(
        self, event: Event, *, sequence: int = 1, event_id: Any = None, traceparent: str | None = None
    ) -> Envelope[Any]:
        """Deliver an event as a record; the same event_id again is a duplicate."""
        envelope = Envelope(
            id=event_id or new_id(),
            source="/tests",
            time=self.clock(),
            sequence=sequence,
            data=event,
            traceparent=traceparent,
        )
        await self.processor.process(record_of(envelope))
        return envelope

    async def hear_all(self, *events: tuple[Event, int]) -> list[Envelope[Any]]:
        """Deliver events of one topic, each with its sequence, as one batch that must not fail."""
        envelopes = [
            Envelope(id=new_id(), source="/tests", time=self.clock(), sequence=sequence, data=event)
            for event, sequence in events
        ]
        assert all(await self.processor.process_together([record_of(each) for each in envelopes]))
        return envelopes

    async def work(self) -> int:
        """Do all that is due by the clock, as the purger's own loop would; returns how many sweeps."""
        done = 0
        while leases := await self.purger.take(10):
            await asyncio.gather(*(self.purge(lease) for lease in leases))
            done += len(leases)
        return done

    async def published(self, event: type[Event]) -> list[Published]:
        """What went into the outbox, oldest first."""
        rows = await self.query(
            "SELECT type, payload, key, sequence FROM outbox WHERE topic = :topic ORDER BY id",
            topic=event.topic_name(),
        )
        return [
            Published(
                event=msgspec.json.decode(row.payload, type=BY_CE_TYPE[row.type]),
                key=row.key,
                sequence=row.sequence,
            )
            for row in rows
        ]

    async def query(self, statement: str, **values: Any) -> list[Any]:
        async with self.deps.database.transaction() as connection:
            return list(await connection.execute(text(statement), values))

    async def fill(self, prefix: str, *, objects: int) -> None:
        """Put that many small objects under a prefix."""
        gate = asyncio.Semaphore(16)

        async def put(number: int) -> None:
            async with gate:
                await self.store.real.put(f"{prefix}{number:05}", b"x", content_type="image/jpeg")

        await asyncio.gather(*(put(number) for number in range(objects)))

    async def holds(self, prefix: str) -> int:
        """How many objects are under a prefix, at most 1,000."""
        return len((await self.store.real.list_page(prefix)).objects)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(make_database: DatabaseMaker) -> str:
    return make_database.migrated("janitor")


@pytest.fixture
def settings(url: str) -> JanitorSettings:
    return JanitorSettings(database_url=url, purge_poll=timedelta(milliseconds=20), sweep_page=3)  # type: ignore[arg-type]  # parsed


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url, pool_size=5)
    await database.start()
    yield database
    await database.close()


@pytest.fixture
async def local_store(tmp_path: Path) -> AsyncIterator[LocalObjectStore]:
    store = LocalObjectStore(tmp_path / "objects")
    await store.ready()
    yield store
    await store.close()


@pytest.fixture(params=["local", "s3"])
async def every_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """The test runs once on a folder and once on the run's S3."""
    if request.param == "local":
        store: Any = LocalObjectStore(tmp_path / "objects")
    else:
        server = request.getfixturevalue("s3_server")
        store = server.store(await asyncio.to_thread(server.create_bucket))
    await store.ready()
    yield store
    await store.close()


@pytest.fixture
def cancelled_in_call(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, int], None]:
    """`cancelled_in_call(purges, "request_purge", 3)`: the third call of that function of a repository module
    does its work, then the task it runs in is cancelled, before the commit."""

    def arrange(module: Any, name: str, number: int) -> None:
        original, calls = getattr(module, name), 0

        async def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            found = await original(*arguments, **options)
            if calls == number:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            return found

        monkeypatch.setattr(module, name, call)

    return arrange


MakeJanitor = Callable[[Any], Janitor]


@pytest.fixture
def make_janitor(database: Database, settings: JanitorSettings, clock: Clock) -> MakeJanitor:
    """`make_janitor(store)`."""

    def make(store: Any) -> Janitor:
        faulty = FaultyStore(store)
        deps = Dependencies(database=database, outbox=Outbox(database), store=faulty, clock=clock)
        dead_letters = RecordingDeadLetters()
        purge = build_purge(deps, settings)
        purger = build_purger(deps, settings, purge)
        handlers: dict[str, Handler] = {
            **build_handlers(deps, purger),
            TOPIC: build_sweep(deps, settings, purger),
        }
        processor = Processor(group=GROUP, handlers=handlers, dead_letters=dead_letters, clock=clock)
        return Janitor(
            deps=deps,
            processor=processor,
            purger=purger,
            purge=purge,
            dead_letters=dead_letters,
            clock=clock,
            store=faulty,
        )

    return make


@pytest.fixture
def janitor(make_janitor: MakeJanitor, local_store: LocalObjectStore) -> Janitor:
    return make_janitor(local_store)
