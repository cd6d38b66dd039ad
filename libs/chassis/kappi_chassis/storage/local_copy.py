"""Appends bytes of one file to another in the kernel, which shares the blocks if the file system can."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import BinaryIO, Final

from kappi_chassis.storage.contract import StorageUnavailable

_STEP_BYTES: Final = 64 << 20
"""The bytes per system call: a call cannot be stopped, but a copy can stop between two calls."""
_READ_BYTES: Final = 1 << 20
_CANNOT_SHARE: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def append(
    source: BinaryIO,
    length: int,
    *,
    whole: BinaryIO,
    start: int = 0,
    given_up: Callable[[], bool] = lambda: False,
) -> None:
    """Copies `length` bytes of `source` from `start` to the current position of `whole`.

    Neither file may have buffered bytes. given_up: whether the result is no longer wanted; called before each
    step. Raises StorageUnavailable when `source` is shorter, and when the copy was given up.
    """
    done = 0
    while done < length:
        if given_up():
            raise StorageUnavailable("the copy was given up")
        step = min(length - done, _STEP_BYTES)
        copied = _copy(source.fileno(), whole.fileno(), offset=start + done, length=step)
        if not copied:
            raise StorageUnavailable("a file is shorter than it was")
        done += copied


def _copy(source: int, target: int, *, offset: int, length: int) -> int:
    """Copies up to `length` bytes to the current position of `target`. Returns the number copied."""
    if hasattr(os, "copy_file_range"):  # Linux: the file system copies, or shares the blocks
        try:
            return os.copy_file_range(source, target, length, offset_src=offset)
        except OSError as error:
            if error.errno not in _CANNOT_SHARE:
                raise
    return os.write(target, os.pread(source, min(length, _READ_BYTES), offset))
