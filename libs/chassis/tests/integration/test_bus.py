"""The bus from commit to effect, on every broker: the crash windows and the three results of a record."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from kappi_chassis.bus import Consumer, KafkaConnection, Poison, Producer, Transient
from kappi_chassis.bus.dead_letters import DeadLetterAdmin
from kappi_chassis.bus.processor import Record
from kappi_chassis.inbox import once
from kappi_chassis.outbox import Outbox, Relay, UnitOfWork, replay
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually

ConsumerMaker = Callable[..., Consumer]


def gallery_deleted(gallery_id: UUID | None = None) -> GalleryDeleted:
    return GalleryDeleted(
        gallery_id=gallery_id or uuid4(), owner_id=None, reason="requested", deleted_at=datetime.now(UTC)
    )


class Seen:
    """A handler that records its events."""

    def __init__(self) -> None:
        self.events: list[Envelope[Any]] = []

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        self.events.append(envelope)
        return True

    @property
    def galleries(self) -> list[UUID]:
        return [event.data.gallery_id for event in self.events]


async def publish(outbox: Outbox, gallery_id: UUID, *, sequence: int = 1) -> None:
    async with outbox.begin() as unit:
        await unit.publish(gallery_deleted(gallery_id), sequence=sequence)


async def test_a_committed_event_reaches_the_consumer(
    outbox: Outbox, relay: Relay, make_consumer: ConsumerMaker, running: Background
) -> None:
    seen, gallery_id = Seen(), uuid4()
    running.start(outbox.run())
    running.start(relay.run())
    running.start(make_consumer(seen).run())
    await publish(outbox, gallery_id, sequence=4)

    async def arrived() -> None:
        assert seen.galleries == [gallery_id]

    await eventually(arrived, deadline_s=30)
    assert seen.events[0].sequence == 4
    assert seen.events[0].source == "/tests"


async def test_a_rolled_back_event_is_never_sent(
    outbox: Outbox, relay: Relay, make_consumer: ConsumerMaker, running: Background
) -> None:
    seen, gallery_id = Seen(), uuid4()  # one key: an event that should not be sent would come first
    running.start(relay.run())
    running.start(make_consumer(seen).run())

    async def fails_after_publishing() -> None:
        async with outbox.begin() as unit:
            await unit.publish(gallery_deleted(gallery_id), sequence=1)
            raise LookupError("the use case failed")

    with pytest.raises(LookupError):
        await fails_after_publishing()
    await publish(outbox, gallery_id, sequence=2)

    async def arrived() -> None:
        assert seen.events

    await eventually(arrived, deadline_s=30)
    assert [event.sequence for event in seen.events] == [2]


async def test_order_per_key_is_kept(
    outbox: Outbox, relay: Relay, make_consumer: ConsumerMaker, running: Background
) -> None:
    seen, galleries = Seen(), [uuid4() for _ in range(5)]
    for sequence in range(1, 21):
        for gallery_id in galleries:
            await publish(outbox, gallery_id, sequence=sequence)
    running.start(relay.run())
    running.start(make_consumer(seen).run())

    async def arrived() -> None:
        assert len(seen.events) == 100

    await eventually(arrived, deadline_s=30)
    for gallery_id in galleries:
        sequences = [event.sequence for event in seen.events if event.data.gallery_id == gallery_id]
        assert sequences == list(range(1, 21))


async def test_the_relay_sends_unmarked_events_again(
    url: str, outbox: Outbox, producer: Producer, make_consumer: ConsumerMaker, running: Background
) -> None:
    """Crash window: acknowledged by the broker, process gone before the row was marked."""

    class DiesBeforeMarking:
        async def send_batch(self, rows: Any) -> list[BaseException | None]:
            await producer.send_batch(rows)
            raise asyncio.CancelledError

    effects: Counter[int] = Counter()

    async def effect(_: UnitOfWork, envelope: Envelope[Any]) -> None:
        effects[envelope.sequence] += 1

    delivered, gallery_id = Seen(), uuid4()
    handle = once(outbox, consumer="tests", effect=effect)

    async def watch(envelope: Envelope[Any]) -> bool:
        outcome = await handle(envelope)
        await delivered(envelope)
        return outcome

    await publish(outbox, gallery_id, sequence=1)
    with pytest.raises(asyncio.CancelledError):
        await Relay(url, DiesBeforeMarking()).run()
    running.start(make_consumer(watch).run())
    running.start(Relay(url, producer).run())
    await publish(outbox, gallery_id, sequence=2)  # the same key, so it comes after all earlier ones

    async def arrived() -> None:
        assert [event.sequence for event in delivered.events] == [1, 1, 2]

    await eventually(arrived, deadline_s=30)
    assert effects == {1: 1, 2: 1}


async def test_a_crash_between_effect_and_offset_does_not_repeat_the_effect(
    outbox: Outbox, relay: Relay, make_consumer: ConsumerMaker, running: Background
) -> None:
    """The first consumer dies after its effect was committed and before its offset was."""
    effects: Counter[UUID] = Counter()
    gallery_id = uuid4()
    committed = asyncio.Event()

    async def effect(_: UnitOfWork, envelope: Envelope[Any]) -> None:
        effects[envelope.data.gallery_id] += 1

    handle = once(outbox, consumer="tests", effect=effect)

    async def handle_and_hang(envelope: Envelope[Any]) -> bool:
        await handle(envelope)
        committed.set()
        await asyncio.Event().wait()
        return True

    running.start(relay.run())
    first = running.start(make_consumer(handle_and_hang).run())
    await publish(outbox, gallery_id)
    async with asyncio.timeout(30):
        await committed.wait()
    await running.stop(first)
    delivered = Seen()

    async def watch(envelope: Envelope[Any]) -> bool:
        outcome = await handle(envelope)
        await delivered(envelope)
        return outcome

    running.start(make_consumer(watch).run())

    async def redelivered() -> None:
        assert gallery_id in delivered.galleries

    await eventually(redelivered, deadline_s=45)
    assert effects[gallery_id] == 1


async def test_an_acknowledged_record_is_not_delivered_again(
    outbox: Outbox, relay: Relay, make_consumer: ConsumerMaker, running: Background
) -> None:
    seen, again, gallery_id = Seen(), Seen(), uuid4()  # one key: earlier records would come first
    running.start(relay.run())
    first = running.start(make_consumer(seen).run())
    await publish(outbox, gallery_id, sequence=1)

    async def arrived() -> None:
        assert [event.sequence for event in seen.events] == [1]

    await eventually(arrived, deadline_s=30)
    await running.stop(first)
    running.start(make_consumer(again).run())
    await publish(outbox, gallery_id, sequence=2)

    async def second_arrived() -> None:
        assert again.events

    await eventually(second_arrived, deadline_s=45)
    assert [event.sequence for event in again.events] == [2]


async def test_a_transient_failure_waits_and_keeps_order(
    outbox: Outbox, relay: Relay, make_consumer: ConsumerMaker, running: Background
) -> None:
    seen, gallery_id, failures = Seen(), uuid4(), iter(range(3))

    async def fails_thrice(envelope: Envelope[Any]) -> bool:
        if next(failures, None) is not None:
            raise Transient("the store is away")
        return await seen(envelope)

    running.start(relay.run())
    running.start(make_consumer(fails_thrice).run())
    for sequence in (1, 2, 3):
        await publish(outbox, gallery_id, sequence=sequence)

    async def arrived() -> None:
        assert [event.sequence for event in seen.events] == [1, 2, 3]

    await eventually(arrived, deadline_s=30)


@pytest.mark.parametrize("error", [Poison("never"), ZeroDivisionError("a bug")], ids=["poison", "bug"])
async def test_poison_becomes_a_dead_letter_and_the_next_record_is_handled(
    error: Exception,
    outbox: Outbox,
    relay: Relay,
    make_consumer: ConsumerMaker,
    connection: KafkaConnection,
    producer: Producer,
    running: Background,
) -> None:
    seen, bad, good = Seen(), uuid4(), uuid4()
    mended = asyncio.Event()

    async def chokes(envelope: Envelope[Any]) -> bool:
        if envelope.data.gallery_id == bad and not mended.is_set():
            raise error
        return await seen(envelope)

    running.start(relay.run())
    running.start(make_consumer(chokes).run())
    await publish(outbox, bad)
    await publish(outbox, good)

    async def flowed() -> None:
        assert good in seen.galleries

    await eventually(flowed, deadline_s=30)

    async def letters() -> None:
        async with DeadLetterAdmin(connection) as admin:
            letters = [letter async for letter in admin.letters()]
        assert [letter.key for letter in letters] == [str(bad).encode()]
        assert letters[0].why("error") == str(error)
        assert letters[0].why("error_type") == type(error).__name__
        assert letters[0].why("topic") == "GalleryDeleted"

    await eventually(letters, deadline_s=30)
    mended.set()
    async with DeadLetterAdmin(connection) as admin:
        assert (await admin.replay(producer)).done == 1
        assert (await admin.replay(producer)).done == 0

    async def replayed() -> None:
        assert bad in seen.galleries

    await eventually(replayed, deadline_s=30)


async def test_a_record_that_is_no_event_becomes_a_dead_letter(
    connection: KafkaConnection, producer: Producer, make_consumer: ConsumerMaker, running: Background
) -> None:
    running.start(make_consumer(Seen()).run())
    await producer.send(connection.topic("GalleryDeleted"), key=b"k", value=b"not json", headers=())

    async def letters() -> None:
        async with DeadLetterAdmin(connection) as admin:
            letters = [letter async for letter in admin.letters()]
        assert [letter.value for letter in letters] == [b"not json"]

    await eventually(letters, deadline_s=30)


async def test_a_consumer_that_cannot_write_a_dead_letter_stops(
    connection: KafkaConnection, producer: Producer, make_consumer: ConsumerMaker
) -> None:
    class FailingDeadLetters:
        async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
            raise OSError(f"no dead letters for {record.topic}, {group}, {error}")

    consumer: Consumer = make_consumer(Seen(), dead_letters=FailingDeadLetters())
    await producer.send(connection.topic("GalleryDeleted"), key=b"k", value=b"not json", headers=())
    with pytest.raises(ExceptionGroup) as stopped:
        async with asyncio.timeout(30):
            await consumer.run()
    assert stopped.group_contains(OSError, match="no dead letters")


async def test_replay_delivers_every_event_once_more(
    url: str, outbox: Outbox, relay: Relay, make_consumer: ConsumerMaker, running: Background
) -> None:
    seen, galleries = Seen(), [uuid4() for _ in range(7)]
    running.start(relay.run())
    running.start(make_consumer(seen).run())
    for gallery_id in galleries:
        await publish(outbox, gallery_id)

    async def arrived() -> None:
        assert len(seen.events) == 7

    await eventually(arrived, deadline_s=30)
    pool = await asyncpg.connect(url)

    async def all_marked() -> None:
        assert await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0

    await eventually(all_marked, deadline_s=30)  # the consumer may be faster than the relay's mark
    now = await pool.fetchval("SELECT clock_timestamp()")
    start = await pool.fetchval("SELECT min(occurred_at) FROM outbox")
    await pool.close()
    pages = [await replay(url, since=start, sent_before=now, limit=3) for _ in range(4)]
    assert sum(pages) == 7
    assert pages[-1] in (0, 1)

    async def twice() -> None:
        assert Counter(seen.galleries) == dict.fromkeys(galleries, 2)

    await eventually(twice, deadline_s=30)


async def test_two_relays_send_each_event_once(
    url: str, outbox: Outbox, producer: Producer, make_consumer: ConsumerMaker, running: Background
) -> None:
    seen, galleries = Seen(), [uuid4() for _ in range(50)]
    for _ in range(2):
        running.start(Relay(url, producer).run())
    running.start(make_consumer(seen).run())
    await asyncio.gather(*(publish(outbox, gallery_id) for gallery_id in galleries))

    async def arrived() -> None:
        assert set(seen.galleries) == set(galleries)

    await eventually(arrived, deadline_s=30)
    assert len(seen.events) == 50
