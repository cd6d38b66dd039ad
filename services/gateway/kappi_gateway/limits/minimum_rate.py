"""The rate at which a client must send or read a body, and the time for which it may fall behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SLOWEST_BYTES_PER_S = 4096
"""Bytes a second that even a poor telephone line reaches between pauses.

A client that sends single bytes would otherwise hold a request's place for ever.
"""
RISES_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class MinimumRate:
    """The rate that a client must keep.

    silence_s: time for which a client may fall behind, hence also its longest pause. slowest_bytes_per_s:
    rate at the beginning of a body. rises_to: returns the rate to reach in the end, as of now; None to keep
    the first rate. The rate rises by `slowest_bytes_per_s` with each minute spent waiting for the client.
    """

    silence_s: float
    slowest_bytes_per_s: int = SLOWEST_BYTES_PER_S
    rises_to: Callable[[], float] | None = None

    def bytes_per_s(self, waited_s: float) -> float:
        """Returns the required rate. waited_s: seconds spent waiting for this client during this body."""
        slowest = self.slowest_bytes_per_s
        if self.rises_to is None:
            return slowest
        return max(slowest, min(self.rises_to(), slowest * (1 + waited_s / RISES_EVERY_S)))


class RateAllowance:
    """The time for which one client may still fall behind. Time not spent waiting for it does not count."""

    def __init__(self, rate: MinimumRate) -> None:
        self._pace = rate
        self._waited_s = 0.0
        self.left_s = rate.silence_s

    @property
    def behind_s(self) -> float:
        return self._pace.silence_s - self.left_s

    def moved(self, size_bytes: int, *, waited_s: float) -> None:
        """Records bytes sent or received after a wait."""
        self._waited_s += waited_s
        earned_s = size_bytes / self._pace.bytes_per_s(self._waited_s) - waited_s
        self.left_s = min(self._pace.silence_s, self.left_s + earned_s)
