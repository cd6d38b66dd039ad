"""Measures the processor time of each kind of process during a measurement."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_EVERY_S: Final = 0.5  # decoders are short-lived: their last reading must come before their end
_DECODER: Final = "kappi_media.rendering.worker"


class ProcessorTime:
    """Measures within `async with ProcessorTime(pids) as busy: …`; `busy.seconds()` returns the result. pids:
    returns the current pids.
    """

    def __init__(self, pids: Callable[[], set[int]]) -> None:
        self._pids = pids
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._roles: dict[int, str] = {}
        self._sampling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ProcessorTime:
        self._sample(at_start=True)
        self._sampling = asyncio.create_task(self._keep_sampling())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._sampling is not None
        self._sampling.cancel()
        await asyncio.wait([self._sampling])
        self._sample(at_start=False)

    def seconds(self) -> dict[str, float]:
        """Returns the seconds used by each kind of process, the busiest first."""
        used: defaultdict[str, float] = defaultdict(float)
        for pid, seconds in self._last.items():
            used[self._roles[pid]] += seconds - self._first[pid]
        return dict(sorted(used.items(), key=lambda pair: -pair[1]))

    async def _keep_sampling(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            self._sample(at_start=False)

    def _sample(self, *, at_start: bool) -> None:
        for pid in {*self._pids(), os.getpid()}:
            seconds = seconds_of(pid)
            if seconds is None:
                continue
            if pid not in self._roles:
                self._roles[pid] = "client" if pid == os.getpid() else role_of(pid)
                # A process that began during the measurement used all of its time in it.
                self._first[pid] = seconds if at_start else 0.0
            self._last[pid] = seconds


def exact_seconds_of(pid: int) -> float:
    """Returns the seconds that a running process has used so far, to the nanosecond.

    The fields of `stat` are in hundredths of a second, too coarse for a short measurement.
    """
    return (
        sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
        / 1e9
    )


def seconds_by_role(pids: Iterable[int]) -> defaultdict[str, float]:
    """Returns the seconds used so far by these processes, by kind of process."""
    used: defaultdict[str, float] = defaultdict(float)
    for pid in pids:
        used[role_of(pid)] += seconds_of(pid) or 0.0
    return used


def seconds_of(pid: int) -> float | None:
    """Returns the seconds used so far, in user and in system mode; None when the process has ended."""
    return _seconds_in(Path(f"/proc/{pid}/stat"))


def seconds_with_children(pid: int) -> float:
    """Returns the seconds that a process and its children have used so far, also those that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = (int(fields[13]) + int(fields[14])) / _TICKS_PER_SECOND
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(seconds_of(each) or 0.0 for each in (pid, *map(int, children))) + ended


def seconds_of_threads(prefix: str) -> float:
    """Returns the seconds used so far by this process's threads whose names have a prefix."""
    seconds = 0.0
    for folder in Path("/proc/self/task").iterdir():
        if (folder / "comm").read_text().startswith(prefix):
            seconds += _seconds_in(folder / "stat") or 0.0
    return seconds


def _seconds_in(stat: Path) -> float | None:
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def role_of(pid: int) -> str:
    """Returns the kind of a process of the stack."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "others"
    if _DECODER in command:
        return "decoders"
    if command.startswith("postgres") or "/postgres " in command:
        return "database"
    if command.startswith("kappi: "):
        return command.split()[1]
    return "others"
