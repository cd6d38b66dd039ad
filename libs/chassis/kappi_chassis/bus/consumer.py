"""The aiokafka consumer: fetches, keeps order per key, and commits an offset after its record is done.

Life cycle: poll -> hand to the partition's queue -> process what is there of a topic in one transaction, or
keys side by side -> advance the queue's offset -> commit. The poll never waits for a record, so a queue that
waits after a failure does not cost the group membership; a partition with too many records in progress is
paused instead (back-pressure).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from kappi_chassis.bus.connection import KafkaConnection
from kappi_chassis.bus.consumer_ages import ConsumerAges
from kappi_chassis.bus.dead_letter_limit import TooManyDeadLetters, stay_stopped
from kappi_chassis.bus.partition_queue import PartitionQueue, Spawn
from kappi_chassis.bus.processor import Processor, Record
from kappi_chassis.bus.retention_gap import OnGap, report_gaps
from kappi_chassis.bus.topic_batches import TopicBatches
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger

POLL_MS = 100
IDLE_POLL_MS = 5_000
POLL_RECORDS = 500
COMMIT_EVERY_S = 0.2
IDLE_COMMIT_S = 5.0
COMMIT_TIMEOUT_S = 3.0
LEAVE_TIMEOUT_S = 5.0
RETRY_S = 1.0
STUCK_AFTER_S = 30.0

_log = get_logger(__name__)

__all__ = ["Consumer", "ConsumerStuck", "OnGap"]


class ConsumerStuck(Exception):
    """This consumer has no partitions of its group at the moment, or its loop hangs."""


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka publishes no types
    """Runs a Processor on the topics it handles.

    concurrency: records and batches processed at once, over all partitions. on_gap: called with the topic
    when the broker removed records before this group read them (retention), so that they can be replayed.
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
        self._queues: dict[TopicPartition, PartitionQueue] = {}
        self._expected: dict[TopicPartition, int] = {}
        self._ages = ConsumerAges(self._queues, topic_of=connection.unprefixed)
        self._joined = False
        self._stopped: BaseException | None = None
        self._turned_at = time.monotonic()
        self._asides: set[asyncio.Task[None]] = set()
        # The parts of the current session:
        self._kafka: AIOKafkaConsumer
        self._spawn: Spawn
        self._slots: asyncio.Semaphore
        self._batches: dict[str, TopicBatches]
        self._active: asyncio.Event

    @property
    def assigned(self) -> bool:
        return bool(self._queues)

    async def ready(self) -> None:
        """A health check. Raises ConsumerStuck."""
        if self._stopped is not None:
            raise ConsumerStuck(f"{self._processor.group}: stopped, {self._stopped}")
        if not self._joined:
            raise ConsumerStuck(f"{self._processor.group}: no part in the group yet")
        if (still_s := time.monotonic() - self._turned_at) > STUCK_AFTER_S:
            raise ConsumerStuck(f"{self._processor.group}: did not poll for {still_s:.0f} s")

    async def run(self) -> None:
        """Runs until cancelled; an unavailable broker is waited for.

        After too many dead letters it leaves the group and does nothing more: another process, perhaps of
        another release, gets its partitions from the first record on that is not done.

        Raises an ExceptionGroup when a dead letter could not be written, so that no record is skipped
        silently.
        """
        # the metrics exist, also if it never joins
        metrics.CONSUMER_ASSIGNED.labels(self._processor.group).set(0)
        self._ages.show(self._processor.group, self._processor.topics)
        metrics.CONSUMER_STOPPED.labels(self._processor.group).set(0)
        try:
            await self._sessions()
        except* TooManyDeadLetters as stopped:
            self._stopped = stopped.exceptions[0]
        await stay_stopped(self._processor.group, reason=self._stopped)

    async def _sessions(self) -> None:
        while True:
            error = await self._session()
            _log.warning(
                "consumer.lost_broker",
                group=self._processor.group,
                error=str(error),
                error_type=type(error).__name__,
                retry_in_s=RETRY_S,
            )
            await asyncio.sleep(RETRY_S)

    async def _session(self) -> Exception:
        """Runs from connecting until the broker fails. Returns the failure. A queue that fails ends the
        session.
        """
        kafka = self._connect()
        async with asyncio.TaskGroup() as group:
            self._kafka, self._spawn = kafka, group.create_task
            self._slots = asyncio.Semaphore(self._concurrency)
            self._batches = {}
            self._active = asyncio.Event()
            try:
                await kafka.start()
                self._beside(self._commit_regularly())
                while True:
                    await self._poll_once()
            except (KafkaError, OSError, TimeoutError) as failure:
                error = failure
            finally:
                for task in self._asides:
                    task.cancel()
                await self._leave()
        return error

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something until the session ends."""
        task = self._spawn(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    def _connect(self) -> AIOKafkaConsumer:
        kafka = AIOKafkaConsumer(
            **self._connection.client_options(),
            group_id=self._processor.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self._connection.fetch_max_wait_ms,
            session_timeout_ms=self._connection.session_timeout_ms,
            heartbeat_interval_ms=self._connection.session_timeout_ms // 3,
            metadata_max_age_ms=30_000,
            consumer_timeout_ms=IDLE_POLL_MS,  # aiokafka's loop is also woken by what happens
        )
        kafka.subscribe([self._connection.topic(name) for name in self._processor.topics], listener=self)
        return kafka

    async def _leave(self) -> None:
        await self._stop_queues(list(self._queues))
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._kafka.stop()
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("consumer.left_without_goodbye", group=self._processor.group, error=repr(error))

    async def _poll_once(self) -> None:
        # A paused partition is resumed here; new records end the wait at once.
        paused = any(queue.paused for queue in self._queues.values())
        poll_ms = POLL_MS if paused else IDLE_POLL_MS
        found = await self._kafka.getmany(timeout_ms=poll_ms, max_records=POLL_RECORDS)
        self._turned_at = time.monotonic()
        if found:
            self._active.set()
        # Nothing is awaited until all records are in their queues: a rebalance in between would mix
        # assignments.
        for partition, messages in found.items():
            self._watch_for_gap(partition, messages[0].offset, messages[-1].offset + 1)
            # aiokafka may deliver records before it reports the assignment.
            queue = self._queues.get(partition) or self._add_queue(partition)
            queue.submit(self._record(message) for message in messages)
        for partition, queue in self._queues.items():
            if queue.full and not queue.paused:
                self._kafka.pause(partition)
                queue.paused = True
            elif queue.paused and queue.has_room:
                self._kafka.resume(partition)
                queue.paused = False

    def _record(self, message: Any) -> Record:
        return Record(
            topic=self._connection.unprefixed(message.topic),
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=tuple(message.headers),
            timestamp_ms=message.timestamp if message.timestamp > 0 else None,
        )

    async def _commit_regularly(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_COMMIT_S):
                    await self._active.wait()
            await asyncio.sleep(COMMIT_EVERY_S)
            if all(queue.idle for queue in self._queues.values()):
                self._active.clear()
            for partition, queue in self._queues.items():
                if (end := self._end_of(partition)) is not None:
                    metrics.CONSUMER_LAG.labels(*self._labels(partition)).set(queue.behind(end))
            self._ages.listen(self._kafka, joined=self._joined)
            await self._commit(dict(self._queues))

    def _end_of(self, partition: TopicPartition) -> int | None:
        try:
            end: int | None = self._kafka.highwater(partition)
        except (IllegalStateError, AssertionError):  # the partition is being revoked
            return None
        return end

    def _labels(self, partition: TopicPartition) -> tuple[str, str]:
        return self._connection.unprefixed(partition.topic), str(partition.partition)

    async def _commit(self, queues: Mapping[TopicPartition, PartitionQueue]) -> None:
        moved = {
            partition: queue.next_offset
            for partition, queue in queues.items()
            if queue.next_offset is not None and queue.next_offset != queue.committed
        }
        if not moved:
            return
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):  # aiokafka would wait for ever
                await self._kafka.commit(moved)
        except (CommitFailedError, IllegalStateError) as error:
            # A rebalance revoked the partition: its new owner gets the records again, as duplicates.
            _log.info("consumer.commit_refused", error_type=type(error).__name__)
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("consumer.commit_failed", error=str(error), error_type=type(error).__name__)
        else:
            for partition, offset in moved.items():
                queues[partition].committed = offset

    def _watch_for_gap(self, partition: TopicPartition, first: int, following: int) -> None:
        expected = self._expected.get(partition)
        self._expected[partition] = following
        if expected is not None and first > expected:
            self._beside(self._look_for_gaps({partition: expected}))

    async def _look_for_gaps(self, expected: Mapping[TopicPartition, int]) -> None:
        try:
            begins = await self._kafka.beginning_offsets(list(expected))
            await report_gaps(expected, begins, topic_of=self._connection.unprefixed, on_gap=self._on_gap)
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("consumer.gap_not_examined", error=repr(error))

    async def _look_for_gaps_at_start(self, partitions: Iterable[TopicPartition]) -> None:
        assigned = list(partitions)
        try:
            committed = await asyncio.gather(*(self._kafka.committed(partition) for partition in assigned))
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("consumer.gap_not_examined", error=repr(error))
            return
        # With `on_gap`, records can be replayed, so a new group must get all of them. Otherwise it begins
        # where it can.
        from_nothing = None if self._on_gap is None else 0
        wanted = {
            partition: from_nothing if offset is None else offset
            for partition, offset in zip(assigned, committed, strict=True)
        }
        await self._look_for_gaps({tp: offset for tp, offset in wanted.items() if offset is not None})

    def _add_queue(self, partition: TopicPartition) -> PartitionQueue:
        batches = self._batches_of(self._connection.unprefixed(partition.topic))
        queue = PartitionQueue(self._processor, slots=self._slots, spawn=self._spawn, batches=batches)
        self._queues[partition] = queue
        return queue

    def _batches_of(self, topic: str) -> TopicBatches | None:
        if topic not in self._batches and self._processor.handles_together(topic):
            self._batches[topic] = TopicBatches(self._processor, slots=self._slots, spawn=self._spawn)
        return self._batches.get(topic)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Adds queues for new partitions. aiokafka calls this, and ignores what it raises."""
        partitions = [partition for partition in assigned if partition not in self._queues]
        for partition in partitions:
            self._add_queue(partition)
        self._joined = True
        metrics.CONSUMER_ASSIGNED.labels(self._processor.group).set(len(self._queues))
        _log.info("consumer.assigned", group=self._processor.group, partitions=len(self._queues))
        self._beside(self._look_for_gaps_at_start(self._queues))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Stops the queues of revoked partitions. aiokafka calls this before other consumers get them."""
        await self._stop_queues(revoked)

    async def _stop_queues(self, partitions: Iterable[TopicPartition]) -> None:
        self._joined = False
        stopped = {tp: queue for tp in list(partitions) if (queue := self._queues.pop(tp, None)) is not None}
        await asyncio.gather(*(batches.stop(stopped.values()) for batches in self._batches.values()))
        await asyncio.gather(*(queue.stop() for queue in stopped.values()))
        await self._commit(stopped)
        for partition in stopped:
            self._expected.pop(partition, None)
            with suppress(KeyError):
                metrics.CONSUMER_LAG.remove(*self._labels(partition))
        metrics.CONSUMER_ASSIGNED.labels(self._processor.group).set(len(self._queues))
