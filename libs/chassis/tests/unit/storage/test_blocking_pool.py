from __future__ import annotations

import asyncio
import threading

import pytest
from kappi_chassis.storage import StorageUnavailable
from kappi_chassis.storage.blocking_pool import BlockingPool


async def test_a_call_that_hangs_times_out() -> None:
    pool = BlockingPool(name="t", threads=1, timeout_s=1)
    release = threading.Event()
    with pytest.raises(StorageUnavailable, match="did not answer"):
        await pool.run(release.wait)
    release.set()
    assert await pool.run(lambda: 7) == 7
    await pool.close()


async def test_the_timeout_includes_the_wait_for_a_thread() -> None:
    pool = BlockingPool(name="t", threads=1, timeout_s=0.05)
    release = threading.Event()
    ran = threading.Event()
    outcomes = await asyncio.gather(pool.run(release.wait), pool.run(ran.set), return_exceptions=True)
    release.set()
    await pool.close()
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 2
    assert not ran.is_set()  # no caller waits for it any more, so it must not run


async def test_the_number_of_threads_is_bounded() -> None:
    pool = BlockingPool(name="t", threads=3, timeout_s=5)
    together = threading.Barrier(3)
    names = await asyncio.gather(
        *(pool.run(lambda: (together.wait(2), threading.current_thread().name)[1]) for _ in range(9))
    )
    assert len(set(names)) == 3
    await pool.close()


async def test_cancelling_waits_for_a_call_that_has_begun() -> None:
    pool = BlockingPool(name="t", threads=1, timeout_s=5)
    begun, release, queued_ran = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        assert release.wait(5)
        raise ValueError("too late for anyone to see")

    running = asyncio.create_task(pool.run_to_its_end(call))
    queued = asyncio.create_task(pool.run_to_its_end(queued_ran.set))
    await asyncio.to_thread(begun.wait, 5)
    running.cancel()
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    assert not running.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not queued_ran.is_set()
    await pool.close()


async def test_a_call_may_be_cancelled_twice() -> None:
    pool = BlockingPool(name="t", threads=1, timeout_s=5)
    begun, release = threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        release.wait(5)

    running = asyncio.create_task(pool.run_to_its_end(call))
    await asyncio.to_thread(begun.wait, 5)
    for _ in range(2):
        running.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await running
    release.set()
    await pool.close()


async def test_a_closed_pool_is_unavailable() -> None:
    pool = BlockingPool(name="t", threads=1, timeout_s=1)
    await pool.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await pool.run(lambda: 1)
