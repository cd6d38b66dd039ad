"""Blocking storage calls on a bounded set of threads, each bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from kappi_chassis.storage.contract import StorageUnavailable

P = ParamSpec("P")
T = TypeVar("T")


class BlockingPool:
    """A thread pool of its own, so that a slow store can starve nobody but its own callers."""

    def __init__(self, *, name: str, threads: int, timeout_s: float) -> None:
        """timeout_s: for one call, the wait for a free thread included."""
        self.threads = threads
        self._timeout_s = timeout_s
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`call(...)` on a thread. Raises StorageUnavailable when it takes too long or the pool is closed.

        A call that has begun cannot be stopped: it ends by its own timeouts, and its result is dropped.
        """
        try:
            future = self._executor.submit(call, *args, **kwargs)
        except RuntimeError as error:  # what ThreadPoolExecutor raises after shutdown
            raise StorageUnavailable("the store is closed") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise StorageUnavailable(f"the store did not answer within {self._timeout_s} s") from error

    async def close(self) -> None:
        """Wait for running calls, drop the queued ones."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
