"""Hashes and checks passwords: argon2id, off the event loop, one at a time, callers in turn."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from kappi_chassis.fair_queue import FairQueue, NoPlace, Shares
from kappi_chassis.observability import metrics
from kappi_chassis.problems import Unavailable
from kappi_chassis.settings import PasswordSettings

NICENESS = 15
PARALLELISM = 1
SALT_BYTES, DIGEST_BYTES = 16, 32
RETRY_AFTER_S = 2

T = TypeVar("T")


class PasswordsBusy(Unavailable):
    """The queue of passwords is full, or this address or account holds its share of it."""

    code, title = "busy", "Too many passwords are being checked at the moment"


class Passwords:
    """One thread at a low priority, so that many passwords take only idle processor time.

    time_cost, memory_kib: of argon2id (RFC 9106). longest_queue: greatest number of passwords in work or
    waiting; share: greatest number for one address or account; beyond either every method raises
    PasswordsBusy. Addresses are served in turn: a caller waits for one password of each other address,
    however many those have sent. A password whose client left before its turn costs nothing.
    """

    def __init__(self, *, time_cost: int, memory_kib: int, longest_queue: int, share: int) -> None:
        self._hasher = PasswordHasher(
            time_cost=time_cost,
            memory_cost=memory_kib,
            parallelism=PARALLELISM,
            hash_len=DIGEST_BYTES,
            salt_len=SALT_BYTES,
            type=Type.ID,
        )
        self._nobodys = _nobodys_hash(time_cost=time_cost, memory_kib=memory_kib)
        self._queue = FairQueue(places=longest_queue, share=share)
        self._executor = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="passwords", initializer=_step_back
        )

    @classmethod
    def of(cls, settings: PasswordSettings) -> Passwords:
        """Returns the hasher that the settings describe."""
        return cls(
            time_cost=settings.password_time_cost,
            memory_kib=settings.password_memory_kib,
            longest_queue=settings.password_queue,
            share=settings.password_share,
        )

    async def hash(self, password: str, *, shares: Shares) -> str:
        """Returns the encoded hash, parameters and salt included. shares: the limits that it counts for."""
        return await self._run(lambda: self._hasher.hash(password), shares)

    async def matches(self, password: str, *, stored: str | None, shares: Shares) -> bool:
        """Whether `stored` is the hash of the password. shares: the limits that it counts for.

        stored: None if there is no hash to compare with: the check then takes the same time and is False.
        """
        return await self._run(lambda: self._matches(password, stored or self._nobodys), shares)

    def is_outdated(self, stored: str) -> bool:
        """Whether it was made with other parameters than the present ones."""
        return self._hasher.check_needs_rehash(stored)

    async def close(self) -> None:
        """Drops the queued passwords. Does not wait for the one in work."""
        self._queue.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T], shares: Shares) -> T:
        started = time.perf_counter()
        try:
            with metrics.PASSWORDS_IN_HAND.track_inprogress():
                async with self._queue.turn(shares):
                    done = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except NoPlace as refused:
            metrics.PASSWORDS_REFUSED.labels(refused.limit).inc()
            raise PasswordsBusy("Try again in a moment.", retry_after_s=RETRY_AFTER_S) from refused
        metrics.PASSWORD_SECONDS.observe(time.perf_counter() - started)
        return done


def _nobodys_hash(*, time_cost: int, memory_kib: int) -> str:
    """Returns a well-formed hash of no password: the cost of a check depends on its parameters alone."""

    def drawn(size: int) -> str:
        return base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()

    parameters = f"m={memory_kib},t={time_cost},p={PARALLELISM}"
    return f"$argon2id$v=19${parameters}${drawn(SALT_BYTES)}${drawn(DIGEST_BYTES)}"


def _step_back() -> None:
    """Lowers the priority of this thread alone, which only Linux allows."""
    if sys.platform == "linux":
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
