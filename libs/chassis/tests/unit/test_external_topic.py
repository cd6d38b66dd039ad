"""Records of other programs: passed on undecoded, with the same three results."""

from __future__ import annotations

import pytest
from kappi_chassis.bus.external_topic import ForeignProcessor, ForeignRecord
from kappi_chassis.bus.processor import Poison, Record, Transient

RECORD = Record(topic="arrivals", partition=2, offset=7, key=None, value=b"{}", headers=())


class DeadLettersOfTest:
    def __init__(self) -> None:
        self.letters: list[Record] = []

    async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
        self.letters.append(record)


@pytest.fixture
def dead_letters() -> DeadLettersOfTest:
    return DeadLettersOfTest()


async def test_a_record_without_kappi_headers_reaches_its_handler_unchanged(
    dead_letters: DeadLettersOfTest,
) -> None:
    seen: list[ForeignRecord] = []

    async def handler(incoming: ForeignRecord) -> bool:
        seen.append(incoming)
        return True

    processor = ForeignProcessor(group="g", topic="arrivals", handler=handler, dead_letters=dead_letters)
    await processor.process(RECORD)
    assert processor.topics == ("arrivals",)
    (incoming,) = seen
    assert (incoming.id, incoming.value, incoming.traceparent) == ("arrivals/2/7", b"{}", None)
    assert dead_letters.letters == []


async def test_poison_becomes_a_dead_letter_and_transient_failures_are_retried(
    dead_letters: DeadLettersOfTest,
) -> None:
    failures = iter([Transient("not now"), Transient("still not")])
    attempts = 0

    async def handler(_: ForeignRecord) -> bool:
        nonlocal attempts
        attempts += 1
        raise next(failures, Poison("no JSON"))

    processor = ForeignProcessor(group="g", topic="arrivals", handler=handler, dead_letters=dead_letters)
    await processor.process(RECORD)
    assert attempts == 3
    assert dead_letters.letters == [RECORD]
