"""Runs a program for which the kernel refuses Landlock, as the profiles of old container runtimes do.

python without_landlock.py PROGRAM [ARGUMENT...]
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from kappi_chassis.confinement.linux import call

_CREATE_RULESET = 444  # <asm/unistd.h>, on every architecture
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2  # <linux/prctl.h>, <linux/seccomp.h>
_REFUSE, _ALLOW = 0x00050000 | errno.ENOSYS, 0x7FFF0000
_PROGRAM = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x20, 0, 0, 0),  # loads the number of the call
        (0x15, 0, 1, _CREATE_RULESET),  # skips the next instruction for other calls
        (0x06, 0, 0, _REFUSE),
        (0x06, 0, 0, _ALLOW),
    )
)


def main() -> None:
    code = ctypes.create_string_buffer(_PROGRAM, len(_PROGRAM))
    call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    call("prctl", _SET_SECCOMP, _FILTER, struct.pack("@HP", len(_PROGRAM) // 8, ctypes.addressof(code)))
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
