"""Prepares the folder of the local store before the store and its users start."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kappi_chassis.storage.local_metadata import check_attributes
from kappi_chassis.storage.local_migration import migrate, needs_migration

from kappi_embedded.console import Console


async def prepare_store_folder(folder: Path, console: Console) -> None:
    """Checks that the folder can be used, and migrates it if an older version wrote it.

    The start waits for that. Cancelling ends the migration after a batch, and the next start continues it.
    Raises StorageUnavailable, OSError.
    """
    await asyncio.to_thread(check_attributes, folder)
    if not needs_migration(folder):
        return
    console.say("  The objects of an older version are made plain files. This happens once.")
    batches = migrate(folder)
    done = 0
    while (so_far := await asyncio.to_thread(next, batches, None)) is not None:
        done = so_far
        console.say(f"  files so far: {done}")
    console.done("files", f"made plain: {done}")
