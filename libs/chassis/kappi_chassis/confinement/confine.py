"""The layers of confinement. Each works without the others."""

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
"""A user and a group that own nothing. It is not `nobody`: servers run as that user, and own files."""

# <linux/prctl.h>, <linux/capability.h>
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522


def confine() -> tuple[str, ...]:
    """Restricts this process for ever to computing and its open descriptors.

    Afterwards it cannot open, change or list files, make sockets, start programs or processes, or see, trace
    or signal other processes. Call it after all libraries are loaded, before the first untrusted byte is
    read, and before any thread is started. Memory stays readable, so the process must be a program of its own
    and not a fork of one that holds secrets.

    Returns the names from `LAYERS` that this platform lacks.
    """
    missing = []
    for name, apply in LAYERS.items():
        try:
            apply()
        except OSError:
            missing.append(name)
    return tuple(missing)


def _leave_root() -> None:
    """Changes from root to ACCOUNT; other accounts stay."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(ACCOUNT, ACCOUNT, ACCOUNT)
        os.setresuid(ACCOUNT, ACCOUNT, ACCOUNT)


def _drop_privileges() -> None:
    """Drops all capabilities, keeps programs from gaining any, and keeps other processes' debuggers out."""
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("capset", struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24))
    call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def _open_no_more() -> None:
    """Forbids new descriptors, hence new files and sockets."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


LAYERS: Final[Mapping[str, Callable[[], None]]] = MappingProxyType(
    {
        "account": _leave_root,
        "privileges": _drop_privileges,
        "landlock": allow_no_file,
        "descriptors": _open_no_more,
        "seccomp": allow_only_computing,  # the last, because it refuses all of the above
    }
)
