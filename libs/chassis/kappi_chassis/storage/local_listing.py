"""Lists a tree of objects in key order, page by page, reading only the folders that a page needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kappi_chassis.storage.contract import ListedObject
from kappi_chassis.storage.local_paths import CONTINUED_SUFFIX, OBJECT_SUFFIX, decoded_name, prefix_folder


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of a folder: an object, or (`key` ending in `/`) a folder."""

    key: bytes
    entry: os.DirEntry[str]
    is_object: bool


def objects_under(root: Path, prefix: str, *, after: str | None = None) -> Iterator[ListedObject]:
    """Yields objects whose key begins with `prefix`, after `after`.

    The order is that of S3: by the UTF-8 bytes of the whole key. Objects deleted meanwhile may be missing.
    """
    folder, folder_key = prefix_folder(root, prefix)
    wanted = prefix.encode()
    passed = after.encode() if after is not None else b""
    # A stack instead of recursion: keys may have hundreds of segments.
    pending = [iter(_sorted_entries(folder, folder_key))]
    while pending:
        found = next(pending[-1], None)
        if found is None:
            pending.pop()
        elif found.is_object:
            listed = _listed(found) if found.key.startswith(wanted) and found.key > passed else None
            if listed is not None:
                yield listed
        elif _may_hold(found.key, wanted=wanted, passed=passed):
            pending.append(iter(_sorted_entries(Path(found.entry.path), found.key)))


def keys_under(root: Path, prefix: str) -> Iterator[str]:
    """Yields the keys that begin with `prefix`, in no order.

    A folder is read as far as the caller asks, so a few keys of a large folder cost little time and memory.
    """
    folder, folder_key = prefix_folder(root, prefix)
    wanted = prefix.encode()
    pending = [_entries(folder, folder_key)]
    while pending:
        found = next(pending[-1], None)
        if found is None:
            pending.pop()
        elif found.is_object:
            if found.key.startswith(wanted):
                yield found.key.decode()
        elif _may_hold(found.key, wanted=wanted, passed=b""):
            pending.append(_entries(Path(found.entry.path), found.key))


def _may_hold(folder_key: bytes, *, wanted: bytes, passed: bytes) -> bool:
    if not (folder_key.startswith(wanted) or wanted.startswith(folder_key)):
        return False
    return folder_key > passed or passed.startswith(folder_key)


def _sorted_entries(folder: Path, folder_key: bytes) -> list[_Entry]:
    # A folder sorts with its `/`, which puts `a-b` before `a/b`, like their keys.
    return sorted(_entries(folder, folder_key), key=lambda found: found.key)


def _entries(folder: Path, name_so_far: bytes) -> Iterator[_Entry]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return  # deleted since its parent was read, or never there
    with entries:
        for entry in entries:
            name = entry.name
            if name.endswith(OBJECT_SUFFIX):
                key = name_so_far + decoded_name(name.removesuffix(OBJECT_SUFFIX))
                yield _Entry(key, entry, is_object=True)
            elif name.endswith(CONTINUED_SUFFIX):
                # The rest of an over-long segment: its entries belong to this folder.
                begun = name_so_far + decoded_name(name.removesuffix(CONTINUED_SUFFIX))
                yield from _entries(Path(entry.path), begun)
            else:
                yield _Entry(name_so_far + decoded_name(name) + b"/", entry, is_object=False)


def _listed(found: _Entry) -> ListedObject | None:
    try:
        status = found.entry.stat()
    except FileNotFoundError:
        return None
    return ListedObject(
        key=found.key.decode(),
        size_bytes=status.st_size,
        last_modified=datetime.fromtimestamp(status.st_mtime, UTC),
    )
