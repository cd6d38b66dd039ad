"""Tombstones: a deleted key refuses signed uploads for a while. The blocking part of the local store.

The URL of a deleted object may be valid for minutes, and a create-only upload succeeds once the object is
gone. `tombstones/<begin>` has a line for each key and each prefix deleted in the period that began then.
Lines are only appended, by any process; each process reads what is new. Threads that wait for each other
are written together, because each fsync takes a millisecond or more. A file is removed when the period
after its own is over, so a deletion is kept for at least one period and at most two.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Literal

from kappi_chassis.storage.local_folders import sync_folder

_Kind = Literal["key", "prefix"]
_Line = tuple[_Kind, str]
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class ObjectDeleted(Exception):
    """The key was deleted while URLs of it were valid."""


@dataclass(slots=True)
class _Period:
    """One file, as far as it was read. prefix_lengths: of all prefixes, so that few look-ups are needed."""

    read_bytes: int = 0
    keys: set[str] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    prefix_lengths: set[int] = field(default_factory=set)

    def add(self, kind: _Kind, name: str) -> None:
        if kind == "key":
            self.keys.add(name)
        else:
            self.prefixes.add(name)
            self.prefix_lengths.add(len(name))

    def has(self, kind: _Kind, name: str) -> bool:
        return name in (self.keys if kind == "key" else self.prefixes)

    def covers(self, key: str) -> bool:
        return key in self.keys or any(key[:length] in self.prefixes for length in self.prefix_lengths)


@dataclass(slots=True)
class _Addition:
    """Lines of one thread. error: why they could not be written."""

    lines: Sequence[_Line]
    is_done: bool = False
    error: Exception | None = None


class Tombstones:
    """The tombstones of one folder. kept_for: at least; no signed upload may be valid for longer.
    now: UTC.
    """

    def __init__(self, root: Path, *, kept_for: timedelta, now: Callable[[], datetime]) -> None:
        self._folder = root / "tombstones"
        self._period_s = max(1, int(kept_for.total_seconds()))
        self._now = now
        self._lock = Lock()
        self._periods: dict[int, _Period] = {}
        self._waiting: deque[_Addition] = deque()

    def add_keys(self, keys: Collection[str]) -> None:
        """Records keys before they are deleted: later uploads are refused, and earlier ones are deleted."""
        self._add([("key", key) for key in keys])

    def add_prefix(self, prefix: str) -> None:
        """As `add_keys`, for all keys with a prefix."""
        self._add([("prefix", prefix)])

    def covers(self, key: str) -> bool:
        with self._lock:
            self._read()
            return any(period.covers(key) for period in self._periods.values())

    def sweep(self) -> None:
        """Removes what has expired."""
        with self._lock:
            self._sweep()

    def _add(self, lines: Sequence[_Line]) -> None:
        addition = _Addition(lines)
        self._waiting.append(addition)
        with self._lock:
            if not addition.is_done:  # by the thread that had the lock
                self._write_waiting()
        if addition.error is not None:
            raise addition.error

    def _write_waiting(self) -> None:
        additions = [self._waiting.popleft() for _ in range(len(self._waiting))]
        error: Exception | None = None
        try:
            self._write([line for each in additions for line in each.lines])
        except Exception as caught:  # noqa: BLE001 - each of the threads raises it
            # Deleting frees room on a full disk, so it must not need any.
            is_full = isinstance(caught, OSError) and caught.errno in _FULL
            error = None if is_full else caught
        for each in additions:
            each.is_done, each.error = True, error

    def _write(self, lines: Sequence[_Line]) -> None:
        begin = int(self._now().timestamp()) // self._period_s * self._period_s
        self._read()
        known = self._periods.get(begin, _Period())
        if fresh := [line for line in dict.fromkeys(lines) if not known.has(*line)]:
            self._append(self._folder / str(begin), fresh)

    def _append(self, path: Path, lines: Sequence[_Line]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        # The leading line break ends a line of which a crash left only the beginning.
        content = "\n".join(["", *(json.dumps(line) for line in lines), ""]).encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.write(descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(self._folder)
            self._sweep()

    def _read(self) -> None:
        begins = self._begins()
        for gone in self._periods.keys() - begins.keys():
            del self._periods[gone]
        for begin, size_bytes in begins.items():
            period = self._periods.setdefault(begin, _Period())
            if size_bytes > period.read_bytes:
                with contextlib.suppress(FileNotFoundError):  # removed by another process
                    self._read_on(period, self._folder / str(begin))

    def _read_on(self, period: _Period, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(period.read_bytes)
            whole, line_break, _ = file.read().rpartition(b"\n")
        period.read_bytes += len(whole) + len(line_break)
        for line in filter(None, whole.split(b"\n")):
            with contextlib.suppress(ValueError):  # a line that a crash left incomplete
                period.add(*json.loads(line))

    def _sweep(self) -> None:
        now_s = self._now().timestamp()
        for begin in self._begins():
            if begin + 2 * self._period_s <= now_s:
                (self._folder / str(begin)).unlink(missing_ok=True)

    def _begins(self) -> dict[int, int]:
        """Returns the begin of each period that has a file, and the file's size."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return {}
        begins: dict[int, int] = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed by another process
                begins[int(name)] = (self._folder / name).stat().st_size
        return begins
