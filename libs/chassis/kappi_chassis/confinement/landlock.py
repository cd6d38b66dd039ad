"""Landlock (<linux/landlock.h>): no access to files, TCP ports and other processes by any system call."""

from __future__ import annotations

import os
import struct
from typing import Final

from kappi_chassis.confinement.linux import call

# The same numbers on every architecture.
_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1  # a flag that asks for the version

# The number of file rights, by the version that introduced them.
_FILE_RIGHTS: Final = ((5, 16), (3, 15), (2, 14), (1, 13))
_NETWORK_SINCE: Final = 4
_BIND_AND_CONNECT: Final = 0b11
_SCOPES_SINCE: Final = 6
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11


def allow_no_file() -> None:
    """Restricts this thread and the ones that it starts.

    Needs `no_new_privs`. Raises OSError if the kernel lacks Landlock.
    """
    version = call("syscall", _CREATE_RULESET, 0, 0, _VERSION)
    attributes = struct.pack("=Q", (1 << next(n for since, n in _FILE_RIGHTS if version >= since)) - 1)
    if version >= _NETWORK_SINCE:
        attributes += struct.pack("=Q", _BIND_AND_CONNECT)
    if version >= _SCOPES_SINCE:
        attributes += struct.pack("=Q", _ABSTRACT_SOCKETS_AND_SIGNALS)
    # A ruleset that handles every right and allows none.
    ruleset = call("syscall", _CREATE_RULESET, attributes, len(attributes), 0)
    try:
        call("syscall", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
