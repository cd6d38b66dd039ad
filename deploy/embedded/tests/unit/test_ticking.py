from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from kappi_chassis.clock import new_id
from kappi_contracts.envelope import Envelope, Headers
from kappi_contracts.events import ObjectsPurged
from kappi_embedded.ticking import TickReport, _collect

AT = datetime(2026, 5, 1, tzinfo=UTC)
FIRST, SECOND = TopicPartition("ObjectsPurged", 0), TopicPartition("ObjectsPurged", 1)


@dataclass(frozen=True)
class Message:
    value: bytes
    headers: Headers


def purge(gallery_id: UUID) -> Message:
    purged = ObjectsPurged(gallery_id=gallery_id, media_id=None, prefix="g/", objects=3, purged_at=AT)
    envelope = Envelope(id=new_id(), source="/janitor", time=AT, sequence=1, data=purged)
    return Message(envelope.value(), envelope.headers())


class Polled:
    """A consumer whose polls return the given records, one partition at a time, or nothing."""

    def __init__(self, polls: list[dict[TopicPartition, list[Message]]]) -> None:
        self._polls = polls
        self._read = {FIRST: 0, SECOND: 0}
        self._ends = {at: sum(len(poll.get(at, ())) for poll in polls) for at in self._read}

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._read)

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {at: self._ends[at] for at in partitions}

    async def position(self, partition: TopicPartition) -> int:
        return self._read[partition]

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Message]]:
        found = self._polls.pop(0) if self._polls else {}
        for at, messages in found.items():
            self._read[at] += len(messages)
        return found


async def collected(*polls: dict[TopicPartition, list[Message]]) -> TickReport:
    report = TickReport(AT)
    consumer = cast("AIOKafkaConsumer", Polled(list(polls)))
    await _collect(consumer, report, "00-" + "0" * 32, time.monotonic() + 10)
    return report


async def test_an_empty_poll_between_two_partitions_is_not_the_end() -> None:
    one, other = new_id(), new_id()
    report = await collected({}, {FIRST: [purge(one)]}, {}, {SECOND: [purge(other)]})
    assert report.purged == {one, other}
    assert report.objects == 6


async def test_an_event_that_is_sent_again_is_counted_once() -> None:
    again = purge(new_id())
    report = await collected({FIRST: [again]}, {FIRST: [again], SECOND: [again]})
    assert (report.events["ObjectsPurged"], report.objects) == (1, 3)


async def test_without_new_records_collecting_ends_at_once() -> None:
    assert (await collected()).purged == set()
