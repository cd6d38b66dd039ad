"""Progress of an upload or a download: calls while it runs, and a meter that counts what the store has."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kappi_client.files import LocalFile
    from kappi_client.galleries import Gallery

_WINDOW_S = 20.0
_UNITS = ("B", "kB", "MB", "GB", "TB")


class UploadProgress:
    """Calls while an upload runs. Override what you need; counts are bytes, except of items."""

    def continued(self, begun_at: str) -> None:
        """An earlier run began this upload. begun_at: ISO 8601, UTC."""

    def restarted(self) -> None:
        """The gallery of an earlier run does not exist any more, so a new one is created."""

    def started(self, gallery: Gallery) -> None:
        """The gallery is known, and its files follow. The access key of a new one is shown only now."""

    def hashed(self, count: int) -> None:
        """Bytes of files were read and hashed."""

    def moved(self, count: int) -> None:
        """Bytes are on their way. A negative count: these bytes are not on their way any more."""

    def stored(self, count: int) -> None:
        """The store has acknowledged bytes. A negative count: these bytes are missing after all."""

    def resumed(self, count: int) -> None:
        """Bytes were in the store before this run. A negative count: these bytes were not."""

    def waiting(self, reason: str) -> None:
        """A request failed and is tried again."""

    def uploaded(self, file: LocalFile) -> None:
        """A file is in the gallery."""

    def rejected(self, file: LocalFile, reason: str) -> None:
        """A file cannot be uploaded."""

    def processing(self, *, done: int, total: int) -> None:
        """The server processes the items."""


class DownloadProgress:
    """Calls while a download runs. Override what you need."""

    def planned(self, *, files: int, size_bytes: int) -> None:
        """What has to be downloaded."""

    def received(self, count: int) -> None:
        """Bytes are in the folder. A negative count: these bytes are downloaded again."""

    def saved(self, name: str) -> None:
        """A file is complete and verified."""

    def failed(self, name: str, reason: str) -> None:
        """A file could not be downloaded."""


class Meter:
    """Counts of an upload, and its speed. total_bytes: of all files. clock: monotonic seconds.

    stored_bytes: acknowledged by the store in this run. resumed_bytes: in the store before this run; they
    count as done, and not for the speed. moving_bytes: on their way.
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
        """Counts bytes on their way; negative: not any more. The first call starts the time for the speed."""
        if self._began is None:
            self._began = self._clock()
        self.moving_bytes += count

    def stored(self, count: int) -> None:
        self.stored_bytes += count
        self._seen.append((self._clock(), count))

    def bytes_per_second(self) -> float | None:
        """Speed of the last 20 seconds by acknowledged bytes; None before the first."""
        now = self._clock()
        while self._seen and now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        count = sum(each for _, each in self._seen)
        spent_s = min(now - self._began, _WINDOW_S) if self._began is not None else 0.0
        return count / spent_s if count > 0 and spent_s > 0 else None

    def seconds_left(self) -> float | None:
        """Time left at this speed; None while the speed is unknown."""
        speed = self.bytes_per_second()
        return max(self.total_bytes - self.there_bytes, 0) / speed if speed is not None else None

    def line(self) -> str:
        """Returns `120.0 of 300.0 MB, 60.0 MB were there before, 3.9 MB/s, 0:00:46 left`."""
        total, unit = _scaled(self.total_bytes)
        parts = [f"{self.there_bytes / 1000 ** _UNITS.index(unit):.1f} of {total:.1f} {unit}"]
        if self.resumed_bytes:
            parts.append(f"{size(self.resumed_bytes)} were there before")
        speed, left_s = self.bytes_per_second(), self.seconds_left()
        if speed is not None and left_s is not None and self.there_bytes < self.total_bytes:
            parts += [f"{size(speed)}/s", f"{clock_time(left_s)} left"]
        return ", ".join(parts)


def size(count: float) -> str:
    """Returns a size in decimal units."""
    value, unit = _scaled(count)
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def clock_time(seconds: float) -> str:
    """Returns `h:mm:ss`."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _scaled(count: float) -> tuple[float, str]:
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < 1000:
            return value, unit
        value /= 1000
    return value, _UNITS[-1]
