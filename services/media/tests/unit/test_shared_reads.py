"""Many callers share a read of one row, and none gets an answer from before its call."""

from __future__ import annotations

import asyncio

import pytest
from kappi_media.shared_reads import SharedReads


class Source:
    """A row that counts its reads. Each waits until it is released."""

    def __init__(self) -> None:
        self.version = 0
        self.began = 0
        self.failure: Exception | None = None
        self.released = asyncio.Event()

    async def read(self, _key: str) -> int:
        self.began += 1
        version = self.version
        await asyncio.sleep(0)
        await self.released.wait()
        if self.failure is not None:
            raise self.failure
        return version


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def reads(source: Source) -> SharedReads[str, int]:
    return SharedReads(source.read)


async def _turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_caller_alone_reads_each_time(source: Source, reads: SharedReads[str, int]) -> None:
    source.released.set()
    for source.version in range(3):
        assert await reads("a") == source.version
    assert (source.began, len(reads)) == (3, 0)


async def test_no_answer_is_older_than_its_call(source: Source, reads: SharedReads[str, int]) -> None:
    first = asyncio.create_task(reads("a"))
    await _turn()
    source.version = 1
    later = [asyncio.create_task(reads("a")) for _ in range(5)]
    await _turn()
    assert source.began == 1
    source.released.set()
    assert await first == 0
    assert await asyncio.gather(*later) == [1] * 5
    assert source.began == 2


async def test_reads_do_not_grow_with_callers(source: Source, reads: SharedReads[str, int]) -> None:
    source.released.set()
    for callers in (10, 100):
        source.began = 0
        await asyncio.gather(*(reads(f"of {callers}") for _ in range(callers)))
        assert source.began == 2


async def test_callers_of_a_shared_read_share_the_next_one_too(
    source: Source, reads: SharedReads[str, int]
) -> None:
    first = [asyncio.create_task(reads("a")) for _ in range(2)]
    await _turn()
    source.released.set()
    await first[0]
    source.released.clear()
    await _turn()  # the read of the second has begun
    source.version = 1
    later = [asyncio.create_task(reads("a")) for _ in range(9)]
    await _turn()
    source.released.set()
    assert await first[1] == 0
    assert await asyncio.gather(*later) == [1] * 9
    assert source.began == 3
    await _turn()
    assert len(reads) == 0


async def test_keys_do_not_wait_for_each_other(source: Source, reads: SharedReads[str, int]) -> None:
    calls = [asyncio.create_task(reads(key)) for key in "abc"]
    await _turn()
    assert source.began == 3
    source.released.set()
    assert await asyncio.gather(*calls) == [0, 0, 0]


async def test_a_failure_reaches_the_callers_of_its_read_alone(
    source: Source, reads: SharedReads[str, int]
) -> None:
    calls = [asyncio.create_task(reads("a")) for _ in range(3)]
    await _turn()
    source.failure = LookupError()
    source.released.set()
    assert [type(each) for each in await asyncio.gather(*calls, return_exceptions=True)] == [LookupError] * 3
    source.failure = None
    assert await reads("b") == 0


async def test_callers_that_leave_take_no_answer_from_the_others(
    source: Source, reads: SharedReads[str, int]
) -> None:
    leader, leaving, staying = [asyncio.create_task(reads("a")) for _ in range(3)]
    await _turn()
    leader.cancel()
    leaving.cancel()
    source.released.set()
    assert await staying == 0
    assert source.began == 2
