"""Pauses between looks at something that is usually not there."""

from __future__ import annotations

from typing import Final

LONGEST_S: Final = 8.0


class IdlePause:
    """The pause after a look. It doubles while looks find nothing, so that an idle process sleeps.

    first_s: after a look that found something. What a process does not wait for should wake it: a pause
    covers only what no call announces.
    """

    def __init__(self, first_s: float, *, longest_s: float = LONGEST_S) -> None:
        self._first_s = first_s
        self._longest_s = max(first_s, longest_s)
        self._next_s = first_s

    def reset(self) -> None:
        """Begins with the first pause again."""
        self._next_s = self._first_s

    def after(self, *, found: bool) -> float:
        """Returns the seconds to wait now."""
        if found:
            self.reset()
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self._longest_s)
        return pause_s
