"""Dead letters as metrics, on every broker."""

from __future__ import annotations

from datetime import datetime, timedelta

from kappi_chassis.bus import KafkaConnection, Producer
from kappi_chassis.bus.dead_letter_watch import DeadLetterWatch
from kappi_chassis.bus.dead_letters import DeadLetterAdmin, DeadLetters
from kappi_chassis.bus.processor import Record
from kappi_chassis.clock import utc_now
from kappi_chassis.observability import metrics

TOPIC = "GalleryDeleted"


def in_an_hour() -> datetime:
    return utc_now() + timedelta(hours=1)


def waiting() -> tuple[float, bool]:
    """Returns the number of waiting letters, and whether the oldest has waited for about an hour."""
    age_s = metrics.DEAD_LETTERS_OLDEST_SECONDS.labels(TOPIC)._value.get()
    return metrics.DEAD_LETTERS_WAITING.labels(TOPIC)._value.get(), 3_600 <= age_s < 7_200


async def test_letters_count_until_they_are_sent_back(
    connection: KafkaConnection, producer: Producer
) -> None:
    on_duty = True
    watch = DeadLetterWatch(connection, is_on_duty=lambda: on_duty, clock=in_an_hour)
    letters = DeadLetters(producer, connection)
    await watch.look()
    assert waiting() == (0, False)
    for offset in range(3):
        record = Record(TOPIC, 0, offset, b"k", b"no event", ())
        await letters.send_to_dlq(record, group="tests", error=LookupError("a bug"))
    await watch.look()
    assert waiting() == (3, True)
    async with DeadLetterAdmin(connection) as admin:
        assert (await admin.replay(producer)).done == 3
    await watch.look()
    assert waiting() == (0, False)
    await letters.send_to_dlq(
        Record(TOPIC, 0, 9, b"k", b"no event", ()), group="tests", error=LookupError("a bug")
    )
    await watch.look()
    assert waiting() == (1, True)
    on_duty = False  # another process measures
    await watch.look()
    assert waiting() == (0, False)
