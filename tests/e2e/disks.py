"""Small disks: a file system of its own where this process may mount one, else the next best."""

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
"""What a new stack takes of its disk, the ballast included."""
_FOR_UPLOADS_BYTES = 120 * MIB
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """mounted: a real file system; else `settings` keep uploads from more than a little of a large one."""

    folder: Path
    mounted: bool
    settings: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def small_disk(folder: Path, *, size_bytes: int) -> Iterator[SmallDisk]:
    """For a whole stack."""
    with mounted(folder, size_bytes=size_bytes) as is_mounted:
        if is_mounted:
            yield SmallDisk(folder, mounted=True)
            return
    # Free space that others use changes by more than an upload: memory is less busy than a disk.
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
    """Whether there is a file system of that size."""
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
    """A file that takes all that is left, as any other program might."""
    path = folder / name
    with path.open("wb", buffering=0) as file:
        for size_bytes in (MIB, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(size_bytes))
    return path
