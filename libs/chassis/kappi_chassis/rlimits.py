"""The limit of open connections and files of this process."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

WANTED: Final = 1 << 16


def raise_file_limit() -> None:
    """Raises the limit to the maximum: shells start with 1,024, fewer than the requests accepted at once."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if most == resource.RLIM_INFINITY else min(WANTED, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        with suppress(OSError, ValueError):  # the kernel's own limit may be still lower
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
