"""Small disks: a mounted file system if this process may mount one, otherwise a limit of the free space."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kappi_chassis.disk import disk_space

MIB = 1 << 20
_STACK_BYTES = 120 * MIB
"""The disk space of a new stack, including the ballast."""
_FOR_UPLOADS_BYTES = 120 * MIB
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """mounted: whether it is a real file system; otherwise `settings` limit uploads to a part of a disk."""

    folder: Path
    mounted: bool
    settings: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def small_disk(folder: Path, *, size_bytes: int) -> Iterator[SmallDisk]:
    """Yields a disk for a whole stack."""
    with mounted(folder, size_bytes=size_bytes) as is_mounted:
        if is_mounted:
            yield SmallDisk(folder, mounted=True)
            return
    # Other programs change the free space by more than an upload does; memory changes less than a disk.
    if _MEMORY.is_dir() and disk_space(_MEMORY).free_bytes > 2 * (_STACK_BYTES + _FOR_UPLOADS_BYTES):
        folder = _MEMORY / f"kappi-{os.getpid()}"
        folder.mkdir()
    reserve_bytes = disk_space(folder).free_bytes - _STACK_BYTES - _FOR_UPLOADS_BYTES
    try:
        yield SmallDisk(
            folder, mounted=False, settings={"KAPPI_LOCAL_STORE_RESERVE_BYTES": str(reserve_bytes)}
        )
    finally:
        shutil.rmtree(folder)


@contextmanager
def mounted(folder: Path, *, size_bytes: int) -> Iterator[bool]:
    """Yields whether a file system of that size is mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=755", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_up(folder: Path, name: str = "filled") -> Path:
    """Fills the remaining space with a file, as any other program might."""
    path = folder / name
    with path.open("wb", buffering=0) as file:
        for size_bytes in (MIB, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(size_bytes))
    return path
