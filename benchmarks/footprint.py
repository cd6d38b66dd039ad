"""Measures the memory and the processor time of the idle stack."""

from __future__ import annotations

import os
import time
from pathlib import Path

from kappi_embedded.data_dir import RunNote

MIB = 1 << 20


def footprint(note: RunNote) -> str:
    """Returns resident MiB (RSS, shared pages counted in each process) and proportional MiB (PSS, counted
    once).
    """
    pids = stack_pids(note)
    resident = proportional = 0
    for pid in pids:
        for line in _smaps(pid):
            name, _, value = line.partition(":")
            if name == "Rss":
                resident += int(value.split()[0]) * 1024
            elif name == "Pss":
                proportional += int(value.split()[0]) * 1024
    return f"{len(pids)} processes, PSS {proportional / MIB:.0f} MiB, RSS summed {resident / MIB:.0f} MiB"


def idle_processor(note: RunNote, *, seconds: float) -> str:
    """Returns the processor time for each second, and how often a thread was woken, over some seconds."""
    pids = stack_pids(note)
    before = {pid: _used(pid) for pid in pids}
    began = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - began
    after = {pid: _used(pid) for pid in pids}
    busy_ns, woken = (
        sum(after[pid][at] - before[pid][at] for pid in pids if after[pid] != (0, 0)) for at in (0, 1)
    )
    return f"{busy_ns / 1e6 / elapsed:.1f} ms of processor and {woken / elapsed:.0f} wake-ups a second"


def stack_pids(note: RunNote) -> set[int]:
    """Returns the pids of all current processes of a running stack."""
    roots = {note.pid, *(service.pid for service in note.services.values())}
    if note.postgres_pid is not None:
        roots.add(note.postgres_pid)
    return _with_descendants(roots)


def descendants(pid: int) -> set[int]:
    return _with_descendants({pid}) - {pid}


def busy_ns(pid: int) -> int:
    """Returns the nanoseconds that a process has used."""
    return _used(pid)[0]


def _used(pid: int) -> tuple[int, int]:
    """Returns the nanoseconds on a processor and the number of turns on one; zeros for an ended process."""
    try:
        threads = [Path(f"/proc/{pid}/task/{thread}/schedstat") for thread in os.listdir(f"/proc/{pid}/task")]
        fields = [thread.read_text().split() for thread in threads]
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return sum(int(each[0]) for each in fields), sum(int(each[2]) for each in fields)


def _smaps(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []  # the process ended in the meantime


def _parents() -> dict[int, int]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def _with_descendants(roots: set[int]) -> set[int]:
    parents = _parents()
    found = set(roots)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found
