"""A script that ties this process to its parent's life, changes the account, and then becomes the program.

It is not a `preexec_fn`: the parent has threads (librdkafka, executors), and Python code that runs between
fork and exec of such a process may deadlock. Standard library only: it runs with `-I -S`.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL ACCOUNT PROGRAM [ARGUMENT...]

ACCOUNT is `-`, `uid:gid`, or `uid:gid:reach`; `reach` keeps the right to pass closed folders (see `_become`).
"""

from __future__ import annotations

import ctypes
import os
import sys

# <linux/prctl.h>, <linux/capability.h>
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _keep_reach(libc: ctypes.CDLL) -> None:
    """Keeps, across the exec, the one capability that passes closed folders, and drops the others."""
    header = _CapHeader(CAPABILITY_VERSION_3, 0)
    data = (_CapData * 2)()
    _check(libc.capget(ctypes.byref(header), data), "capget")
    # Containers often hold only the stronger of the two.
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if data[0].permitted & (1 << capability):
            break
    else:
        raise PermissionError(
            "this container lets root pass no closed folder: move the data and the project elsewhere"
        )
    mask = 1 << capability
    kept = (_CapData * 2)(_CapData(mask, mask, mask), _CapData(0, 0, 0))
    _check(libc.capset(ctypes.byref(header), kept), "capset")
    _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "prctl(PR_CAP_AMBIENT)")


def _become(libc: ctypes.CDLL, account: str) -> None:
    """Changes the account.

    With `reach`, data below a private folder (root's home, a mkdtemp) stays usable.
    """
    uid, gid, *reach = account.split(":")
    if reach:
        # This keeps the capabilities over setresuid. It also makes access(2), with which PostgreSQL looks for
        # its own programs, count the kept ones.
        _check(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "prctl(PR_SET_SECUREBITS)")
    os.setgroups([])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    if reach:
        _keep_reach(libc)


def main(arguments: list[str]) -> None:
    parent_pid, death_signal, account, *program = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if account != "-":
        _become(libc, account)
    if sys.platform == "linux":
        # This comes after the change of account, which clears it.
        _check(libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent_pid):  # the parent died before the line above
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    main(sys.argv[1:])
