"""The reserve of free space that the local store leaves to the database, to logs and to the rest.

Uploads are refused at the reserve. Objects of the services themselves (renditions, copies) may use half of
it. Free space is measured once a second at most; what was written since, and what running uploads have still
to write, counts as used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final, Literal
from weakref import WeakSet

from kappi_chassis.disk import DiskSpace, disk_space
from kappi_chassis.observability import metrics
from kappi_chassis.storage.contract import StorageFull

_FRESH_S: Final = 1.0

Use = Literal["upload", "service"]


class LocalSpace:
    """Limits what is written. Thread-safe. reserve_bytes: None for `DiskSpace.default_reserve_bytes`.

    folder: created when missing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        reserve_bytes: int | None = None,
        measure: Callable[[Path], DiskSpace] = disk_space,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._given_reserve_bytes = reserve_bytes
        self._measure = measure
        self._clock = clock
        self._measuring = Lock()
        self._lock = Lock()
        self._space = DiskSpace(0, 0)
        self._fresh_until = float("-inf")
        self._written_bytes = 0
        # Weak references: a write whose end is not reported, because its thread was given up, must not count
        # for ever.
        self._reservations: WeakSet[SpaceReservation] = WeakSet()

    @property
    def is_fresh(self) -> bool:
        """Returns whether `look` would measure nothing, and so not block."""
        return self._clock() < self._fresh_until

    @property
    def free_bytes(self) -> int:
        """Returns the free bytes as of the last look."""
        return self._space.free_bytes - self._written_bytes

    @property
    def reserve_bytes(self) -> int:
        """Returns the reserve as of the last look."""
        if self._given_reserve_bytes is not None:
            return self._given_reserve_bytes
        return self._space.default_reserve_bytes

    def look(self) -> None:
        """Measures, unless that was done within the last second. Blocks. Raises OSError."""
        with self._measuring:
            if self.is_fresh:
                return
            space = self._measured()
            with self._lock:
                self._space, self._written_bytes = space, 0
                self._fresh_until = self._clock() + _FRESH_S
        metrics.STORE_FREE_BYTES.set(space.free_bytes)
        metrics.STORE_RESERVE_BYTES.set(self.reserve_bytes)

    def check(self, size_bytes: int) -> None:
        """Raises StorageFull when there is no room for an upload of this size, as of the last look."""
        with self._lock:
            self._expect_room(size_bytes, "upload")

    def reserve(self, size_bytes: int, *, use: Use) -> SpaceReservation:
        """Returns reserved room for a write. Blocks. Raises StorageFull, OSError."""
        self.look()
        reserve = SpaceReservation(self, size_bytes, use=use)
        with self._lock:
            self._expect_room(size_bytes, use)
            self._reservations.add(reserve)
        return reserve

    def spend(self, size_bytes: int, use: Use) -> None:
        """Counts bytes that are about to be written. Blocks. Raises StorageFull, OSError; then they must not
        be written.
        """
        self.look()
        with self._lock:
            if self.free_bytes - size_bytes < self._kept_bytes(use):
                raise _refusal(use)
            self._written_bytes += size_bytes

    def _expect_room(self, size_bytes: int, use: Use) -> None:
        reserved_bytes = sum(reserve.left_bytes for reserve in self._reservations)
        if self.free_bytes - reserved_bytes - size_bytes < self._kept_bytes(use):
            raise _refusal(use)

    def _kept_bytes(self, use: Use) -> int:
        return self.reserve_bytes if use == "upload" else self.reserve_bytes // 2

    def _measured(self) -> DiskSpace:
        try:
            return self._measure(self._folder)
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._measure(self._folder)


class SpaceReservation:
    """Room for one write, which may become longer than declared. left_bytes: still to be written."""

    def __init__(self, space: LocalSpace, size_bytes: int, *, use: Use) -> None:
        self.left_bytes = size_bytes
        self._space = space
        self._use: Use = use

    def spend(self, size_bytes: int) -> None:
        """Counts bytes that are about to be written. Blocks. Raises StorageFull, OSError."""
        self._space.spend(size_bytes, self._use)
        self.left_bytes = max(0, self.left_bytes - size_bytes)

    def release(self) -> None:
        """Releases the rest: nothing more is written."""
        self.left_bytes = 0


def _refusal(use: Use) -> StorageFull:
    metrics.STORE_FULL.labels(use).inc()
    return StorageFull("the file system of the store has no more room than is kept back")
