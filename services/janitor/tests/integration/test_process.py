"""The janitor as its own process: killed at any moment, stopped in order, watched from outside."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from kappi_chassis.bus import KafkaConnection, Producer
from kappi_chassis.clock import new_id
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.storage.local import LocalObjectStore
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import Event, GalleryCreated, GalleryDeleted, JanitorTick, LinkCreated
from kappi_contracts.keys import gallery_prefix
from kappi_contracts.topics import consumed_by
from kappi_testkit.eventually import eventually
from kappi_testkit.processes import ManagedProcess, answers_http

READY_S = 60.0
LARGE = int(os.environ.get("KAPPI_TEST_LARGE_PURGE", "20000"))
DUE = 10_000
MOST_GROWTH_BYTES = 24 << 20
_log = logging.getLogger(__name__)
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class World:
    """A broker, a database and a store folder, and processes started on them."""

    connection: KafkaConnection
    producer: Producer
    store: LocalObjectStore
    url: str
    start: Callable[..., ManagedProcess]

    async def send(self, event: Event, *, sequence: int = 1) -> None:
        envelope = Envelope(id=new_id(), source="/tests", time=NOW, sequence=sequence, data=event)
        await self.producer.send(
            self.connection.topic(event.topic_name()),
            key=envelope.key.encode(),
            value=envelope.value(),
            headers=envelope.headers(),
        )

    async def fetch(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    async def deletion_of_a_filled_gallery(self) -> GalleryDeleted:
        gallery_id = new_id()
        for name in ("a", "b"):
            await self.store.put(f"{gallery_prefix(gallery_id)}{name}", b"x", content_type="image/png")
        return GalleryDeleted(gallery_id=gallery_id, owner_id=None, reason="expired", deleted_at=NOW)

    async def purged(self) -> dict[UUID, int]:
        """ObjectsPurged events in the outbox per gallery."""
        rows = await self.fetch(
            "SELECT key::uuid AS gallery, count(*) AS n FROM outbox WHERE topic = 'ObjectsPurged' GROUP BY 1"
        )
        return {row["gallery"]: row["n"] for row in rows}


@pytest.fixture
async def world(kafka_bootstrap: str, topic_prefix: str, url: str, tmp_path: Path) -> AsyncIterator[World]:
    connection = KafkaConnection(bootstrap=kafka_bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20)
    producer = Producer(connection, source="/tests")
    for topic in consumed_by("janitor"):  # topics appear on first use
        await producer.send(connection.topic(topic.name), key=b"opens", value=b"", headers=())
    store = LocalObjectStore(tmp_path / "objects")
    processes: list[ManagedProcess] = []

    def start(program: Sequence[str] = ("-m", "kappi_janitor.main"), **environment: str) -> ManagedProcess:
        ops_port = int(environment.get("KAPPI_JANITOR_OPS_PORT") or free_port())
        process = ManagedProcess(
            [sys.executable, *program],
            log=tmp_path / f"janitor-{len(processes)}.log",
            ready=lambda: answers_http(f"http://127.0.0.1:{ops_port}/readyz"),
            env={
                "KAPPI_KAFKA_BOOTSTRAP": kafka_bootstrap,
                "KAPPI_KAFKA_CREATE_TOPICS": "false",  # the embedded broker knows no CreateTopics
                "KAPPI_KAFKA_FETCH_MAX_WAIT_MS": "20",
                "KAPPI_KAFKA_SESSION_TIMEOUT_MS": "6000",
                "KAPPI_TOPIC_PREFIX": topic_prefix,
                "KAPPI_LOCAL_STORE_DIR": str(tmp_path / "objects"),
                "KAPPI_JANITOR_DATABASE_URL": url,
                "KAPPI_JANITOR_DATABASE_POOL_SIZE": "4",
                "KAPPI_JANITOR_OPS_PORT": str(ops_port),
                "KAPPI_JANITOR_PURGE_LEASE": "PT2S",
                "KAPPI_JANITOR_PURGE_POLL": "PT0.2S",
                "KAPPI_JANITOR_RESWEEP_AFTER": "",
                **environment,
            },
            cwd=tmp_path,
            start_timeout_s=READY_S,
        )
        processes.append(process)
        process.start()
        return process

    yield World(connection=connection, producer=producer, store=store, url=url, start=start)
    for process in processes:
        if process.is_running():
            process.kill()
    await producer.close()
    await store.close()


async def started(world: World, *program: Sequence[str], **environment: str) -> ManagedProcess:
    return await asyncio.to_thread(world.start, *program, **environment)


NEVER_COMMITS = (
    "-c",
    """
from kappi_chassis.bus import consumer
from kappi_janitor import main
from kappi_janitor.streams import app
consumer.COMMIT_EVERY_S = app.COMMIT_INTERVAL_S = 3600
main.main()
""",
)


async def test_killed_between_the_commit_and_the_offset_it_does_nothing_twice(world: World) -> None:
    process = await started(world, NEVER_COMMITS)
    deletions = [await world.deletion_of_a_filled_gallery() for _ in range(10)]
    for deletion in deletions:
        await world.send(deletion, sequence=2)

    async def purged() -> None:
        assert await world.purged() == {each.gallery_id: 1 for each in deletions}

    await eventually(purged, 20.0)
    process.kill()  # all is in the database, no offset has moved
    ops_port = free_port()
    await started(world, KAPPI_JANITOR_OPS_PORT=str(ops_port))

    async def all_came_again() -> None:
        metrics = await asyncio.to_thread(metrics_of, ops_port)
        assert 'kappi_consumer_records_total{fate="duplicate",topic="GalleryDeleted"} 10.0' in metrics

    await eventually(all_came_again, 40.0)
    await purged()
    assert (await world.fetch("SELECT count(*) AS n FROM inbox"))[0]["n"] == 10
    assert (await world.store.list_page("galleries/")).objects == ()


async def test_killed_after_a_sweep_and_before_its_offset_it_claims_no_link_twice(world: World) -> None:
    process = await started(world, NEVER_COMMITS)
    link = LinkCreated(
        link_id=new_id(),
        media_id=new_id(),
        gallery_id=new_id(),
        expires_at=NOW - timedelta(days=1),
        created_at=NOW - timedelta(days=2),
    )
    await world.send(link)

    async def known() -> None:
        assert len(await world.fetch("SELECT 1 FROM due_links")) == 1

    await eventually(known, 20.0)
    await world.send(JanitorTick(schedule="hourly", at=NOW, origin="operator"))
    claims = "SELECT key::uuid AS id FROM outbox WHERE topic = 'LinkExpired'"

    async def claimed() -> None:
        assert [row["id"] for row in await world.fetch(claims)] == [link.link_id]

    await eventually(claimed, 20.0)
    process.kill()
    again = await started(world)

    async def swept_again() -> None:
        events = [json.loads(line) for line in again.log.read_text().splitlines()]
        assert [event for event in events if event["event"] == "tick.swept" and event["origin"] == "operator"]

    await eventually(swept_again, 20.0)
    await claimed()


@pytest.mark.timeout(300)
async def test_killed_at_random_it_loses_nothing(world: World) -> None:
    process = await started(world)
    deletions = []
    created = []
    links = []
    for round_ in range(3):
        for _ in range(15):
            deletion = await world.deletion_of_a_filled_gallery()
            creation = GalleryCreated(
                gallery_id=new_id(),
                owner_id=None,
                visibility="shared",
                expires_at=NOW - timedelta(days=1),
                created_at=NOW,
            )
            link = LinkCreated(
                link_id=new_id(),
                media_id=new_id(),
                gallery_id=creation.gallery_id,
                expires_at=NOW - timedelta(days=1),
                created_at=NOW - timedelta(days=2),
            )
            await world.send(creation)
            await world.send(link)
            await world.send(deletion, sequence=2)
            created.append(creation.gallery_id)
            links.append(link.link_id)
            deletions.append(deletion.gallery_id)
        if round_ == 1:
            await world.send(JanitorTick(schedule="tests", at=NOW, origin="operator"), sequence=1)
        process.kill()
        await asyncio.to_thread(process.start)

    async def all_are_known() -> None:
        """A tick comes on a topic of its own: it may be heard before what was sent earlier."""
        galleries = await world.fetch("SELECT gallery_id AS id FROM due_galleries")
        assert {row["id"] for row in galleries} >= set(created)
        known = await world.fetch("SELECT link_id AS id FROM due_links")
        assert {row["id"] for row in known} == set(links)

    await eventually(all_are_known, 60.0)
    await world.send(JanitorTick(schedule="tests", at=NOW, origin="operator"), sequence=2)

    async def nothing_is_missing() -> None:
        assert set(await world.purged()) == set(deletions)
        claims = await world.fetch(
            "SELECT DISTINCT key::uuid AS id FROM outbox WHERE topic = 'GalleryExpired'"
        )
        assert {row["id"] for row in claims} == set(created)
        over = await world.fetch("SELECT key::uuid AS id FROM outbox WHERE topic = 'LinkExpired'")
        assert sorted(row["id"] for row in over) == sorted(links), "each once"
        assert (await world.fetch("SELECT count(*) AS n FROM outbox WHERE sent_at IS NULL"))[0]["n"] == 0

    await eventually(nothing_is_missing, 60.0)
    assert (await world.store.list_page("galleries/")).objects == ()


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_large_gallery_is_purged_in_flat_memory_across_a_restart(world: World) -> None:
    gallery_id = new_id()
    await fill(world.store, gallery_prefix(gallery_id), count=LARGE)
    process = await started(world)
    memory_bytes = [resident_bytes(process.pid)]
    began = time.monotonic()
    await world.send(
        GalleryDeleted(gallery_id=gallery_id, owner_id=None, reason="requested", deleted_at=NOW), sequence=2
    )

    async def removed(count: int) -> None:
        memory_bytes.append(resident_bytes(process.pid))
        rows = await world.fetch("SELECT coalesce(sum(objects), 0) AS n FROM purges")
        assert rows[0]["n"] >= count

    async def purged() -> None:
        memory_bytes.append(resident_bytes(process.pid))
        assert await world.purged() == {gallery_id: 1}

    await eventually(partial(removed, LARGE // 4), 300.0)
    process.kill()
    await asyncio.to_thread(process.start)
    memory_bytes.append(resident_bytes(process.pid))
    await eventually(purged, 600.0)
    _log.info("%.0f objects a second, restart included", LARGE / (time.monotonic() - began))
    _log.info("resident: %d to %d MiB", min(memory_bytes) >> 20, max(memory_bytes) >> 20)
    assert (await world.store.list_page("galleries/")).objects == ()
    assert max(memory_bytes) - min(memory_bytes) < MOST_GROWTH_BYTES


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_tick_with_many_due_galleries_claims_each_once_across_a_restart(world: World) -> None:
    await world.fetch(
        f"INSERT INTO due_galleries (gallery_id, sequence, expires_at) "
        f"SELECT gen_random_uuid(), 1, '2026-04-01Z' FROM generate_series(1, {DUE})"
    )
    process = await started(world)
    memory_bytes = [resident_bytes(process.pid)]
    began = time.monotonic()
    await world.send(JanitorTick(schedule="hourly", at=NOW, origin="operator"))

    async def claimed(count: int) -> None:
        memory_bytes.append(resident_bytes(process.pid))
        rows = await world.fetch("SELECT count(*) AS n FROM outbox WHERE topic = 'GalleryExpired'")
        assert rows[0]["n"] >= count

    await eventually(partial(claimed, 1), 60.0)
    process.kill()
    await asyncio.to_thread(process.start)
    await eventually(partial(claimed, DUE), 300.0)
    _log.info("%.0f claims a second, restart included", DUE / (time.monotonic() - began))
    rows = await world.fetch("SELECT count(DISTINCT key) AS n FROM outbox WHERE topic = 'GalleryExpired'")
    assert rows[0]["n"] == DUE
    await claimed(DUE)
    assert max(memory_bytes) - min(memory_bytes) < MOST_GROWTH_BYTES


async def fill(store: LocalObjectStore, prefix: str, *, count: int) -> None:
    """Puts that many small objects under a prefix."""
    numbers = iter(range(count))

    async def put_next() -> None:
        for number in numbers:
            await store.put(f"{prefix}{number // 2:06}/{number % 2}", b"x", content_type="image/jpeg")

    await asyncio.gather(*(put_next() for _ in range(16)))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


async def test_it_stops_in_order_within_seconds_and_logs_json_without_secrets(world: World) -> None:
    process = await started(world)
    deletion = await world.deletion_of_a_filled_gallery()
    await world.send(deletion, sequence=2)

    async def purged() -> None:
        assert await world.purged() == {deletion.gallery_id: 1}

    await eventually(purged, 20.0)
    assert await asyncio.to_thread(process.stop) == 0, "within its time to stop"
    lines = process.log.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert {"streams.started", "timer.tick", "purge.done", "service.stopped"} <= {
        event["event"] for event in events
    }
    assert {event["service"] for event in events} == {"janitor"}
    assert not [event for event in events if event["event"].startswith("[^")], "Faust's own chatter"
    assert list(process.log.parent.glob("*-data")) == [], "Faust's data folder"


async def test_two_processes_tick_once_an_hour_between_them(world: World, kafka_bootstrap: str) -> None:
    """Only one consumes, since the embedded broker cannot balance two; both have a timer."""
    await started(world)
    await started(world, KAPPI_TOPIC_PREFIX=world.connection.prefix + "second.")

    async def ticked() -> None:
        assert len(await world.fetch("SELECT 1 FROM ticks")) >= 1

    await eventually(ticked, 20.0)
    ticks, turns = await asyncio.gather(
        world.fetch("SELECT 1 FROM outbox WHERE topic = 'JanitorTick'"), world.fetch("SELECT 1 FROM ticks")
    )
    # Two turns where the hour ends during the test.
    assert len(ticks) == len(turns) <= 2


def metrics_of(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
        return text
