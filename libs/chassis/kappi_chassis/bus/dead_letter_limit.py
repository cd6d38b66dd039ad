"""The limit of dead letters after which a consumer stops, because the fault is probably in the program."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger

_log = get_logger(__name__)


class TooManyDeadLetters(Exception):
    """A group reached its limit in this process. The record in question is not a dead letter: it is kept."""


class DeadLetterLimit:
    """A limit of the dead letters of one group in one process. most: within the time; 0 for no limit."""

    def __init__(
        self, most: int, *, within: timedelta, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._within = within
        self._monotonic = monotonic
        self._sent_at: deque[float] = deque(maxlen=most)

    def count(self) -> None:
        """Counts a dead letter, before it is sent. Raises TooManyDeadLetters when there is no room for it."""
        if not self._most:
            return
        now = self._monotonic()
        if len(self._sent_at) == self._most and now - self._sent_at[0] < self._within.total_seconds():
            raise TooManyDeadLetters(
                f"{self._most} records became dead letters within {self._within.total_seconds():.0f} s"
            )
        self._sent_at.append(now)


async def stay_stopped(group: str, *, reason: object) -> NoReturn:
    """Waits until it is cancelled, and shows in log and metrics that the group's consumer has stopped here.

    The process goes on: a restart would begin a new count, and bury as many records again.
    """
    metrics.CONSUMER_STOPPED.labels(group).set(1)
    _log.critical(
        "consumer.stopped",
        group=group,
        reason=str(reason),
        next_step="mend the cause, start the process again, then `kappi dlq replay`",
    )
    await asyncio.Event().wait()
    raise AssertionError("the event above is never set")
