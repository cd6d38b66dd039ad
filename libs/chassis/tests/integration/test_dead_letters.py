"""Dead letters one at a time: chosen, sent back, discarded; on every broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from kappi_chassis.bus import DeadLetters, KafkaConnection, Producer
from kappi_chassis.bus.dead_letters import Chosen, DeadLetter, DeadLetterAdmin
from kappi_chassis.bus.processor import Record

HEADERS = (("ce_id", b"7c1d"), ("ce_id", b"9e2f"), ("traceparent", b"00-ab"), ("other", b"\xff"))


async def send_to_dlq(
    producer: Producer,
    connection: KafkaConnection,
    *,
    topic: str = "GalleryDeleted",
    group: str = "media",
    event_id: str | None = None,
) -> str:
    """Makes a dead letter and returns the id of its event."""
    event_id = event_id or str(uuid4())
    headers = (("ce_id", event_id.encode()), ("dlq_error", b"of an earlier time"))
    record = Record(topic=topic, partition=2, offset=5, key=b"k", value=event_id.encode(), headers=headers)
    await DeadLetters(producer, connection).send_to_dlq(
        record, group=connection.topic(group), error=ValueError(f"the cause of {event_id}")
    )
    return event_id


async def waiting(connection: KafkaConnection, chosen: Chosen | None = None) -> list[DeadLetter]:
    async with DeadLetterAdmin(connection) as admin:
        return [letter async for letter in admin.letters(chosen or Chosen()) if not letter.handled]


def events(letters: Sequence[DeadLetter]) -> list[str | None]:
    return [letter.event_id for letter in letters]


async def sent_back(connection: KafkaConnection) -> list[bytes]:
    """Returns the contents of the topic of the events; with one key, in the order of their arrival."""
    reader = AIOKafkaConsumer(
        connection.topic("GalleryDeleted"), **connection.client_options(), auto_offset_reset="earliest"
    )
    await reader.start()
    await asyncio.sleep(0)  # stop() cancels itself if a task of start() has not run yet
    try:
        values: list[bytes] = []
        for partition, end in (await reader.end_offsets(reader.assignment())).items():
            while await reader.position(partition) < end:
                found = await reader.getmany(partition, timeout_ms=500)
                values += [message.value for message in found.get(partition, ())]
        return values
    finally:
        await reader.stop()


async def test_letters_are_chosen_by_id_event_topic_and_group(
    connection: KafkaConnection, producer: Producer
) -> None:
    first = await send_to_dlq(producer, connection)
    second = await send_to_dlq(producer, connection, group="janitor")
    third = await send_to_dlq(producer, connection, topic="MediaReady", group="galleries")
    letters = await waiting(connection)
    assert sorted(map(str, events(letters))) == sorted([first, second, third])
    by_event = {letter.event_id: letter for letter in letters}
    assert by_event[first].id.startswith("GalleryDeleted/0/")
    assert by_event[first].why("error") == f"the cause of {first}"
    for chosen, found in (
        (Chosen(ids=frozenset({by_event[second].id})), second),
        (Chosen(ids=frozenset({second, "MediaReady/0/99"})), second),
        (Chosen(topics=frozenset({"MediaReady"})), third),
        (Chosen(groups=frozenset({"janitor"})), second),
        (Chosen(groups=frozenset({connection.topic("janitor")})), second),
        (Chosen(topics=frozenset({"GalleryDeleted"}), groups=frozenset({"media"})), first),
    ):
        assert events(await waiting(connection, chosen)) == [found], chosen


async def test_one_letter_is_sent_back_once_and_the_others_wait(
    connection: KafkaConnection, producer: Producer
) -> None:
    first, second, third = [await send_to_dlq(producer, connection) for _ in range(3)]
    chosen = Chosen(ids=frozenset({second}))
    async with DeadLetterAdmin(connection) as admin:
        assert (await admin.replay(producer, chosen)).done == 1
    async with DeadLetterAdmin(connection) as admin:
        again = await admin.replay(producer, chosen)
    assert (again.done, again.before) == (0, 1)
    assert await sent_back(connection) == [second.encode()]
    assert events(await waiting(connection)) == [first, third]

    async with DeadLetterAdmin(connection) as admin:
        assert (await admin.replay(producer)).done == 2
        assert (await admin.replay(producer)).done == 0
    assert sorted(await sent_back(connection)) == sorted(each.encode() for each in (first, second, third))
    assert await waiting(connection) == []


async def test_a_discarded_letter_is_not_listed_and_not_sent_back(
    connection: KafkaConnection, producer: Producer
) -> None:
    first, second = [await send_to_dlq(producer, connection) for _ in range(2)]
    async with DeadLetterAdmin(connection) as admin:
        assert (await admin.discard(Chosen(ids=frozenset({first})))).done == 1
        assert events(await waiting(connection)) == [second]
        assert (await admin.discard(Chosen(ids=frozenset({first})))).before == 1
        assert (await admin.replay(producer)).done == 1
    assert await sent_back(connection) == [second.encode()]


async def test_the_original_headers_are_kept_whole(connection: KafkaConnection, producer: Producer) -> None:
    record = Record(topic="GalleryDeleted", partition=0, offset=1, key=None, value=None, headers=HEADERS)
    await DeadLetters(producer, connection).send_to_dlq(record, group="g", error=ValueError("no"))
    [letter] = await waiting(connection)
    assert letter.original_headers == HEADERS
    assert (letter.key, letter.value) == (None, b""), "a broker takes no record without key and value"


async def test_a_crash_before_the_mark_sends_a_letter_again_and_loses_none(
    connection: KafkaConnection, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [await send_to_dlq(producer, connection) for _ in range(2)]

    async def dies(*_: object) -> None:
        raise ConnectionResetError

    async with DeadLetterAdmin(connection) as admin:
        monkeypatch.setattr(admin._consumer, "commit", dies)
        with pytest.raises(ConnectionResetError):
            await admin.replay(producer)
    async with DeadLetterAdmin(connection) as admin:
        assert (await admin.replay(producer)).done == 2
    assert await sent_back(connection) == [first.encode(), first.encode(), second.encode()]


async def test_two_operators_at_once_keep_the_marks_of_both(
    connection: KafkaConnection, producer: Producer
) -> None:
    ids = [await send_to_dlq(producer, connection) for _ in range(3)]
    async with DeadLetterAdmin(connection) as one, DeadLetterAdmin(connection) as other:
        await one.discard(Chosen(ids=frozenset({ids[2]})))
        await other.discard(Chosen(ids=frozenset({ids[1]})))
        await one.discard(Chosen(ids=frozenset({ids[0]})))
    assert await waiting(connection) == []
