"""Reserves disk space for PostgreSQL, which cannot start on a full disk; without it nothing can be read.

The ballast is a file without content. It is removed when a full disk keeps PostgreSQL from starting, and
created again once there is space.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from kappi_chassis.disk import DiskSpace, disk_space

from kappi_embedded.console import Console

NEEDED_BYTES: Final = 16 << 20
"""The free space that PostgreSQL needs to start: one segment of its log.

It continues with that, since old segments are reused.
"""
BALLAST_BYTES: Final = 2 * NEEDED_BYTES
_POLL_S = 1.0
_MIB = 1 << 20


class Ballast:
    """The reserved space. path: the file, on PostgreSQL's disk. reserve_bytes: the free space that uploads
    require; None for the default share of the disk.
    """

    def __init__(self, path: Path, *, console: Console, reserve_bytes: int | None = None) -> None:
        self._path = path
        self._console = console
        self._reserve_bytes = reserve_bytes

    def is_short(self) -> bool:
        """Whether the disk has too little space for PostgreSQL to start or to run for long."""
        return self._space().free_bytes < NEEDED_BYTES

    async def make_room(self) -> None:
        """Returns once PostgreSQL has space to start. On a full disk this removes the ballast or waits."""
        if not await asyncio.to_thread(self.is_short):
            return
        space = await asyncio.to_thread(self._space)
        await asyncio.to_thread(self._path.unlink, missing_ok=True)
        self._explain(space)  # not earlier, because the output may go to a file on the same disk
        if not await asyncio.to_thread(self.is_short):
            return
        self._console.warn("postgres waits for room")
        while await asyncio.to_thread(self.is_short):  # noqa: ASYNC110 - freed space sends no signal
            await asyncio.sleep(_POLL_S)

    def keep(self) -> None:
        """Creates the file if it is missing and as much space remains after it. Blocks. Raises OSError."""
        if self._path.exists() or self._space().free_bytes < 2 * BALLAST_BYTES:
            return
        draft = self._path.with_suffix(".new")
        try:
            with draft.open("wb", buffering=0) as file:
                _fill(file.fileno())
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)

    def _space(self) -> DiskSpace:
        return disk_space(self._path.parent)

    def _explain(self, space: DiskSpace) -> None:
        reserve_bytes = space.default_reserve_bytes if self._reserve_bytes is None else self._reserve_bytes
        self._console.warn(
            f"The disk is full: {space.free_bytes // _MIB} of {space.total_bytes // _MIB} MiB are free at "
            f"{self._path.parent}. PostgreSQL needs {NEEDED_BYTES // _MIB} MiB to start, kept back in "
            f"{self._path.name} if there was room; uploads are refused until {reserve_bytes // _MIB} MiB are "
            "free. Free space there, or make the disk larger: the rest goes on by itself"
        )


def _fill(descriptor: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
        return
    for _ in range(BALLAST_BYTES // _MIB):
        os.write(descriptor, bytes(_MIB))
