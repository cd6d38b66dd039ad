"""Measures the dead letters of all topics: how many wait, and since when the oldest does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from kappi_contracts.kafka_access import REPLAY_GROUP
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS

from kappi_chassis.bus.connection import KafkaConnection
from kappi_chassis.bus.handled_letters import HandledLetters
from kappi_chassis.clock import Clock, utc_now
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger

EVERY_S: Final = 60.0
LOOK_TIMEOUT_S: Final = 30.0
READ_TIMEOUT_MS: Final = 2_000
READ_BYTES: Final = 64 << 10

_log = get_logger(__name__)


class DeadLetterWatch:
    """Sets the gauges of dead letters once a minute.

    It asks for offsets, and reads one record of each topic that has waiting letters. is_on_duty: whether this
    process measures, so that one process of the deployment does; the others show zeros.
    """

    def __init__(
        self, connection: KafkaConnection, *, is_on_duty: Callable[[], bool], clock: Clock = utc_now
    ) -> None:
        self.topics = tuple(topic.name for topic in TOPICS if topic.consumers)
        self._connection = connection
        self._is_on_duty = is_on_duty
        self._clock = clock

    async def run(self) -> None:
        """Runs until cancelled. A broker that does not answer is asked again later; the gauges stay as they
        are.
        """
        while True:
            try:
                async with asyncio.timeout(LOOK_TIMEOUT_S):
                    await self.look()
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("dead_letters.not_counted", error=repr(error))
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Measures once. Raises KafkaError, OSError, TimeoutError."""
        waiting: Mapping[str, tuple[int, float]] = {}
        if self._is_on_duty():
            waiting = await self._waiting()
        for topic in self.topics:
            number, age_s = waiting.get(topic, (0, 0.0))
            metrics.DEAD_LETTERS_WAITING.labels(topic).set(number)
            metrics.DEAD_LETTERS_OLDEST_SECONDS.labels(topic).set(age_s)

    async def _waiting(self) -> Mapping[str, tuple[int, float]]:
        """Returns the number of waiting letters and the age of the oldest in seconds, by topic."""
        kafka = AIOKafkaConsumer(
            **self._connection.client_options(),
            group_id=self._connection.topic(REPLAY_GROUP),  # its offsets tell what was sent back
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=READ_BYTES,
        )
        admin = AIOKafkaAdminClient(**self._connection.client_options())
        try:
            await kafka.start()
            await admin.start()
            found: dict[str, tuple[int, float]] = {}
            for partition, (count, position) in (await self._positions(kafka, admin)).items():
                topic = self._connection.unprefixed(partition.topic).removesuffix(DLQ_SUFFIX)
                number, age_s = found.get(topic, (0, 0.0))
                oldest_s = await self._age_s(kafka, partition, position)
                found[topic] = (number + count, max(age_s, oldest_s))
            return found
        finally:
            await admin.close()
            await kafka.stop()

    async def _positions(
        self, kafka: AIOKafkaConsumer, admin: AIOKafkaAdminClient
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        """Returns the number of waiting letters and the offset of the first, by partition."""
        partitions = await self._partitions(admin)
        begins = await kafka.beginning_offsets(partitions)
        ends = await kafka.end_offsets(partitions)
        kept = [partition for partition in partitions if ends[partition] > begins[partition]]
        found: dict[TopicPartition, tuple[int, int]] = {}
        if not kept:
            return found
        # Waits for the group's coordinator, which begins on first use; the admin client does not wait.
        await kafka.committed(kept[0])
        group = self._connection.topic(REPLAY_GROUP)
        commits = await admin.list_consumer_group_offsets(group, partitions=kept)
        for partition in kept:
            begin = begins[partition]
            marks = HandledLetters.read(commits[partition].offset, commits[partition].metadata)
            if count := marks.waiting(begin=begin, end=ends[partition]):
                found[partition] = count, marks.from_offset(begin).before
        return found

    async def _partitions(self, admin: AIOKafkaAdminClient) -> list[TopicPartition]:
        names = {self._connection.topic(topic) + DLQ_SUFFIX for topic in self.topics}
        known = names & set(await admin.list_topics())
        described = await admin.describe_topics(sorted(known)) if known else []
        return [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        ]

    async def _age_s(self, kafka: AIOKafkaConsumer, partition: TopicPartition, position: int) -> float:
        kafka.assign([partition])
        kafka.seek(partition, position)
        read = await kafka.getmany(partition, timeout_ms=READ_TIMEOUT_MS, max_records=1)
        sent_ms = [message.timestamp for message in read.get(partition, ())]
        return max((self._clock().timestamp() - each / 1e3 for each in sent_ms), default=0.0)
