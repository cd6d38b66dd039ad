"""Dead letters: `<topic>.dlq` contains the record as it was and the failure. Sends, lists, replays and
discards them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from kappi_contracts.envelope import Headers
from kappi_contracts.kafka_access import REPLAY_GROUP
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS

from kappi_chassis.bus.connection import KafkaConnection
from kappi_chassis.bus.handled_letters import HandledLetters
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
            # aiokafka sends no record without key and value.
            value=b"" if record.key is None and record.value is None else record.value,
            headers=(*original, *((name, text.encode()) for name, text in why.items())),
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, as read back. headers: include the `dlq_*` ones.

    event: its topic, without the deployment's prefix and the suffix. handled: it was sent back or discarded.
    authentic: it has a MAC of this deployment, or is of an external topic. Only authentic letters are sent
    back.
    """

    event: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    handled: bool
    authentic: bool

    @property
    def id(self) -> str:
        """The letter's own id: an event may become a dead letter more than once."""
        return f"{self.event}/{self.partition}/{self.offset}"

    @property
    def event_id(self) -> str | None:
        return self.header("ce_id") or None

    @property
    def original_headers(self) -> Headers:
        return tuple(header for header in self.headers if not header[0].startswith("dlq_"))

    def why(self, name: str) -> str:
        return self.header(f"dlq_{name}")

    def header(self, name: str) -> str:
        """Returns the text of a header; empty if the letter does not have it."""
        return (dict(self.headers).get(name) or b"").decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice of dead letters; an empty part chooses all.

    ids: of letters or of events. topics: of events, without the prefix. groups: with or without the prefix.
    """

    ids: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    def includes(self, letter: DeadLetter, *, group: str) -> bool:
        """Returns whether a letter is chosen. group: the letter's, without the prefix."""
        return (
            (not self.ids or letter.id in self.ids or letter.event_id in self.ids)
            and (not self.topics or letter.event in self.topics)
            and (not self.groups or group in self.groups or letter.why("group") in self.groups)
        )


ALL = Chosen()


@dataclass(slots=True)
class Outcome:
    """The outcome of an action on chosen letters.

    before: letters that were handled before. foreign: letters without a MAC of this deployment, which are not
    sent back.
    """

    done: int = 0
    before: int = 0
    foreign: int = 0


class DeadLetterAdmin:
    """The operator's side: lists dead letters, and sends them back or discards them.

    A letter stays in its topic until the retention removes it; marks say which letters are handled. Each mark
    is written after its action, so a crash repeats at most one letter, which consumers ignore.

    foreign: external topics that are read beside those of the registry.
    """

    def __init__(self, connection: KafkaConnection, *, foreign: Sequence[str] = ()) -> None:
        self._connection = connection
        self._foreign = foreign
        self._group = connection.topic(REPLAY_GROUP)
        self._consumer: AIOKafkaConsumer
        self._admin: AIOKafkaAdminClient

    async def __aenter__(self) -> DeadLetterAdmin:
        self._admin = AIOKafkaAdminClient(**self._connection.client_options())
        self._consumer = AIOKafkaConsumer(
            **self._connection.client_options(),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await self._admin.start()
            await self._consumer.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def letters(self, chosen: Chosen = ALL) -> AsyncIterator[DeadLetter]:
        """Yields all dead letters that are still kept, oldest first within a partition."""
        for partition in await self._partitions(chosen.topics):
            self._consumer.assign([partition])
            begins = await self._consumer.beginning_offsets([partition])
            ends = await self._consumer.end_offsets([partition])
            # Waits for the group's coordinator, which begins on first use; the admin client does not wait.
            await self._consumer.committed(partition)
            marks = await self._marks(partition)
            # An explicit seek: `seek_to_beginning` races with the reset that `assign` has begun.
            self._consumer.seek(partition, begins[partition])
            while await self._consumer.position(partition) < ends[partition]:
                found = await self._consumer.getmany(partition, timeout_ms=READ_TIMEOUT_MS)
                for message in found.get(partition, ()):
                    letter = self._letter(message, handled=message.offset in marks)
                    if chosen.includes(letter, group=self._connection.unprefixed(letter.why("group"))):
                        yield letter

    async def replay(self, producer: Producer, chosen: Chosen = ALL) -> Outcome:
        """Sends every chosen, authentic letter that is not handled back to its topic, in order and with its
        original headers. Letters that arrive meanwhile are left.

        Raises KafkaError, OSError, MarksFull.
        """

        async def send_back(letter: DeadLetter) -> None:
            await producer.send(
                letter.topic.removesuffix(DLQ_SUFFIX),
                key=letter.key,
                value=letter.value,
                headers=letter.original_headers,
            )

        outcome = Outcome()
        async for letter in self.letters(chosen):
            if letter.handled:
                outcome.before += 1
            elif not letter.authentic:
                outcome.foreign += 1
            else:
                await self._handle(letter, by=send_back)
                outcome.done += 1
        return outcome

    async def discard(self, chosen: Chosen) -> Outcome:
        """Marks every chosen letter as handled, authentic or not. Raises KafkaError, OSError, MarksFull."""

        async def nothing(_: DeadLetter) -> None:
            pass

        outcome = Outcome()
        async for letter in self.letters(chosen):
            if letter.handled:
                outcome.before += 1
            else:
                await self._handle(letter, by=nothing)
                outcome.done += 1
        return outcome

    async def _handle(self, letter: DeadLetter, *, by: Callable[[DeadLetter], Awaitable[None]]) -> None:
        """Does an action and marks the letter. The marks are read again each time, for other operators."""
        partition = TopicPartition(letter.topic, letter.partition)
        marks = (await self._marks(partition)).with_offset(letter.offset)
        metadata = marks.metadata()
        await by(letter)
        await self._consumer.commit({partition: (marks.before, metadata)})

    async def _marks(self, partition: TopicPartition) -> HandledLetters:
        begins = await self._consumer.beginning_offsets([partition])
        committed = await self._admin.list_consumer_group_offsets(self._group, partitions=[partition])
        found = committed[partition]
        return HandledLetters.read(found.offset, found.metadata).from_offset(begins[partition])

    def _letter(self, message: Any, *, handled: bool) -> DeadLetter:
        event = self._connection.unprefixed(message.topic).removesuffix(DLQ_SUFFIX)
        headers = tuple(message.headers)
        return DeadLetter(
            event=event,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=headers,
            handled=handled,
            authentic=event in self._foreign
            or self._connection.mac.accepts(
                topic=event, key=message.key, value=message.value, headers=headers
            ),
        )

    async def _partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """Returns the partitions of the dead letters of some topics, or of all."""
        read = [*(topic.name for topic in TOPICS), *self._foreign]
        names = {self._connection.topic(name) + DLQ_SUFFIX for name in read if not topics or name in topics}
        known = names & set(await self._admin.list_topics())
        described = await self._admin.describe_topics(sorted(known)) if known else []
        return [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in sorted(topic["partitions"], key=lambda entry: entry["partition"])
        ]
