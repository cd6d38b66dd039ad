"""Faust's Kafka driver with our client settings and our idea of a failed commit.

Every override is of a method that Faust's own classes call on themselves; tests on both brokers hold them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.bus.consumer import OnGap
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger

MAX_POLL_RECORDS = 500
MAX_PARTITION_FETCH_BYTES = 256 * 1024
SHORTEST_FETCH_WAIT_MS = 100
"""The in-process broker holds every fetch for its whole wait, so there the wait is set to a few milliseconds,
and an idle consumer spends its CPU on asking. Nobody waits for the janitor like that. A Kafka answers as soon
as a record comes."""
METADATA_MAX_AGE_MS = 30_000
MAX_POLL_INTERVAL_MS = 24 * 3600 * 1000
"""A record that is tried again for hours fills the buffers, and then nothing is polled. That must not cost
the membership: the records would only wait at another member. Heartbeats have a thread of their own."""

FAUST_LOGGER = logging.getLogger("faust.janitor")
"""For our subclasses: Faust would give them their module's, and its chatter our log level."""

_log = get_logger(__name__)


def consumer_options(connection: KafkaConnection, *, group: str) -> dict[str, Any]:
    """As every other client of ours, security included, where Faust would fix the fetch's wait at 1.5 s.

    Round robin, because Faust's own assignor asks that all topics have equally many partitions.
    """
    return {
        **connection.client_options(),
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "partition_assignment_strategy": [RoundRobinPartitionAssignor],
        "fetch_max_wait_ms": max(connection.fetch_max_wait_ms, SHORTEST_FETCH_WAIT_MS),
        "session_timeout_ms": connection.session_timeout_ms,
        "heartbeat_interval_ms": connection.session_timeout_ms // 3,
        "max_poll_records": MAX_POLL_RECORDS,
        "max_partition_fetch_bytes": MAX_PARTITION_FETCH_BYTES,
        "max_poll_interval_ms": MAX_POLL_INTERVAL_MS,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread Faust runs aiokafka in."""

    logger = FAUST_LOGGER
    consumer: Consumer

    def __post_init__(self) -> None:
        super().__post_init__()
        self._uncommitted: dict[Any, int] = {}
        self._expected: dict[Any, int] = {}
        self._committed: dict[Any, int] = {}

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(**consumer_options(self.consumer.connection, group=self.app.conf.id))

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        """Commit now or with the next; a broker that is away must not end the process, as Faust would."""
        self._uncommitted.update(offsets)
        assigned = self.assignment()
        wanted = {
            TopicPartition(*partition): offset
            for partition, offset in self._uncommitted.items()
            if partition in assigned
        }
        try:
            await self._ensure_consumer().commit(wanted)
        except (CommitFailedError, IllegalStateError) as error:
            # A rebalance took the partitions: their new owner sees the records again, as duplicates.
            _log.info("consumer.commit_refused", error=str(error))
        except KafkaError as error:
            _log.warning("consumer.commit_failed", error=str(error), error_type=type(error).__name__)
            return False
        self._committed.update(wanted)
        self._uncommitted.clear()
        return True

    async def seek_to_committed(self) -> Mapping[Any, int]:
        committed: Mapping[Any, int] = await super().seek_to_committed()
        self._expected = {partition: offset or 0 for partition, offset in committed.items()}
        for partition in self._committed.keys() - committed.keys():
            with suppress(KeyError):  # never measured
                metrics.CONSUMER_LAG.remove(*self._labels(partition))
        self._committed = {partition: offset for partition, offset in committed.items() if offset is not None}
        metrics.CONSUMER_ASSIGNED.labels(self.app.conf.id).set(len(committed))
        return committed

    async def getmany(self, active_partitions: set[Any] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        found = await super().getmany(active_partitions, timeout)
        for partition, records in found.items():
            await self._watch_for_gap(partition, records[0].offset, records[-1].offset + 1)
            self._committed.setdefault(partition, records[0].offset)  # its group is new here
        self._measure_lag()
        return found

    def _measure_lag(self) -> None:
        for partition, committed in self._committed.items():
            try:
                end = self.highwater(partition)
            except (IllegalStateError, AssertionError):  # being taken from us
                continue
            if end is not None:
                metrics.CONSUMER_LAG.labels(*self._labels(partition)).set(max(0, end - committed))

    def _labels(self, partition: Any) -> tuple[str, str]:
        return self.consumer.connection.unprefixed(partition.topic), str(partition.partition)

    async def _watch_for_gap(self, partition: Any, first: int, following: int) -> None:
        expected = self._expected.get(partition)
        self._expected[partition] = following
        if expected is None or first <= expected:
            return
        topic, _ = self._labels(partition)
        metrics.CONSUMER_GAPS.labels(topic).inc()
        _log.error("consumer.gap", topic=topic, partition=partition.partition, lost=first - expected)
        if self.consumer.on_gap is not None:
            await self.consumer.on_gap(topic)

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Not done: Faust reads a poll time that aiokafka never sets, and would call every partition dead."""


class Consumer(driver.Consumer):
    """Faust's consumer, told how to connect."""

    logger = FAUST_LOGGER
    connection: KafkaConnection
    on_gap: OnGap | None

    def _new_consumer_thread(self) -> ConsumerThread:
        transport = self.transport
        assert isinstance(transport, Transport)
        self.connection = transport.connection
        self.on_gap = transport.on_gap
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        metrics.CONSUMER_ASSIGNED.labels(self.app.conf.id).set(0)  # all, until they are shared out anew
        await super().on_partitions_revoked(revoked)


class Transport(driver.Transport):
    """Given to an app as `app.transport`."""

    Consumer = Consumer

    def __init__(self, app: Any, connection: KafkaConnection, *, on_gap: OnGap | None) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.connection = connection
        self.on_gap = on_gap
