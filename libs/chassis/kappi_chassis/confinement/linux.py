"""Calls of the C library that Python has no function for."""

from __future__ import annotations

import ctypes
import errno
import os
import sys


def call(name: str, *arguments: int | bytes) -> int:
    """What the C function of that name returns. Raises OSError where it fails, and on other systems."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, f"{name}: not on this system")
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    result = int(function(*(ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
