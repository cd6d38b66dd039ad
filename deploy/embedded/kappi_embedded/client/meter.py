"""How far an upload is, counted honestly: what the store has acknowledged, not what has left. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_WINDOW_S = 20.0
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Meter:
    """total_bytes: of all files. clock: monotonic seconds.

    resumed_bytes were there before and count for the way made, not for the speed.
    """

    def __init__(self, total_bytes: int, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: float | None = None
        self._seen: deque[tuple[float, int]] = deque()
        self.total_bytes = total_bytes
        self.stored_bytes = 0
        self.resumed_bytes = 0
        self.moving_bytes = 0

    @property
    def there_bytes(self) -> int:
        return self.resumed_bytes + self.stored_bytes

    def moved(self, count: int) -> None:
        """On their way; negative: not any more. The first ones begin the time that speed is counted over."""
        if self._began is None:
            self._began = self._clock()
        self.moving_bytes += count

    def stored(self, count: int) -> None:
        self.stored_bytes += count
        self._seen.append((self._clock(), count))

    def bytes_per_second(self) -> float | None:
        """Acknowledged, over the last while; None before the first was."""
        now = self._clock()
        while self._seen and now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        count = sum(each for _, each in self._seen)
        spent_s = min(now - self._began, _WINDOW_S) if self._began is not None else 0.0
        return count / spent_s if count > 0 and spent_s > 0 else None

    def seconds_left(self) -> float | None:
        """At this speed; None while that is not known."""
        speed = self.bytes_per_second()
        return max(self.total_bytes - self.there_bytes, 0) / speed if speed is not None else None

    def line(self) -> str:
        """`120.0 of 300.0 MB, 60.0 MB were there before, 3.9 MB/s, 0:00:46 left`."""
        total, unit = _scaled(self.total_bytes)
        parts = [f"{self.there_bytes / 1000 ** _UNITS.index(unit):.1f} of {total:.1f} {unit}"]
        if self.resumed_bytes:
            parts.append(f"{size(self.resumed_bytes)} were there before")
        speed, left_s = self.bytes_per_second(), self.seconds_left()
        if speed is not None and left_s is not None and self.there_bytes < self.total_bytes:
            parts += [f"{size(speed)}/s", f"{clock_time(left_s)} left"]
        return ", ".join(parts)


def size(count: float) -> str:
    """Decimal units, as sizes of files are told."""
    value, unit = _scaled(count)
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def clock_time(seconds: float) -> str:
    """`h:mm:ss`."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _scaled(count: float) -> tuple[float, str]:
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < 1000:
            return value, unit
        value /= 1000
    return value, _UNITS[-1]
