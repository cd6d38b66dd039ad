"""Records of other programs: handed over unread, with the same three fates."""

from __future__ import annotations

import pytest
from kappi_chassis.bus.foreign import ForeignProcessor, ForeignRecord
from kappi_chassis.bus.processor import Poison, Record, Transient

RECORD = Record(topic="arrivals", partition=2, offset=7, key=None, value=b"{}", headers=())


class Graves:
    def __init__(self) -> None:
        self.buried: list[Record] = []

    async def bury(self, record: Record, *, group: str, error: BaseException) -> None:
        self.buried.append(record)


@pytest.fixture
def graves() -> Graves:
    return Graves()


async def test_a_record_without_any_header_of_ours_reaches_its_handler_as_it_is(graves: Graves) -> None:
    seen: list[ForeignRecord] = []

    async def handler(incoming: ForeignRecord) -> bool:
        seen.append(incoming)
        return True

    processor = ForeignProcessor(group="g", topic="arrivals", handler=handler, dead_letters=graves)
    await processor.process(RECORD)
    assert processor.topics == ("arrivals",)
    (incoming,) = seen
    assert (incoming.id, incoming.value, incoming.traceparent) == ("arrivals/2/7", b"{}", None)
    assert graves.buried == []


async def test_poison_is_buried_and_what_may_work_later_is_tried_again(graves: Graves) -> None:
    failures = iter([Transient("not now"), Transient("still not")])
    attempts = 0

    async def handler(_: ForeignRecord) -> bool:
        nonlocal attempts
        attempts += 1
        raise next(failures, Poison("no JSON"))

    processor = ForeignProcessor(group="g", topic="arrivals", handler=handler, dead_letters=graves)
    await processor.process(RECORD)
    assert attempts == 3
    assert graves.buried == [RECORD]
