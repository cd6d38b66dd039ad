"""Snapshots are sent page by page, and an interrupted one goes on where the broker stopped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.db import Database
from kappi_chassis.outbox import snapshot
from kappi_chassis.outbox.snapshot import FIRST, Snapshot, SnapshotInterrupted, publish_snapshots
from kappi_contracts.envelope import encode_data
from kappi_contracts.events import AccountSnapshotTaken
from msgspec.json import decode

pytestmark = pytest.mark.integration

_NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
_COUNT = 7
_FAST = 1_000_000


class Sink:
    """Keeps batches, and fails from the given one on, at its second row."""

    def __init__(self, *, fails_from: int | None = None) -> None:
        self.batches: list[list[Any]] = []
        self._fails_from = fails_from

    async def send_batch(self, rows: Sequence[Any]) -> list[BaseException | None]:
        if self._fails_from is not None and len(self.batches) >= self._fails_from:
            return [None, *(OSError("the broker is away") for _ in rows[1:])]
        self.batches.append(list(rows))
        return [None for _ in rows]

    @property
    def keys(self) -> list[str]:
        return [row["key"] for batch in self.batches for row in batch]


async def _page(connection: Any, after: UUID, limit: int, now: datetime) -> list[Snapshot]:
    rows = await connection.fetch(
        "SELECT id, version FROM things WHERE id > $1 ORDER BY id LIMIT $2", after, limit
    )
    return [
        Snapshot(
            row["id"],
            row["version"],
            AccountSnapshotTaken(
                account_id=row["id"], tier="Basic", suspended=False, created_at=now, taken_at=now
            ),
        )
        for row in rows
    ]


@pytest.fixture(autouse=True)
async def things(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes a table of its own, without other rows. Returns the ids in order."""
    monkeypatch.setattr(snapshot, "PAGE", 3)
    await database.hot.execute("CREATE TABLE IF NOT EXISTS things (id uuid PRIMARY KEY, version bigint)")
    await database.hot.execute("TRUNCATE things")
    ids = [UUID(int=number) for number in range(1, _COUNT + 1)]
    await database.hot.executemany(
        "INSERT INTO things VALUES ($1, $2)", [(each, each.int * 10) for each in ids]
    )
    return [str(each) for each in ids]


async def test_every_row_is_sent_once_in_pages_with_its_version(url: str, things: list[str]) -> None:
    sink = Sink()
    assert await publish_snapshots(url, sink, _page, rate=_FAST, clock=lambda: _NOW) == _COUNT
    assert sink.keys == things
    assert [len(batch) for batch in sink.batches] == [3, 3, 1]
    first = sink.batches[0][0]
    assert (first["topic"], first["type"]) == ("AccountSnapshotTaken", "gg.kappi.AccountSnapshotTaken.v1")
    assert (first["sequence"], first["occurred_at"]) == (10, _NOW)
    assert first["payload"] == encode_data(decode(first["payload"], type=AccountSnapshotTaken))


async def test_a_whole_number_of_pages_ends(url: str, database: Database) -> None:
    await database.hot.execute("DELETE FROM things WHERE version > 60")
    sink = Sink()
    assert await publish_snapshots(url, sink, _page, rate=_FAST) == 6
    assert [len(batch) for batch in sink.batches] == [3, 3]


async def test_an_interrupted_snapshot_goes_on_after_the_last_acknowledged_page(
    url: str, things: list[str]
) -> None:
    sink = Sink(fails_from=1)
    with pytest.raises(SnapshotInterrupted, match="the broker is away") as interrupted:
        await publish_snapshots(url, sink, _page, rate=_FAST)
    assert str(interrupted.value.after) == things[2]
    rest = Sink()
    await publish_snapshots(url, rest, _page, after=interrupted.value.after, rate=_FAST)
    assert sink.keys + rest.keys == things


async def test_a_database_that_is_away_interrupts_before_the_first() -> None:
    with pytest.raises(SnapshotInterrupted) as interrupted:
        await publish_snapshots("postgresql://localhost:1/none", Sink(), _page, rate=_FAST)
    assert interrupted.value.after == FIRST
