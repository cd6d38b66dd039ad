"""What waits for the client of a stream."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from kappi_gateway.live.stream import End, Stream


class Wire:
    def __init__(self) -> None:
        self.cuts = 0
        self.stream = Stream(
            gallery_id=uuid4(),
            code="abcd",
            is_protected=False,
            joined=0,
            slot=0,
            cut=self.cut,
            most_waiting=2,
        )

    def cut(self) -> None:
        self.cuts += 1


async def test_what_waits_comes_in_order_and_before_the_end() -> None:
    stream = Wire().stream
    stream.put(b"a")
    stream.put(b"b")
    stream.end(End.DRAINED)
    stream.put(b"c")
    stream.end(End.LEFT)
    assert [await stream.read() for _ in range(3)] == [b"a", b"b", None]
    assert stream.ended is End.DRAINED


async def test_a_reader_is_woken() -> None:
    stream = Wire().stream
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    stream.put(b"a")
    assert await reading == b"a"
    ending = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    stream.end(End.ACCESS)
    assert await ending is None


async def test_a_client_that_does_not_read_is_cut_once() -> None:
    wire = Wire()
    for _ in range(5):
        wire.stream.put(b"a")
    assert wire.stream.ended is End.SLOW
    assert wire.cuts == 1
    assert [await wire.stream.read() for _ in range(3)] == [b"a", b"a", None]


async def test_a_slow_client_holds_no_copy_of_what_others_are_told() -> None:
    stream, chunk = Wire().stream, bytes(1_000)
    stream.put(chunk)
    stream.put(chunk)
    assert await stream.read() is chunk
