"""Pauses between attempts, and the time after which attempts end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from kappi_client.errors import Unreachable

ATTEMPTS = 6
DEADLINE_S = 120.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONGEST_RETRY_AFTER_S = 0.2, 10.0, 60.0


async def backoff(attempt: int, *, at_least_s: float | None = None) -> None:
    """Waits before the next attempt: exponential, with jitter. at_least_s: the server's `Retry-After`."""
    longest_s = min(_FIRST_PAUSE_S * 2 ** min(attempt - 1, 10), _LONGEST_PAUSE_S)
    pause_s = longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
    await asyncio.sleep(max(pause_s, min(at_least_s or 0.0, _LONGEST_RETRY_AFTER_S)))


class RetryDeadline:
    """Decides when requests to the object store are not repeated any more. All parts of an upload share it.

    deadline_s: seconds without progress, counted from the first failure. clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float], deadline_s: float = DEADLINE_S) -> None:
        self._clock = clock
        self._deadline_s = deadline_s
        self._unanswered_since: float | None = None
        self._refused_since: float | None = None

    def bytes_moved(self) -> None:
        """Bytes reach the store. One part may take longer than the deadline on a slow connection."""
        self._unanswered_since = None

    def stored(self) -> None:
        """The store has acknowledged a part."""
        self._unanswered_since = self._refused_since = None

    def cut_while_moving(self) -> None:
        """A connection ended after bytes moved and before the answer, so the answer is unknown."""
        self._refused_since = None

    async def wait_unanswered(self, attempt: int, *, reason: str) -> None:
        """Waits before the next attempt of a request without an answer.

        Raises Unreachable when no bytes have reached the store until the deadline.
        """
        now = self._clock()
        self._unanswered_since = now if self._unanswered_since is None else self._unanswered_since
        if (seconds := now - self._unanswered_since) > self._deadline_s:
            raise Unreachable(f"nothing reached the object store for {seconds:.0f} seconds: {reason}")
        await backoff(attempt)

    async def wait_refused(self, attempt: int, *, reason: str) -> None:
        """Waits before the next attempt of a request that the store refused.

        Raises Unreachable when the store has acknowledged nothing until the deadline. The second answer for a
        slow part may come after the deadline, so there are always `ATTEMPTS` attempts.
        """
        self._unanswered_since = None
        now = self._clock()
        self._refused_since = now if self._refused_since is None else self._refused_since
        seconds = now - self._refused_since
        if seconds > self._deadline_s and attempt >= ATTEMPTS:
            raise Unreachable(f"the object store took nothing for {seconds:.0f} seconds: {reason}")
        await backoff(attempt)
