"""Blocking storage calls on a limited number of threads, each limited in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from kappi_chassis.storage.contract import StorageUnavailable

P = ParamSpec("P")
T = TypeVar("T")


class BlockingPool:
    """A separate thread pool, so that a slow store can delay only its own callers."""

    def __init__(self, *, name: str, threads: int, timeout_s: float) -> None:
        """timeout_s: seconds for one call, including the wait for a free thread."""
        self.threads = threads
        self._timeout_s = timeout_s
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `call(...)` on a thread. Raises StorageUnavailable if it takes too long or the pool is closed.

        A call that has begun cannot be stopped: it ends by its own timeouts, and its result is dropped.
        """
        return await self._answer(self._submit(partial(call, *args, **kwargs)))

    async def run_to_its_end(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Does the same as `run`, but a cancellation waits for the end of a call that has begun.

        It is for calls that must be over before the next step. A second cancellation does not wait.
        """
        future = self._submit(partial(call, *args, **kwargs))
        try:
            return await self._answer(future)
        except asyncio.CancelledError:
            if not future.cancel():
                await asyncio.gather(asyncio.wrap_future(future), return_exceptions=True)
            raise

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        try:
            return self._executor.submit(call)
        except RuntimeError as error:  # ThreadPoolExecutor raises it after shutdown
            raise StorageUnavailable("the store is closed") from error

    async def _answer(self, future: Future[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise StorageUnavailable(f"the store did not answer within {self._timeout_s} s") from error

    async def close(self) -> None:
        """Waits for running calls and drops the queued ones."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
