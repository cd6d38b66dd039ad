"""How many parts to send at once: as many as the link is faster by, as few as its cuts allow. Pure."""

from __future__ import annotations

from typing import Final, Literal

Connection = Literal["slow", "normal", "fast"]

WIDEST: Final[dict[Connection, int]] = {"slow": 1, "normal": 4, "fast": 8}
SLOW_BELOW, FAST_ABOVE = 1_000_000, 12_000_000
"""Bytes a second."""
# What is on its way when the link breaks is sent twice: so much of it, in seconds, is no loss worth a word.
_SHORT_S = 4.0
_WORTHWHILE = 1.2
_CALM_PARTS = 8
_TRIED_AFTER = 4
_SAFE_SHARE_OF_LIFE = 0.5
_MEMORY = 0.5


class Pace:
    """What was seen of one link, and how to use it.

    width: parts in flight, now. It begins at one and grows while parts are quick, or while more at once are
    faster. Every cut takes it back to one: of four parts cut at once four are lost.
    part_s: how long the last part took. fresh_connections: whether connections may be cut for their age, so
    that each part is better begun on a new one.
    """

    def __init__(self, *, widest: int) -> None:
        self.widest = widest
        self._ceiling = widest
        self._arrived_in_row = 0
        self._shortest_life_s: float | None = None
        self._rates: dict[int, float] = {}
        self.part_s: float | None = None
        self.width = 1
        self.fresh_connections = False

    @property
    def bytes_per_second(self) -> float | None:
        """Of the whole link, as last measured; None before anything arrived."""
        return self._rates.get(self.width) or max(self._rates.values(), default=None)

    @property
    def has_broken(self) -> bool:
        return self.fresh_connections

    def connection(self) -> Connection:
        """What to tell the server, which sizes parts by it."""
        rate = self.bytes_per_second
        if self.has_broken or (rate is not None and rate < SLOW_BELOW):
            return "slow"
        return "fast" if rate is not None and rate > FAST_ABOVE else "normal"

    def arrived(self, *, size_bytes: int, seconds: float) -> None:
        """A part was acknowledged, after so long."""
        self.part_s = seconds
        rate = size_bytes * self.width / max(seconds, 1e-3)
        known = self._rates.get(self.width)
        self._rates[self.width] = rate if known is None else _MEMORY * known + (1 - _MEMORY) * rate
        self._arrived_in_row += 1
        if self._arrived_in_row < self.width:
            return
        if self._gains_nothing(seconds):
            self._ceiling = self.width = self.width - 1
            self._arrived_in_row = 0
        elif self.width < self._ceiling and self._may_widen(seconds):
            self.width += 1
            self._arrived_in_row = 0

    def broke(self, *, after_s: float) -> None:
        """The connection of a part was lost so long after the part was begun."""
        if self.fresh_connections:  # else it was older than its part
            self._shortest_life_s = min(after_s, self._shortest_life_s or after_s)
        self.fresh_connections = True
        self.width = 1
        self._ceiling = self.widest
        self._arrived_in_row = 0
        self._rates.clear()

    def _gains_nothing(self, seconds: float) -> bool:
        if self.width == 1 or seconds <= _SHORT_S:
            return False
        narrower = self._rates.get(self.width - 1)
        return narrower is not None and self._rates[self.width] < _WORTHWHILE * narrower

    def _may_widen(self, seconds: float) -> bool:
        if self.fresh_connections and self._arrived_in_row < _CALM_PARTS:
            return False
        # If the link is shared by them, each of more parts takes longer.
        expected_s = seconds * (self.width + 1) / self.width
        if self._shortest_life_s is not None:
            return expected_s < _SAFE_SHARE_OF_LIFE * self._shortest_life_s
        # A link that is slow for each connection, and not for all together, is found out by trying; later,
        # since the first seconds are when a bad one shows itself.
        return expected_s <= _SHORT_S or (not self.fresh_connections and self._arrived_in_row >= _TRIED_AFTER)
