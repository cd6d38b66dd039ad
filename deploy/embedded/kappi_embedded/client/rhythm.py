"""When a link will be cut next, if it is cut again and again after the same time. Pure.

A part that is cut is sent twice. Before a cut that can be foreseen it is better to wait for a moment than to
begin a part that cannot arrive. A wrong guess costs little time: it is tested, and given up when nothing
happens.
"""

from __future__ import annotations

from typing import Final

_SAME_CUT_S: Final = 0.5
_AFTER_CUT_S: Final = 0.15
_ALIKE: Final = 0.25
_TRUST: Final = 5
_MARGIN: Final = 1.1


class Rhythm:
    """All times: monotonic seconds.

    seen: the last cut that was. due: the next one, where it is foreseen. assumed: cuts since `seen` that were
    waited for and, nothing being on its way, not seen.
    """

    def __init__(self) -> None:
        self._seen: float | None = None
        self._period_s: float | None = None
        self._due = 0.0
        self._assumed = 0
        self._trust = _TRUST

    def hold_s(self, now: float, *, expected_s: float | None) -> float:
        """How long to wait before a part is begun that will take about `expected_s`; 0: begin."""
        if self._period_s is None or expected_s is None or expected_s * _MARGIN > self._period_s:
            return 0.0
        while now + expected_s * _MARGIN > self._due:
            if self._assumed == self._trust:
                return 0.0  # not seen for so long: let us see
            over_at = self._due + _AFTER_CUT_S
            self._due += self._period_s
            self._assumed += 1
            if over_at > now:
                return over_at - now
        return 0.0

    def cut(self, now: float) -> None:
        """A part was cut."""
        since_s = now - self._seen if self._seen is not None else None
        if since_s is not None and since_s < _SAME_CUT_S:
            return
        self._seen, self._assumed = now, 0
        if since_s is not None:
            self._learn(since_s)
        if self._period_s is not None:
            self._due = now + self._period_s

    def arrived(self, began: float, now: float) -> None:
        """A part arrived: there was no cut meanwhile."""
        if self._period_s is not None and began < self._due < now - _AFTER_CUT_S:
            self._period_s = self._seen = None
            self._trust = _TRUST

    def _learn(self, since_s: float) -> None:
        if self._period_s is not None:
            apart = max(round(since_s / self._period_s), 1)
            if abs(since_s / apart - self._period_s) <= _ALIKE * self._period_s:
                self._period_s = since_s / apart
                self._trust *= 2
                return
        self._period_s = since_s
        self._trust = _TRUST
