"""Reads and writes one extended attribute of a file, on Linux and on macOS."""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

NAME: Final = "user.kappi"
"""The name of the attribute. Linux reserves names that begin with `user.` for programs."""

if sys.platform == "darwin":  # Python has no functions for attributes there
    import ctypes

    _ENOATTR: Final = 93  # <sys/errno.h>
    _MAX_BYTES: Final = 4096
    _libc = ctypes.CDLL(None, use_errno=True)
    for _call, _result in ((_libc.fsetxattr, ctypes.c_int), (_libc.fgetxattr, ctypes.c_ssize_t)):
        _call.restype = _result
        _call.argtypes = [
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint32,
            ctypes.c_int,
        ]

    def write_attribute(file: int, value: bytes) -> None:
        """Sets the attribute of an open file or folder. Raises OSError when the file system has no
        attributes.
        """
        if _libc.fsetxattr(file, NAME.encode(), value, len(value), 0, 0) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def read_attribute(file: int) -> bytes | None:
        """Returns the attribute; None for a file without it."""
        value = ctypes.create_string_buffer(_MAX_BYTES)
        size_bytes = _libc.fgetxattr(file, NAME.encode(), value, _MAX_BYTES, 0, 0)
        if size_bytes >= 0:
            return value.raw[:size_bytes]
        if ctypes.get_errno() in {_ENOATTR, errno.ENOTSUP}:
            return None
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

else:

    def write_attribute(file: int, value: bytes) -> None:
        """Sets the attribute of an open file or folder. Raises OSError when the file system has no
        attributes.
        """
        os.setxattr(file, NAME, value)

    def read_attribute(file: int) -> bytes | None:
        """Returns the attribute; None for a file without it."""
        try:
            return os.getxattr(file, NAME)
        except OSError as error:
            if error.errno in {errno.ENODATA, errno.ENOTSUP}:
                return None
            raise
