"""The aiokafka consumer: fetches, keeps order per key, commits an offset after its record's fate is sealed.

Life cycle: poll -> hand to the partition's lane -> process keys side by side -> note the offset -> commit.
The poll never stops, so a lane that waits out a failure does not cost the group membership; its partition is
paused instead (back-pressure).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError, KafkaError

from kappi_chassis.bus.connection import KafkaConnection
from kappi_chassis.bus.processor import Processor, Record
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger

POLL_MS = 100
POLL_RECORDS = 500
LANE_DEPTH = 1_000
RETRY_S = 1.0

_log = get_logger(__name__)

OnGap = Callable[[str], Awaitable[None]]


class Lane:
    """One partition's work: records in order, keys side by side, a high-water mark of sealed fates."""

    def __init__(self, processor: Processor, *, next_offset: int | None, concurrency: int) -> None:
        self.next_offset = next_offset
        self.committed = next_offset
        self._processor = processor
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting: list[Record] = []
        self._arrived = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self._waiting) >= LANE_DEPTH

    def submit(self, records: Iterable[Record]) -> None:
        self._waiting.extend(records)
        self._arrived.set()

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            if not batch:
                continue
            by_key: dict[bytes | None, list[Record]] = defaultdict(list)
            for record in batch:
                by_key[record.key].append(record)
            async with asyncio.TaskGroup() as group:
                for records in by_key.values():
                    group.create_task(self._in_order(records))
            self.next_offset = batch[-1].offset + 1

    async def _in_order(self, records: Sequence[Record]) -> None:
        async with self._slots:
            for record in records:
                await self._processor.process(record)


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka publishes no types
    """Runs a Processor on the topics it handles.

    concurrency: keys of one partition processed at once. on_gap: told the topic when the broker had dropped
    records before this group read them (retention), so that somebody can replay them.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        processor: Processor,
        *,
        concurrency: int = 8,
        on_gap: OnGap | None = None,
    ) -> None:
        self._connection = connection
        self._processor = processor
        self._concurrency = concurrency
        self._on_gap = on_gap
        self._kafka: AIOKafkaConsumer | None = None
        self._lanes: dict[TopicPartition, tuple[Lane, asyncio.Task[None]]] = {}
        self._expected: dict[TopicPartition, int] = {}

    @property
    def assigned(self) -> bool:
        return bool(self._lanes)

    async def run(self) -> None:
        """Until cancelled; a broker that is away is waited out.

        Raises when a dead letter could not be buried: nothing may be skipped silently.
        """
        try:
            await self._join()
            while True:
                await self._poll_once()
        finally:
            if self._lanes:
                await self._stop_lanes(list(self._lanes))
            await self._leave()

    async def _join(self) -> None:
        while True:
            kafka = AIOKafkaConsumer(
                **self._connection.client_options(),
                group_id=self._processor.group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=self._connection.fetch_max_wait_ms,
                session_timeout_ms=self._connection.session_timeout_ms,
                heartbeat_interval_ms=self._connection.session_timeout_ms // 3,
                metadata_max_age_ms=30_000,
            )
            self._kafka = kafka
            kafka.subscribe([self._connection.topic(name) for name in self._processor.topics], listener=self)
            try:
                await kafka.start()
            except (KafkaConnectionError, OSError) as error:
                _log.warning("consumer.no_broker", error=str(error), retry_in_s=RETRY_S)
                await self._leave()
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _leave(self) -> None:
        kafka, self._kafka = self._kafka, None
        if kafka is not None:
            await kafka.stop()

    async def _poll_once(self) -> None:
        assert self._kafka is not None
        found = await self._kafka.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        for partition, messages in found.items():
            if partition in self._lanes:
                await self._watch_for_gap(partition, messages[0].offset, messages[-1].offset + 1)
                self._lanes[partition][0].submit(self._record(message) for message in messages)
        for partition, (lane, task) in self._lanes.items():
            if task.done():
                task.result()
            if lane.full:
                self._kafka.pause(partition)
            elif partition in self._kafka.paused():
                self._kafka.resume(partition)
        await self._commit(self._lanes)

    def _record(self, message: Any) -> Record:
        return Record(
            topic=self._connection.unprefixed(message.topic),
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=tuple(message.headers),
        )

    async def _commit(self, partitions: Iterable[TopicPartition]) -> None:
        assert self._kafka is not None
        moved = {}
        for partition in partitions:
            lane = self._lanes[partition][0]
            if lane.next_offset is not None and lane.next_offset != lane.committed:
                moved[partition] = lane.next_offset
        if not moved:
            return
        try:
            await self._kafka.commit(moved)
        except (CommitFailedError, IllegalStateError) as error:
            # A rebalance took the partition: its new owner sees the records again, as duplicates.
            _log.info("consumer.commit_refused", error=str(error))
            return
        except KafkaError as error:
            _log.warning("consumer.commit_failed", error=str(error), error_type=type(error).__name__)
            return
        for partition, offset in moved.items():
            self._lanes[partition][0].committed = offset

    async def _watch_for_gap(self, partition: TopicPartition, first: int, following: int) -> None:
        expected = self._expected.get(partition)
        self._expected[partition] = following
        if expected is not None and first > expected:
            topic = self._connection.unprefixed(partition.topic)
            metrics.CONSUMER_GAPS.labels(topic).inc()
            _log.error("consumer.gap", topic=topic, partition=partition.partition, lost=first - expected)
            if self._on_gap is not None:
                await self._on_gap(topic)

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """aiokafka calls this when the group gave us partitions."""
        assert self._kafka is not None
        for partition in assigned:
            committed = await self._kafka.committed(partition)
            # A group that never committed expects everything since the beginning of time.
            self._expected[partition] = committed or 0
            lane = Lane(self._processor, next_offset=committed, concurrency=self._concurrency)
            self._lanes[partition] = (lane, asyncio.create_task(lane.run(), name=f"lane-{partition}"))
        _log.info("consumer.assigned", group=self._processor.group, partitions=len(assigned))

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """aiokafka calls this before the group gives our partitions to others."""
        await self._stop_lanes([partition for partition in revoked if partition in self._lanes])

    async def _stop_lanes(self, partitions: Sequence[TopicPartition]) -> None:
        tasks = [self._lanes[partition][1] for partition in partitions]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._commit(partitions)
        for partition in partitions:
            del self._lanes[partition]
