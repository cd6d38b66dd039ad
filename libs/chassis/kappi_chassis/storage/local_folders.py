"""Folders that are created and removed without locks, also by several processes.

A writer creates them and tries again when they are removed meanwhile; a deletion removes only folders that
`rmdir` finds empty.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from kappi_chassis.storage.contract import (
    ObjectExistsAlready,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)
from kappi_chassis.storage.local_paths import object_path

_PLACE_ATTEMPTS: Final = 100
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class KeyedFolder:
    """A tree with one file per object key."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, key: str) -> Path:
        """Returns the path of a key. Raises StorageRefused for a key that no store accepts."""
        return object_path(self._root, key)

    def place(self, source: Path, target: Path, step: Callable[[Path, Path], None]) -> None:
        """Moves a finished file to its name with `step`, and makes the name durable."""
        for _ in range(_PLACE_ATTEMPTS):
            try:
                _make_folders(target.parent, below=self._root)
                step(source, target)
            except FileNotFoundError:
                if not source.exists():
                    raise
                continue  # a deletion removed an empty folder between the two steps
            with contextlib.suppress(FileNotFoundError):  # stored, and deleted again since
                sync_folder(target.parent)
            return
        raise StorageUnavailable("the folder of an object keeps vanishing")

    def remove(self, keys: Iterable[str]) -> dict[str, str]:
        """Removes files; missing ones count as removed. Returns key -> reason for those that could not be
        removed.
        """
        failed: dict[str, str] = {}
        emptied: dict[Path, None] = {}
        for key in keys:
            try:
                path = self.path(key)
                path.unlink(missing_ok=True)
            except StorageRefused as error:
                failed[key] = str(error)
            except OSError as error:
                failed[key] = error.strerror or type(error).__name__
            else:
                emptied[path.parent] = None
        for folder in {self._prune(folder) for folder in emptied}:
            # A missing folder means that another deletion removed it, and syncs the folder above.
            with contextlib.suppress(FileNotFoundError):
                sync_folder(folder)
        return failed

    def _prune(self, folder: Path) -> Path:
        """Removes `folder` and the folders above it while they are empty. Returns the first that stays."""
        while folder != self._root:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass  # another deletion was faster: continue above
            except OSError:
                break  # not empty
            folder = folder.parent
        return folder


@contextlib.contextmanager
def translated_os_errors() -> Iterator[None]:
    """Turns OSErrors into failures of the contract."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise StorageRefused("the key is too long for this file system") from error
        if error.errno in _FULL:
            raise StorageFull("the file system of the store is full") from error
        # Without str(error): it contains the path, hence the key.
        raise StorageUnavailable(f"the store's folder failed: {error.strerror}") from error


def link_and_unlink(source: Path, target: Path) -> None:
    """Renames a file, without ever replacing another. Raises ObjectExistsAlready."""
    # link() refuses an existing name atomically; rename() does not.
    try:
        os.link(source, target)
    except FileExistsError as error:
        raise ObjectExistsAlready from error
    source.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folders(folder: Path, *, below: Path) -> None:
    """Creates a folder and its parents, and makes every new name durable."""
    if folder.is_dir():
        return
    below.mkdir(parents=True, exist_ok=True)
    missing: list[Path] = []
    while folder != below and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        # Without `exist_ok`, which checks the folder again: a deletion may have removed it meanwhile.
        with contextlib.suppress(FileExistsError):
            each.mkdir()
        sync_folder(each.parent)
