"""Sets the name that a forked process shows in `ps` and `top` (Linux; elsewhere it keeps its parent's)."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

PADDING = "-" * 96
"""An argument that makes room for a longer title, because a title replaces the command line in place."""

_PR_SET_NAME = 15
_ARG_START, _ARG_END = 48, 49  # proc_pid_stat(5), counted from 1


def set_title(title: str, *, short: str) -> None:
    """Sets the process's name. title: for `ps -f`. short: at most 15 bytes, for `top` and `comm`."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_NAME, short.encode()[:15], 0, 0, 0)
    # Fields are counted after the command's name, which may contain spaces.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = (int(fields[number - 3]) for number in (_ARG_START, _ARG_END))
    if end - start < 2:
        return
    text = title.encode()[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, text, len(text))
