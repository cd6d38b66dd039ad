from __future__ import annotations

import asyncio
import threading

import pytest
from kappi_chassis.storage import StorageUnavailable
from kappi_chassis.storage.offload import BlockingPool


async def test_a_call_that_hangs_is_given_up() -> None:
    pool = BlockingPool(name="t", threads=1, timeout_s=1)
    release = threading.Event()
    with pytest.raises(StorageUnavailable, match="did not answer"):
        await pool.run(release.wait)
    release.set()
    assert await pool.run(lambda: 7) == 7
    await pool.close()


async def test_the_wait_for_a_thread_counts() -> None:
    pool = BlockingPool(name="t", threads=1, timeout_s=0.05)
    release = threading.Event()
    ran = threading.Event()
    outcomes = await asyncio.gather(pool.run(release.wait), pool.run(ran.set), return_exceptions=True)
    release.set()
    await pool.close()
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 2
    assert not ran.is_set()  # nobody waits for it any more, so it must not run


async def test_no_more_threads_than_asked_for() -> None:
    pool = BlockingPool(name="t", threads=3, timeout_s=5)
    together = threading.Barrier(3)
    names = await asyncio.gather(
        *(pool.run(lambda: (together.wait(2), threading.current_thread().name)[1]) for _ in range(9))
    )
    assert len(set(names)) == 3
    await pool.close()


async def test_closed_means_unavailable() -> None:
    pool = BlockingPool(name="t", threads=1, timeout_s=1)
    await pool.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await pool.run(lambda: 1)
