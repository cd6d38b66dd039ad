"""The state of a PostgreSQL server, read from its data folder's `postmaster.pid`."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

_PID_LINE, _STATUS_LINE = 0, 7
_STEPS = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
_POLL_S = 0.02
_PROC = Path("/proc")


def is_ready(cluster: Path, *, pid: int) -> bool:
    """Whether the server with this pid accepts connections."""
    lines = _lines(cluster)
    return len(lines) > _STATUS_LINE and lines[_PID_LINE] == str(pid) and lines[_STATUS_LINE] == "ready"


def end_orphan(cluster: Path) -> None:
    """Ends a server left behind on the folder by a dead process, and removes a pid file with a foreign pid.

    Only the holder of the folder's lock may call it. The pid file of a dead server stays: PostgreSQL needs it
    to see whether the dead server's last children still use the shared memory.
    """
    lines = _lines(cluster)
    if not lines or not lines[_PID_LINE].isdecimal():
        return
    pid = int(lines[_PID_LINE])
    if not _alive(pid):
        return
    if not _serves(pid, cluster):
        # The pid now belongs to another process (after a reboot): PostgreSQL would refuse to start.
        (cluster / "postmaster.pid").unlink()
        return
    for number, grace_s in _STEPS:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            if not _alive(pid):
                return
            time.sleep(_POLL_S)


def _lines(cluster: Path) -> list[str]:
    try:
        return [line.strip() for line in (cluster / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return not _PROC.is_dir()  # no such folder: not Linux, and there is no other way to find out


def _serves(pid: int, cluster: Path) -> bool:
    """Whether the process is a server on this very folder."""
    if _PROC.is_dir():
        try:
            words = _PROC.joinpath(str(pid), "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return os.fsencode(cluster) in words
    shown = subprocess.run(["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)  # noqa: S603
    return os.fsencode(cluster) in shown.stdout
