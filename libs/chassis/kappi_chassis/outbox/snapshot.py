"""Publishes the current state of aggregates, for consumers that did not receive the earlier events.

The records are sent directly, not through the outbox: no transaction causes them, and a snapshot of a million
items would keep as many rows there for the outbox's retention. Source: ADR-0062.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from kappi_contracts.envelope import encode_data
from kappi_contracts.events import Event

from kappi_chassis.clock import Clock, new_id, utc_now
from kappi_chassis.outbox.relay import EventSink

FIRST = UUID(int=0)
"""The id before all others."""
PAGE = 500
STATEMENT_TIMEOUT_S = 60.0


class Snapshot(NamedTuple):
    """The state of one aggregate. sequence: its version, that of the last change in the state."""

    id: UUID
    sequence: int
    event: Event


ReadPage = Callable[[Any, UUID, int, datetime], Awaitable[Sequence[Snapshot]]]
"""Returns up to a number of snapshots after an id, in order of ids. Arguments: an asyncpg connection, the id,
the number, the time of the snapshot.
"""


class SnapshotInterrupted(Exception):
    """The broker or the database failed. after: snapshots up to this id were acknowledged."""

    def __init__(self, cause: BaseException, *, after: UUID) -> None:
        super().__init__(str(cause) or type(cause).__name__)
        self.after = after


async def publish_snapshots(
    url: str,
    sink: EventSink,
    read_page: ReadPage,
    *,
    after: UUID = FIRST,
    rate: int,
    clock: Clock = utc_now,
) -> int:
    """Sends a snapshot of each aggregate after an id. A page is acknowledged before the next is read.

    url: of the database. rate: records per second at most.
    Returns the number of records. Raises SnapshotInterrupted.
    """
    total = 0
    try:
        connection = await asyncpg.connect(url, timeout=10, command_timeout=STATEMENT_TIMEOUT_S)
        try:
            while True:
                started = time.monotonic()
                now = clock()
                page = await read_page(connection, after, PAGE, now)
                await _send(sink, page, now=now)
                total += len(page)
                if len(page) < PAGE:
                    return total
                after = page[-1].id
                await asyncio.sleep(max(0.0, len(page) / rate - (time.monotonic() - started)))
        finally:
            await connection.close(timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, _NotSent) as error:
        raise SnapshotInterrupted(error, after=after) from error


class _NotSent(Exception):
    """A record of a page was not acknowledged."""


async def _send(sink: EventSink, page: Sequence[Snapshot], *, now: datetime) -> None:
    if not page:
        return
    outcomes = await sink.send_batch([_row(each, now=now) for each in page])
    for failure in outcomes:
        if failure is not None:
            raise _NotSent(str(failure) or type(failure).__name__) from failure


def _row(snapshot: Snapshot, *, now: datetime) -> dict[str, Any]:
    event = snapshot.event
    return {
        "event_id": new_id(),
        "topic": event.topic_name(),
        "type": event.ce_type(),
        "key": event.key(),
        "sequence": snapshot.sequence,
        "payload": encode_data(event),
        "traceparent": None,
        "occurred_at": now,
    }
