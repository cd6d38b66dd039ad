"""A seccomp filter (<linux/seccomp.h>) that allows only the system calls that computing needs.

Any other call fails with EPERM: libraries continue after that, while a killed process would turn a harmless
attempt into a crash. A call of another architecture kills the process, because no library makes one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import Final

from kappi_chassis.confinement.linux import call

# <linux/audit.h>, and the number of seccomp(2).
_MACHINES: Final = {"x86_64": (0xC000003E, 317), "aarch64": (0xC00000B7, 277)}
# <asm/unistd.h>: the numbers on x86_64 and aarch64.
_ALLOWED: Final = {
    # The pipes to the parent.
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    # Memory.
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "sysinfo": (99, 179),  # glibc's qsort does not check whether it failed
    # Threads.
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "gettid": (186, 178),
    "getpid": (39, 172),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # Signals and time.
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "restart_syscall": (219, 128),
    "setitimer": (38, 103),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
}
_CLONE: Final = (56, 220)
_CLONE3: Final = (435, 435)
_TGKILL: Final = (234, 131)
_CLONE_THREAD: Final = 0x10000

_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1  # SECCOMP_FILTER_FLAG_TSYNC
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL_PROCESS: Final = 0x80000000

# <linux/bpf_common.h>, and the offsets of struct seccomp_data on a little-endian machine.
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")
_CALL_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16


def allow_only_computing() -> None:
    """Filters the calls of all threads.

    Needs `no_new_privs`. Raises OSError if the kernel or the architecture has no filter.
    """
    machine = os.uname().machine
    if machine not in _MACHINES or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    program = _program(machine)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog
    head = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    if call("syscall", _MACHINES[machine][1], _SET_MODE_FILTER, _ALL_THREADS, head) != 0:
        raise OSError(errno.ESRCH, "a thread has a filter of its own")


def _program(machine: str) -> bytes:
    """Returns the filter in classic BPF.

    A test jumps over one number of instructions if true, another if false.
    """
    column = list(_MACHINES).index(machine)
    architecture, _ = _MACHINES[machine]
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _CALL_AT),
    ]
    for numbers in _ALLOWED.values():
        code += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _ALLOW)]
    # A filter cannot read the flags of clone3 in memory. The C library uses clone if clone3 is missing.
    code += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    # Allows a new thread, never a new process.
    code += [(_EQUAL, 0, 4, _CLONE[column]), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)]
    code += [(_ANY_BIT, 0, 1, _CLONE_THREAD), (_RETURN, 0, 0, _ALLOW), refuse]
    # Allows a signal to the process itself, with which abort() ends it.
    code += [(_EQUAL, 0, 4, _TGKILL[column]), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)]
    code += [(_EQUAL, 0, 1, os.getpid()), (_RETURN, 0, 0, _ALLOW), refuse]
    code.append(refuse)
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)
