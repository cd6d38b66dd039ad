"""How fast a client must send a body, or read one, and for how long it may fall behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SLOWEST_BYTES_PER_S = 4096
"""The worst of telephone lines, kept up but for pauses. A byte now and then would hold a request's place for
ever."""
RISES_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class MinimumRate:
    """silence_s: how long a client may fall behind, hence its longest pause, too. slowest_bytes_per_s: asked
    for at the beginning of a body. rises_to: asked for at last, as of this moment; None for no more than at
    the beginning. What is asked for rises by `slowest_bytes_per_s` with each minute that the client was
    waited for."""

    silence_s: float
    slowest_bytes_per_s: int = SLOWEST_BYTES_PER_S
    rises_to: Callable[[], float] | None = None

    def bytes_per_s(self, waited_s: float) -> float:
        """What is asked for. waited_s: for this client, with this body."""
        slowest = self.slowest_bytes_per_s
        if self.rises_to is None:
            return slowest
        return max(slowest, min(self.rises_to(), slowest * (1 + waited_s / RISES_EVERY_S)))


class RateAllowance:
    """How long one client may still fall behind. Time in which it is not waited for does not count."""

    def __init__(self, rate: MinimumRate) -> None:
        self._pace = rate
        self._waited_s = 0.0
        self.left_s = rate.silence_s

    @property
    def behind_s(self) -> float:
        return self._pace.silence_s - self.left_s

    def moved(self, size_bytes: int, *, waited_s: float) -> None:
        """So much came, or was taken, after such a wait."""
        self._waited_s += waited_s
        earned_s = size_bytes / self._pace.bytes_per_s(self._waited_s) - waited_s
        self.left_s = min(self._pace.silence_s, self.left_s + earned_s)
