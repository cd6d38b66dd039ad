"""Measures the memory of the idle stack, by process."""

from __future__ import annotations

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


def stack_pids(note: RunNote) -> set[int]:
    """Returns the pids of all current processes of a running stack."""
    roots = {note.pid, *(service.pid for service in note.services.values())}
    if note.postgres_pid is not None:
        roots.add(note.postgres_pid)
    return _with_descendants(roots)


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
