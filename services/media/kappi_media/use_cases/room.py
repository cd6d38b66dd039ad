"""Checks whether the store has room for an upload, and maps its failures to problems."""

from __future__ import annotations

from typing import Final

from kappi_chassis.problems import InsufficientStorage, Problem
from kappi_chassis.storage import ObjectStore, StorageFull, StorageUnavailable

from kappi_media.errors import StoreUnavailable

FULL_RETRY_AFTER_S: Final = 60


async def check_room(store: ObjectStore, size_bytes: int) -> None:
    """Raises InsufficientStorage when `size_bytes` could not be uploaded; StoreUnavailable."""
    try:
        await store.check_room(size_bytes)
    except StorageUnavailable as error:
        raise store_problem(error) from error


def store_problem(error: StorageUnavailable) -> Problem:
    """Returns InsufficientStorage or StoreUnavailable."""
    if isinstance(error, StorageFull):
        return InsufficientStorage("Try again later: nothing was stored.", retry_after_s=FULL_RETRY_AFTER_S)
    return StoreUnavailable(retry_after_s=1)
