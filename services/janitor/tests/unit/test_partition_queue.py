"""Order, acknowledgements and failures between a stream and the Processor."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from kappi_chassis.bus import Record
from kappi_chassis.testing.eventually import eventually
from kappi_janitor.partition_queue import PartitionQueue


@dataclass(eq=False)
class FakeDelivery:
    record: Record
    acknowledged: list[int]
    stale: bool = False

    def acknowledge(self) -> None:
        self.acknowledged.append(self.record.offset)


@dataclass
class FakeProcessor:
    """Holds a record until its offset is released; notes beginnings and ends."""

    held: dict[int, asyncio.Event] = field(default_factory=dict)
    fails: dict[int, Exception] = field(default_factory=dict)
    begun: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    def hold(self, offset: int) -> asyncio.Event:
        return self.held.setdefault(offset, asyncio.Event())

    async def process(self, record: Record) -> None:
        self.begun.append(record.offset)
        if record.offset in self.held:
            await self.held[record.offset].wait()
        if record.offset in self.fails:
            raise self.fails[record.offset]
        self.ended.append(record.offset)


class Bench:
    def __init__(self, *, concurrency: int = 8, depth: int = 100) -> None:
        self.processor = FakeProcessor()
        self.queue = PartitionQueue(self.processor, concurrency=concurrency, depth=depth)  # type: ignore[arg-type]
        self.acknowledged: list[int] = []

    async def submit(self, *records: tuple[int, str], stale: bool = False) -> None:
        for offset, key in records:
            record = Record(topic="T", partition=0, offset=offset, key=key.encode(), value=b"", headers=())
            await self.queue.submit(FakeDelivery(record, self.acknowledged, stale=stale))

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.queue.run())


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_keys_go_side_by_side_and_a_key_keeps_its_order() -> None:
    bench = Bench()
    first = bench.processor.hold(0)
    await bench.submit((0, "a"), (1, "a"), (2, "b"))
    task = bench.start()

    def b_is_done_and_a_waits() -> None:
        assert bench.processor.ended == [2]
        assert bench.processor.begun == [0, 2]

    await eventually(b_is_done_and_a_waits)
    assert bench.acknowledged == [], "offset 2 must not stand for 0, which is not sealed"
    first.set()

    def all_in_order() -> None:
        assert bench.acknowledged == [0, 1, 2]

    await eventually(all_in_order)
    assert bench.processor.ended == [2, 0, 1]
    await stop(task)


async def test_stopping_halfway_acknowledges_only_what_nothing_unsealed_precedes() -> None:
    bench = Bench()
    bench.processor.hold(1)
    await bench.submit((0, "a"), (1, "b"), (2, "c"))
    task = bench.start()

    def two_are_sealed() -> None:
        assert sorted(bench.processor.ended) == [0, 2]

    await eventually(two_are_sealed)
    await stop(task)
    assert bench.acknowledged == [0]


async def test_a_failed_burial_ends_the_lane_and_nothing_after_it_is_acknowledged() -> None:
    bench = Bench()
    bench.processor.fails[1] = ConnectionError("the broker does not take it")
    await bench.submit((0, "a"), (1, "a"), (2, "a"), (3, "b"))
    with pytest.raises(ExceptionGroup) as caught:
        await bench.queue.run()
    assert caught.group_contains(ConnectionError)
    assert bench.acknowledged == [0]
    assert 2 not in bench.processor.begun


async def test_what_is_sealed_before_a_record_that_is_tried_again_need_not_wait_for_it() -> None:
    bench = Bench()
    bench.processor.hold(1)
    await bench.submit((0, "a"), (1, "b"), (2, "c"))
    task = bench.start()

    def the_first_is_acknowledged() -> None:
        assert sorted(bench.processor.ended) == [0, 2]
        assert bench.acknowledged == [0]

    await eventually(the_first_is_acknowledged)
    await stop(task)


async def test_what_a_rebalance_took_away_is_left_to_its_new_owner() -> None:
    bench = Bench()
    await bench.submit((0, "a"), stale=True)
    await bench.submit((1, "b"))
    task = bench.start()

    def only_ours() -> None:
        assert bench.acknowledged == [1]

    await eventually(only_ours)
    assert bench.processor.begun == [1]
    await stop(task)


async def test_a_full_lane_makes_the_stream_wait() -> None:
    bench = Bench(depth=2)
    held = bench.processor.hold(0)
    task = bench.start()
    await bench.submit((0, "a"), (1, "a"))
    third = asyncio.create_task(bench.submit((2, "a")))
    done, _ = await asyncio.wait([third], timeout=0.05)
    assert not done
    held.set()
    await asyncio.wait_for(third, 5)
    await stop(task)


async def test_no_more_keys_at_once_than_allowed() -> None:
    bench = Bench(concurrency=2)
    gates: list[Any] = [bench.processor.hold(offset) for offset in range(3)]
    await bench.submit((0, "a"), (1, "b"), (2, "c"))
    task = bench.start()

    def two_begun() -> None:
        assert len(bench.processor.begun) == 2

    await eventually(two_begun)
    for gate in gates:
        gate.set()

    def all_done() -> None:
        assert bench.acknowledged == [0, 1, 2]

    await eventually(all_done)
    await stop(task)
