"""Places of parts in the file that becomes the object, so that completing an upload copies nothing.

When the size of all parts but the last is known, the place of each is known before it arrives. Its first
sender writes it there, and an empty file with its metadata shows that it is complete. Every other sender of
it writes a file of its own, because the bytes of a complete part must not change before the next is whole.

Two locks (flock, which ends with its process) protect a place: one for each part, held by its writer, and one
of the file, shared by the writers for each write. Completing takes the latter alone after it has written its
plan, so that a writer whose client was replaced cannot write into the object afterwards.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Final

from kappi_chassis.storage.contract import MultipartMissing

PLACED: Final = "placed"


class PartSlot:
    """The place of one part, for one writer. Thread-safe, because a call that was given up may still run."""

    def __init__(self, descriptor: int, *, offset: int, is_open: Callable[[], bool], held: ExitStack) -> None:
        """is_open: whether the upload still accepts parts. held: what `release` closes."""
        self._descriptor = descriptor
        self._offset = offset
        self._is_open = is_open
        self._held = held
        self._lock = Lock()
        self._released = False

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Writes the next bytes. Raises MultipartMissing when the upload is being completed or is over."""
        with self._lock:
            if self._released:
                raise MultipartMissing
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise MultipartMissing from error
            try:
                if not self._is_open():
                    raise MultipartMissing
                rest = memoryview(chunk)
                while rest:
                    written = os.pwrite(self._descriptor, rest, self._offset)
                    self._offset += written
                    rest = rest[written:]
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def sync(self) -> None:
        """Makes the bytes durable."""
        os.fsync(self._descriptor)

    def release(self) -> None:
        """Lets another writer use the place, unless the part is complete. A write that runs ends first."""
        with self._lock:
            self._released = True
            self._held.close()


def claim_slot(
    folder: Path, *, number: int, size_bytes: int, part_size_bytes: int, is_open: Callable[[], bool]
) -> PartSlot | None:
    """Returns the place of a part of an upload; None if it has none, another writer uses it, or it is
    complete.

    part_size_bytes: the size of each part but the last.
    """
    if size_bytes > part_size_bytes:
        return None
    with ExitStack() as opened:
        claim = os.open(folder / f"{number:05d}.slot", os.O_WRONLY | os.O_CREAT, 0o600)
        opened.callback(os.close, claim)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if (folder / f"{number:05d}").exists():
            return None
        descriptor = os.open(folder / PLACED, os.O_WRONLY | os.O_CREAT, 0o600)
        opened.callback(os.close, descriptor)
        offset = (number - 1) * part_size_bytes
        return PartSlot(descriptor, offset=offset, is_open=is_open, held=opened.pop_all())
