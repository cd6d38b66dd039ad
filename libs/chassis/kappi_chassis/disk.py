"""Free space of a file system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_RESERVED_BYTES: Final = 2 << 30
_RESERVED_SHARE: Final = 4


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Space of a file system. free_bytes: bytes that an unprivileged process may still write."""

    free_bytes: int
    total_bytes: int

    @property
    def default_reserve_bytes(self) -> int:
        """Bytes that uploads leave free by default: a quarter of the total, at most 2 GiB."""
        return min(MOST_RESERVED_BYTES, self.total_bytes // _RESERVED_SHARE)


def disk_space(path: Path) -> DiskSpace:
    """Returns the space of the file system of `path`, which must exist.

    Blocks: a network file system may be slow.
    """
    found = os.statvfs(path)
    return DiskSpace(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
