"""A limit of the lines that are logged about one thing, with a count of those that were left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

WINDOW_S = 60.0
OTHERS = ("others", "others")
"""The key that all further things share while too many are told apart."""


class LineLimit:
    """Admits a number of lines per key and minute. It is used by one thread at a time, or loses a count.

    keys: the most keys that are told apart in a minute; further ones share one, so that memory is bounded.
    """

    def __init__(self, *, lines: int, keys: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._keys = keys
        self._monotonic = monotonic
        self._seen: dict[Hashable, int] = {}
        self._ends_at = float("-inf")

    def admits(self, key: Hashable) -> bool:
        """Returns whether one more line is logged. Call `left_out` first, which begins a new minute."""
        if key not in self._seen and len(self._seen) >= self._keys:
            key = OTHERS
        seen = self._seen[key] = self._seen.get(key, 0) + 1
        return seen <= self._lines

    def left_out(self) -> list[tuple[Any, int]]:
        """Returns, once a minute is over, the keys of which lines were left out in it, with their number."""
        now = self._monotonic()
        if now < self._ends_at:
            return []
        seen, self._seen, self._ends_at = self._seen, {}, now + WINDOW_S
        return [(key, lines - self._lines) for key, lines in seen.items() if lines > self._lines]
