"""Dead letters: `<topic>.dlq` contains the record as it was and the failure. Sends, lists and replays
them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from kappi_contracts.kafka_access import REPLAY_GROUP
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS

from kappi_chassis.bus.connection import KafkaConnection
from kappi_chassis.bus.processor import Record
from kappi_chassis.bus.producer import Producer
from kappi_chassis.clock import Clock, utc_now

MAX_ERROR_CHARACTERS = 1_000
READ_TIMEOUT_MS = 1_000


class DeadLetters:
    """Sends records to the dead letters; the producer's acknowledgement comes before the consumer's offset
    moves.
    """

    def __init__(self, producer: Producer, connection: KafkaConnection, *, clock: Clock = utc_now) -> None:
        self._producer = producer
        self._connection = connection
        self._clock = clock

    async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
        """Sends a record to its dead-letter topic. Raises KafkaError or OSError when the broker does not take
        it.
        """
        why = {
            "dlq_error": str(error)[:MAX_ERROR_CHARACTERS],
            "dlq_error_type": type(error).__name__,
            "dlq_group": group,
            "dlq_topic": record.topic,
            "dlq_partition": str(record.partition),
            "dlq_offset": str(record.offset),
            "dlq_failed_at": self._clock().isoformat(),
        }
        original = tuple((name, value) for name, value in record.headers if not name.startswith("dlq_"))
        await self._producer.send(
            self._connection.topic(record.topic) + DLQ_SUFFIX,
            key=record.key,
            value=record.value,
            headers=(*original, *((name, text.encode()) for name, text in why.items())),
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, as read back. headers: include the `dlq_*` ones.

    authentic: it has a MAC of this deployment, or is of an external topic. Only authentic letters are sent
    back.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    replayed: bool
    authentic: bool

    def why(self, name: str) -> str:
        return dict(self.headers).get(f"dlq_{name}", b"").decode(errors="replace")


class DeadLetterAdmin:
    """The operator's side: lists dead letters, and sends them back once their cause is fixed.

    foreign: external topics that are read beside those of the registry.
    """

    def __init__(self, connection: KafkaConnection, *, foreign: Sequence[str] = ()) -> None:
        self._connection = connection
        self._foreign = foreign
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> DeadLetterAdmin:
        consumer = AIOKafkaConsumer(
            **self._connection.client_options(),
            group_id=self._connection.topic(REPLAY_GROUP),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def letters(self) -> AsyncIterator[DeadLetter]:
        """Yields all dead letters that are still kept, oldest first within a partition."""
        assert self._consumer is not None
        for partition in await self._partitions():
            self._consumer.assign([partition])
            committed = await self._consumer.committed(partition) or 0
            begins = await self._consumer.beginning_offsets([partition])
            ends = await self._consumer.end_offsets([partition])
            # An explicit seek: `seek_to_beginning` races with the reset that `assign` has begun.
            self._consumer.seek(partition, begins[partition])
            while await self._consumer.position(partition) < ends[partition]:
                found = await self._consumer.getmany(partition, timeout_ms=READ_TIMEOUT_MS)
                for message in found.get(partition, ()):
                    yield self._letter(message, replayed=message.offset < committed)

    async def replay(self, producer: Producer) -> int:
        """Sends every authentic letter not yet replayed back to its topic, in order. Returns the number sent.

        Each keeps its MAC. The position moves after each acknowledgement, so a crash repeats at most one
        letter.
        """
        assert self._consumer is not None
        waiting = [letter async for letter in self.letters() if letter.authentic and not letter.replayed]
        for letter in waiting:
            headers = tuple(header for header in letter.headers if not header[0].startswith("dlq_"))
            await producer.send(
                letter.topic.removesuffix(DLQ_SUFFIX), key=letter.key, value=letter.value, headers=headers
            )
            partition = TopicPartition(letter.topic, letter.partition)
            self._consumer.assign([partition])
            await self._consumer.commit({partition: letter.offset + 1})
        return len(waiting)

    def _letter(self, message: Any, *, replayed: bool) -> DeadLetter:
        topic = self._connection.unprefixed(message.topic).removesuffix(DLQ_SUFFIX)
        headers = tuple(message.headers)
        return DeadLetter(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=headers,
            replayed=replayed,
            authentic=topic in self._foreign
            or self._connection.mac.accepts(
                topic=topic, key=message.key, value=message.value, headers=headers
            ),
        )

    async def _partitions(self) -> list[TopicPartition]:
        read = [*(topic.name for topic in TOPICS), *self._foreign]
        names = {self._connection.topic(name) + DLQ_SUFFIX for name in read}
        admin = AIOKafkaAdminClient(**self._connection.client_options())
        await admin.start()
        try:
            known = names & set(await admin.list_topics())
            described = await admin.describe_topics(sorted(known)) if known else []
        finally:
            await admin.close()
        return [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in sorted(topic["partitions"], key=lambda entry: entry["partition"])
        ]


def failed_at(letter: DeadLetter) -> datetime:
    """Returns when it became a dead letter; the epoch if the header is missing."""
    text = letter.why("failed_at")
    return datetime.fromisoformat(text) if text else datetime.fromtimestamp(0, UTC)
