"""Kills a process before the n-th step of its changes on the disk."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

_STEPS = ("fsync", "link", "replace", "rename", "setxattr", "sync", "truncate", "unlink", "utime")
_KILLED = 9


def survives(work: Callable[[], object], *, step: int) -> bool:
    """Runs `work` in a process of its own, which is killed before step number `step` (from 1).

    Returns whether `work` ended before that step.
    """
    child = os.fork()
    if child == 0:
        try:
            _kill_before(step)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, _KILLED}
    return code == 0


def _kill_before(step: int) -> None:
    steps = itertools.count(1)

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **options: Any) -> Any:
            if next(steps) == step:
                os._exit(_KILLED)
            return call(*args, **options)

        return made

    for name in _STEPS:
        setattr(os, name, counted(getattr(os, name)))
