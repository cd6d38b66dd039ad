"""Events as the broker delivers them and as the outbox stores them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.bus import Record
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import Event


@dataclass(slots=True)
class RecordingDeadLetters:
    """Stores dead letters in memory."""

    letters: list[tuple[Record, BaseException]] = field(default_factory=list)

    async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
        self.letters.append((record, error))


def record_of(envelope: Envelope[Any]) -> Record:
    """Returns a record as the broker delivers it."""
    return Record(
        topic=envelope.data.topic_name(),
        partition=0,
        offset=0,
        key=envelope.key.encode(),
        value=envelope.value(),
        headers=envelope.headers(),
    )


@dataclass(frozen=True, slots=True)
class RecordMaker:
    """Makes records of events that happen now."""

    clock: Callable[[], datetime]

    def __call__(self, event: Event, *, sequence: int = 1, id: UUID | None = None) -> Record:  # noqa: A002 - CloudEvents' name
        envelope = Envelope(
            id=id or new_id(), source="/tests", time=self.clock(), sequence=sequence, data=event
        )
        return record_of(envelope)


async def outbox_events(database: Database) -> list[tuple[str, int, Any]]:
    """Returns the outbox, oldest first, as (topic, sequence, data)."""
    rows = await database.hot.fetch("SELECT topic, sequence, payload FROM outbox ORDER BY id")
    return [(row["topic"], row["sequence"], json.loads(row["payload"])) for row in rows]
