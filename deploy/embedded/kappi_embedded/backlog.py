"""Counts the pending work: events not sent, records not consumed, uploads not processed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.bus.handled_letters import HandledLetters
from kappi_contracts.kafka_access import REPLAY_GROUP
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS

# The gateway consumes under a group name of its own per process, from the newest record on, so it never has a
# backlog.
_WITHOUT_BACKLOG = {"gateway"}
# Groups beside the one named after the service: media's worker, so that a flood of uploads never delays a
# deletion, and the janitor's Faust agent.
_OWN_GROUPS = {("UploadCompleted", "media"): "media-worker", ("JanitorTick", "janitor"): "janitor-tick"}
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Backlog:
    """The pending work. unsent: events in outboxes. behind: records that no group has finished, and uploads
    that wait for media's worker. produced: all records ever sent; equal in two backlogs if nothing was
    sent between them.
    """

    unsent: int
    behind: int
    produced: int

    @property
    def empty(self) -> bool:
        return self.unsent == 0 and self.behind == 0


def consumer_groups() -> dict[str, tuple[str, ...]]:
    """Returns the topics of each consumer group, from the registry."""
    groups: dict[str, list[str]] = {}
    for topic in TOPICS:
        for consumer in topic.consumers:
            if consumer not in _WITHOUT_BACKLOG:
                groups.setdefault(_OWN_GROUPS.get((topic.name, consumer), consumer), []).append(topic.name)
    return {group: tuple(names) for group, names in groups.items()}


class BacklogReader:
    """Holds connections for repeated reads; an async context manager."""

    def __init__(self, connection: KafkaConnection, databases: Mapping[str, str]) -> None:
        """databases: the URLs of the databases with an outbox, by service."""
        self._connection = connection
        self._urls = databases
        self._databases: dict[str, Any] = {}
        self._admin = AIOKafkaAdminClient(**connection.client_options())
        self._consumer = AIOKafkaConsumer(**connection.client_options(), enable_auto_commit=False)

    async def __aenter__(self) -> Self:
        await self._admin.start()
        await self._consumer.start()
        # aiokafka's stop() cancels itself if a task of start() has not run yet.
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()
        await self._admin.close()
        await self.close_databases()

    async def close_databases(self) -> None:
        """Closes the connections to the databases; the next read opens them again."""
        while self._databases:
            _, database = self._databases.popitem()
            await database.close(timeout=2)

    async def read(self) -> Backlog:
        """Returns the backlog. Outboxes are read first, so that an event that leaves one in the meantime
        counts as not consumed.

        Raises KafkaError, OSError.
        """
        unsent = 0
        for service in self._urls:
            unsent += await self._ask(service, "SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        groups = consumer_groups()
        known = await self._partitions({name for names in groups.values() for name in names})
        bounds = await self._bounds(partition for found in known.values() for partition in found)
        behind = 0
        for group, names in groups.items():
            behind += await self._behind(group, [tp for name in names for tp in known.get(name, ())], bounds)
        # Read last: a record is not behind any more once its upload is queued.
        if "media" in self._urls:
            behind += await self._ask("media", "SELECT count(*) FROM upload_jobs")
        return Backlog(unsent=unsent, behind=behind, produced=sum(end for _, end in bounds.values()))

    async def dead_letters(self) -> int:
        """Returns the number of dead letters that were neither sent back nor discarded."""
        known = await self._partitions({topic.name + DLQ_SUFFIX for topic in TOPICS})
        bounds = await self._bounds(partition for found in known.values() for partition in found)
        written = [partition for partition, (_, end) in bounds.items() if end > 0]
        if not written:
            return 0
        committed = await self._admin.list_consumer_group_offsets(
            self._connection.topic(REPLAY_GROUP), partitions=written
        )
        waiting = 0
        for partition in written:
            (begin, end), found = bounds[partition], committed[partition]
            waiting += HandledLetters.read(found.offset, found.metadata).waiting(begin=begin, end=end)
        return waiting

    async def clock(self, service: str) -> datetime:
        """Returns the time of the database's clock."""
        now: datetime = await self._ask(service, "SELECT clock_timestamp()")
        return now

    async def settle(self, *, timeout_s: float) -> bool:
        """Waits until two successive reads show no pending work. Returns whether that happened in time."""
        deadline = time.monotonic() + timeout_s
        before: Backlog | None = None
        while time.monotonic() < deadline:
            now = await self.read()
            if now.empty and now == before:
                return True
            before = now
            await asyncio.sleep(_POLL_S)
        return False

    async def _ask(self, service: str, statement: str) -> Any:
        database = self._databases.get(service)
        if database is None or database.is_closed():
            database = self._databases[service] = await asyncpg.connect(
                self._urls[service], timeout=10, command_timeout=30
            )
        return await database.fetchval(statement)

    async def _partitions(self, names: set[str]) -> dict[str, list[TopicPartition]]:
        """Returns the partitions by unprefixed topic name; topics that do not exist yet are left out."""
        existing = set(await self._admin.list_topics())
        wanted = sorted(existing & {self._connection.topic(name) for name in names})
        described = await self._admin.describe_topics(wanted) if wanted else []
        return {
            self._connection.unprefixed(topic["topic"]): [
                TopicPartition(topic["topic"], entry["partition"]) for entry in topic["partitions"]
            ]
            for topic in described
        }

    async def _bounds(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        wanted = list(partitions)
        if not wanted:
            return {}
        begins = await self._consumer.beginning_offsets(wanted)
        ends = await self._consumer.end_offsets(wanted)
        return {partition: (begins[partition], ends[partition]) for partition in wanted}

    async def _behind(
        self, group: str, partitions: list[TopicPartition], bounds: Mapping[TopicPartition, tuple[int, int]]
    ) -> int:
        written = [partition for partition in partitions if bounds[partition][1] > 0]
        if not written:
            return 0
        committed = await self._admin.list_consumer_group_offsets(
            self._connection.topic(group), partitions=written
        )
        behind = 0
        for partition in written:
            begin, end = bounds[partition]
            found = committed.get(partition)
            # Records that the broker dropped cannot be waited for: a gap is replayed, not consumed.
            behind += max(0, end - max(begin, found.offset if found is not None else 0))
        return behind
