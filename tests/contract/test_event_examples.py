"""The examples of docs/events.md work as the page says, on every broker."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

import pytest
from kappi_chassis.bus import KafkaConnection, Producer
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import (
    Event,
    GalleryCreated,
    GalleryDeleted,
    GallerySnapshotTaken,
    GalleryUpdated,
    KindCount,
    MediaAccessed,
)
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import BrokerUnderTest
from kappi_testkit.processes import ManagedProcess
from kappi_testkit.programs import require_program

from tests.clients.examples import EVENTS_PAGE, examples, has_tables

pytestmark = pytest.mark.integration

_GALLERY = uuid4()
_NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def connection(every_broker: BrokerUnderTest, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(bootstrap=every_broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20)


@pytest.fixture
async def producer(connection: KafkaConnection) -> AsyncIterator[Producer]:
    producer = Producer(connection, source="/tests")
    await producer.start()
    yield producer
    await producer.close()


def _envelope(event: Event, *, event_id: UUID | None = None, sequence: int = 1) -> Envelope[Event]:
    return Envelope(
        id=event_id or uuid4(),
        source=f"/{'media' if isinstance(event, MediaAccessed) else 'galleries'}",
        time=datetime.now(UTC),
        sequence=sequence,
        data=event,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )


def _accessed(**counts: int) -> MediaAccessed:
    kinds = tuple(KindCount(kind=kind, count=count) for kind, count in counts.items())
    return MediaAccessed(gallery_id=_GALLERY, day=date(2026, 6, 1), kinds=kinds, traits=(), items=())


async def test_the_cloudevents_sdk_reads_events_and_each_is_counted_once(
    connection: KafkaConnection, producer: Producer, tmp_path: Path
) -> None:
    twice = _envelope(_accessed(view=9, download=2))
    await producer.send_event(twice)
    unknown = {**dict(twice.headers()), "ce_type": b"gg.kappi.MediaAccessed.v2"}
    await producer.send(
        connection.topic("MediaAccessed"), key=b"k", value=b"{}", headers=tuple(unknown.items())
    )

    def counted() -> list[tuple[str, int]]:
        state = sqlite3.connect(tmp_path / "downloads.db", timeout=10)
        try:
            return state.execute("SELECT gallery_id, count FROM downloads").fetchall()
        finally:
            state.close()

    with _running(examples("sdk", EVENTS_PAGE)[0], connection, tmp_path / "downloads.db") as process:
        await producer.send_event(twice)
        await producer.send_event(_envelope(_accessed(download=40)))

        def both() -> None:
            assert process.is_running(), process.log.read_text()
            assert counted() == [(str(_GALLERY), 42)], process.log.read_text()
            assert "skipped gg.kappi.MediaAccessed.v2" in process.log.read_text()

        await eventually(both, deadline_s=60)


def _taken(gallery_id: UUID, *, visibility: Literal["shared", "private"]) -> GallerySnapshotTaken:
    return GallerySnapshotTaken(
        gallery_id=gallery_id,
        owner_id=None,
        visibility=visibility,
        expires_at=None,
        location_free=False,
        closed=False,
        contributions="closed",
        created_at=_NOW,
        taken_at=_NOW,
    )


async def test_a_state_ignores_what_is_older_or_repeated_in_any_order(
    connection: KafkaConnection, producer: Producer, tmp_path: Path
) -> None:
    gone, kept, last = uuid4(), uuid4(), uuid4()
    deleted = GalleryDeleted(gallery_id=gone, owner_id=None, reason="requested", deleted_at=_NOW)
    newest = GalleryUpdated(
        gallery_id=kept, owner_id=None, visibility="private", expires_at=None, updated_at=_NOW
    )

    def read() -> list[tuple[str, str]]:
        state = sqlite3.connect(tmp_path / "state.db", timeout=10)
        try:
            return state.execute("SELECT id, fields ->> 'visibility' FROM living").fetchall()
        finally:
            state.close()

    with _running(examples("state", EVENTS_PAGE)[0], connection, tmp_path / "state.db") as process:

        async def arrived(*expected: tuple[UUID, str]) -> None:
            def equal() -> None:
                assert process.is_running(), process.log.read_text()
                assert sorted(read()) == sorted((str(each), text) for each, text in expected)

            await eventually(equal, deadline_s=60)

        # The newest events are applied first, so all others come too late.
        await producer.send_event(_envelope(deleted, sequence=10))
        await producer.send_event(_envelope(newest, sequence=10))
        await arrived((kept, "private"))
        for sequence in (9, 10):
            for gallery_id in (gone, kept):
                await producer.send_event(
                    _envelope(_taken(gallery_id, visibility="shared"), sequence=sequence)
                )
        unknown = {**dict(_envelope(newest).headers()), "ce_type": b"gg.kappi.GallerySnapshotTaken.v2"}
        for headers in (tuple(unknown.items()), ()):
            await producer.send(
                connection.topic("GallerySnapshotTaken"), key=str(gone).encode(), value=b"{}", headers=headers
            )
        await producer.send_event(_envelope(_taken(last, visibility="shared"), sequence=1))
        await arrived((kept, "private"), (last, "shared"))
        await producer.send_event(_envelope(_taken(kept, visibility="shared"), sequence=11))
        await arrived((kept, "shared"), (last, "shared"))

        def skipped() -> None:
            told = process.log.read_text()
            assert "skipped GallerySnapshotTaken b'gg.kappi.GallerySnapshotTaken.v2'" in told
            assert "skipped GallerySnapshotTaken None" in told

        await eventually(skipped, deadline_s=60)


async def test_kcat_prints_events_as_json(connection: KafkaConnection, producer: Producer) -> None:
    for program in ("kcat", "jq"):
        require_program(program)
    created = GalleryCreated(
        gallery_id=_GALLERY,
        owner_id=None,
        visibility="shared",
        expires_at=None,
        created_at=_NOW,
    )
    sent = [_envelope(created, sequence=number) for number in (1, 2)]
    for envelope in sent:
        await producer.send_event(envelope)
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        ["bash", "-c", f"set -euo pipefail\n{examples('kcat', EVENTS_PAGE)[0]}"],
        env={**os.environ, **_environ(connection)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "ce_id": str(envelope.id),
            "ce_type": "gg.kappi.GalleryCreated.v1",
            "ce_sequence": f"{envelope.sequence:020}",
            "data": json.loads(envelope.value()),
        }
        for envelope in sent
    ]


def _running(code: str, connection: KafkaConnection, database: Path) -> ManagedProcess:
    """Returns an example as a process that is ready when its tables exist."""
    script = database.with_suffix(".py")
    script.write_text(code)
    return ManagedProcess(
        [sys.executable, str(script)],
        log=database.with_suffix(".log"),
        ready=lambda: has_tables(database),
        env=_environ(connection),
        cwd=database.parent,
    )


def _environ(connection: KafkaConnection) -> dict[str, str]:
    return {"KAFKA": connection.bootstrap, "KAPPI_TOPIC_PREFIX": connection.prefix}
