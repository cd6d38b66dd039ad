"""Effects of a batch on a real database: once each, all or none, and one by one after a failure."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from kappi_chassis.bus import Consumer, KafkaConnection, Producer
from kappi_chassis.bus.dead_letters import DeadLetterAdmin
from kappi_chassis.bus.processor import Poison, Transient
from kappi_chassis.inbox import once, once_together
from kappi_chassis.outbox import BatchUnit, Outbox, UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually
from sqlalchemy import text

ConsumerMaker = Callable[..., Consumer]
Handler = Any


def event(sequence: int = 1, gallery_id: UUID | None = None) -> Envelope[GalleryDeleted]:
    return Envelope(
        id=uuid4(),
        source="/tests",
        time=datetime.now(UTC),
        sequence=sequence,
        data=GalleryDeleted(
            gallery_id=gallery_id or uuid4(),
            owner_id=None,
            reason="requested",
            deleted_at=datetime.now(UTC),
        ),
    )


class Effects:
    """The same effect in both forms: a row of the outbox for each event, so that it commits with it."""

    def __init__(self) -> None:
        self.failures: dict[UUID, Exception] = {}
        self.batches: list[int] = []

    async def one(self, unit: UnitOfWork, envelope: Envelope[Any]) -> None:
        await unit.connection.execute(text("SELECT 1"))
        self._act(unit, envelope)

    async def many(self, unit: BatchUnit, envelopes: Sequence[Envelope[Any]]) -> None:
        self.batches.append(len(envelopes))
        for envelope in envelopes:
            self._act(unit, envelope)

    def _act(self, unit: Any, envelope: Envelope[Any]) -> None:
        if failure := self.failures.get(envelope.id):
            raise failure
        unit.publish_rows([(unit._outbox.row(envelope.data), envelope.sequence)])


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture(params=["one", "many"])
def handler(request: pytest.FixtureRequest, outbox: Outbox, effects: Effects) -> Handler:
    if request.param == "one":
        return once(outbox, consumer="tests", effect=effects.one)
    return once_together(outbox, consumer="tests", effect=effects.many)


@pytest.fixture
async def rows(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def published(rows: Any) -> list[UUID]:
    """Returns the galleries of the effects, in their order."""
    return [UUID(row["key"]) for row in await rows.fetch("SELECT key FROM outbox ORDER BY id")]


async def test_each_event_has_its_effect_once(handler: Handler, rows: Any) -> None:
    """An event twice in a batch, one that was handled before, and a whole batch again."""
    first, second, third = event(), event(), event()
    assert await handler.handle_all([first]) == [True]
    assert await handler.handle_all([first, second, third, second]) == [False, True, True, False]
    assert await handler.handle_all([second, third, first]) == [False, False, False]
    assert await handler(first) is False
    assert await published(rows) == [each.data.gallery_id for each in (first, second, third)]


async def test_a_batch_that_fails_has_no_effect(handler: Handler, effects: Effects, rows: Any) -> None:
    events = [event() for _ in range(3)]
    effects.failures[events[2].id] = Poison("never")
    with pytest.raises(Poison):
        await handler.handle_all(events)
    assert await published(rows) == []
    assert await handler.handle_all(events[:2]) == [True, True]  # nothing was recorded either


async def test_two_consumers_with_the_same_events_have_one_effect_each(handler: Handler, rows: Any) -> None:
    """After a rebalance the old and the new owner of a partition may have the same batch in hand."""
    events = [event() for _ in range(50)]
    news = await asyncio.gather(*(handler.handle_all(each) for each in (events, events[::-1])))
    assert sum(map(sum, news)) == 50
    assert Counter(await published(rows)) == {each.data.gallery_id: 1 for each in events}


async def test_what_follows_a_commit_is_called_only_for_news(outbox: Outbox, effects: Effects) -> None:
    calls: list[str] = []

    def called() -> None:
        calls.append("called")

    for handle in (
        once(outbox, consumer="one", effect=effects.one, then=called),
        once_together(outbox, consumer="many", effect=effects.many, then=called),
    ):
        found = [event(), event()]
        await handle.handle_all(found)
        await handle.handle_all(found)
        assert calls == ["called"]
        calls.clear()


async def send(producer: Producer, connection: KafkaConnection, envelope: Envelope[Any]) -> None:
    await producer.send(
        connection.topic("GalleryDeleted"),
        key=envelope.key.encode(),
        value=envelope.value(),
        headers=envelope.headers(),
    )


async def test_a_poison_event_alone_is_dead_lettered_and_order_per_key_stays(
    handler: Handler,
    effects: Effects,
    rows: Any,
    connection: KafkaConnection,
    producer: Producer,
    make_consumer: ConsumerMaker,
    running: Background,
) -> None:
    galleries = [uuid4() for _ in range(5)]
    events = [event(sequence, gallery_id) for sequence in range(1, 9) for gallery_id in galleries]
    poison, passing = events[12], events[21]
    effects.failures = {poison.id: Poison("never"), passing.id: Transient("later")}
    for each in events:
        await send(producer, connection, each)
    running.start(make_consumer(handler).run())

    async def others_are_handled() -> None:
        assert len(await published(rows)) >= len(events) - 5  # those after `passing` wait for it

    await eventually(others_are_handled, deadline_s=30)
    del effects.failures[passing.id]

    async def all_are_handled() -> None:
        assert len(await published(rows)) == len(events) - 1
        async with DeadLetterAdmin(connection) as admin:
            assert [letter.event_id async for letter in admin.letters()] == [str(poison.id)]

    await eventually(all_are_handled, deadline_s=30)
    for gallery_id in galleries:
        found = await rows.fetch("SELECT sequence FROM outbox WHERE key = $1 ORDER BY id", str(gallery_id))
        wanted = [each.sequence for each in events if each.data.gallery_id == gallery_id and each != poison]
        assert [row["sequence"] for row in found] == wanted


async def test_a_crash_between_the_commit_of_a_batch_and_its_offsets_repeats_no_effect(
    handler: Handler,
    rows: Any,
    connection: KafkaConnection,
    producer: Producer,
    make_consumer: ConsumerMaker,
    running: Background,
) -> None:
    events = [event() for _ in range(20)]

    class HangsAfterTheCommit:
        async def __call__(self, envelope: Envelope[Any]) -> bool:
            raise AssertionError("no batch fails here")

        async def handle_all(self, envelopes: Sequence[Envelope[Any]]) -> Sequence[bool]:
            await handler.handle_all(envelopes)
            await asyncio.Event().wait()
            raise AssertionError

    class Watched:
        def __init__(self) -> None:
            self.fates: list[bool] = []

        async def __call__(self, envelope: Envelope[Any]) -> bool:
            return bool((await self.handle_all([envelope]))[0])

        async def handle_all(self, envelopes: Sequence[Envelope[Any]]) -> Sequence[bool]:
            news = await handler.handle_all(envelopes)
            self.fates += news
            return list(news)

    for each in events:
        await send(producer, connection, each)
    dying = running.start(make_consumer(HangsAfterTheCommit()).run())

    async def committed() -> None:
        assert await published(rows)

    await eventually(committed, deadline_s=30)
    before = len(await published(rows))
    await running.stop(dying)
    successor = Watched()
    running.start(make_consumer(successor).run())

    def all_arrived() -> None:
        assert len(successor.fates) == len(events)

    await eventually(all_arrived, deadline_s=45)
    assert successor.fates.count(False) == before
    assert Counter(await published(rows)) == {each.data.gallery_id: 1 for each in events}
