"""Empties one prefix of the object store, without the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kappi_chassis.storage import ObjectStore

from kappi_janitor import metrics
from kappi_janitor.domain import check_purged_prefix
from kappi_janitor.errors import KeysRefused, LeftBehind

KEY_ATTEMPTS = 4
KEY_PAUSE_S = 0.2

OnRemoved = Callable[[int], Awaitable[None]]


async def delete_prefix(store: ObjectStore, prefix: str, *, on_removed: OnRemoved) -> None:
    """Remove every version of every object, and unfinished multipart uploads, under a prefix.

    on_removed: called after each batch (<= 1,000) with the number of removed objects; its exception ends the
    work. An empty prefix is a success. Raises ValueError for a prefix that must not be purged, before
    anything is removed. Raises KeysRefused when single keys keep failing, LeftBehind when new objects appear
    under the prefix in the meantime, StorageUnavailable, StorageRefused; another sweep removes the rest.
    """
    check_purged_prefix(prefix)
    # Uploads are aborted first, so that no part becomes an object after its page was listed.
    await store.abort_multipart_uploads(prefix)
    fruitless = 0
    while True:
        report = await store.delete_versions_page(prefix)
        if not report.deleted and not report.failed:
            break
        if report.deleted:
            metrics.PURGED_OBJECTS.inc(report.deleted)
            await on_removed(report.deleted)
        if report.failed:
            # The next page begins where this one began, so it contains the failed keys again.
            fruitless = 0 if report.deleted else fruitless + 1
            if fruitless >= KEY_ATTEMPTS:
                raise KeysRefused(report.failed)
            await asyncio.sleep(KEY_PAUSE_S * fruitless)
    remaining = await store.list_page(prefix, limit=1)
    if remaining.objects:
        raise LeftBehind(f"{prefix} still holds {remaining.objects[0].key}")
