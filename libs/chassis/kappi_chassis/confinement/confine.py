"""The layers of confinement. Each holds without the others."""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from kappi_chassis.confinement.landlock import allow_no_file
from kappi_chassis.confinement.linux import call
from kappi_chassis.confinement.seccomp import allow_only_computing

ACCOUNT: Final = 61_000
"""A user and a group that own nothing. Not `nobody`: servers run as that, and own files."""

# <linux/prctl.h>, <linux/capability.h>
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522


def confine() -> tuple[str, ...]:
    """Leave this process nothing but computing and the descriptors that it has open. There is no way back.

    Afterwards no file can be opened, changed or listed, no socket made, no program or process started, and no
    other process seen, traced or signalled. Call it when all libraries are loaded, before the first byte that
    is not trusted is read, and before any thread is started. Memory stays readable, so the process must be a
    program of its own and not a fork of one that holds secrets.

    Returns the names, of `LAYERS`, that this platform lacks.
    """
    missing = []
    for name, apply in LAYERS.items():
        try:
            apply()
        except OSError:
            missing.append(name)
    return tuple(missing)


def _leave_root() -> None:
    """Nothing to do for any other account."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(ACCOUNT, ACCOUNT, ACCOUNT)
        os.setresuid(ACCOUNT, ACCOUNT, ACCOUNT)


def _drop_privileges() -> None:
    """No capability, none to be gained by a program, and closed to others' debuggers."""
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("capset", struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24))
    call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def _open_no_more() -> None:
    """For files, sockets and all else that has a descriptor."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


LAYERS: Final[Mapping[str, Callable[[], None]]] = MappingProxyType(
    {
        "account": _leave_root,
        "privileges": _drop_privileges,
        "landlock": allow_no_file,
        "descriptors": _open_no_more,
        "seccomp": allow_only_computing,  # the last: it refuses all of the above
    }
)
