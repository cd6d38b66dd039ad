"""Calls of C library functions that Python does not wrap."""

from __future__ import annotations

import ctypes
import errno
import os
import sys


def call(name: str, *arguments: int | bytes) -> int:
    """Returns the result of the named C function. Raises OSError if it fails, and on other systems."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, f"{name}: not on this system")
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    result = int(function(*(ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
