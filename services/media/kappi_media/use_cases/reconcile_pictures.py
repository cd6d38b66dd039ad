"""Compares the pictures of posts with the objects in the store (ADR-0064)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox
from kappi_chassis.reconcile import Difference, Page
from kappi_chassis.reconcile.check import PAGE, start_of
from kappi_chassis.reconcile.peer import Peer
from kappi_chassis.storage import ObjectMissing, ObjectStore
from kappi_contracts.keys import post_picture_key, post_prefix
from kappi_contracts.reconciliation import Named

from kappi_media.domain.media import PostId
from kappi_media.repository.post_pictures import tombstone_picture
from kappi_media.repository.reconcile_objects import ObjectQueries

_PREFIX: Final = "posts/"
_POST = re.compile(r"posts/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")
_END: Final = UUID(int=(1 << 128) - 1)


class ReconcilePictures:
    """A check. A post whose picture is lost keeps its row here as deleted; galleries deletes the post."""

    kinds: ClassVar[Sequence[str]] = (
        "picture_missing",  # the row of a stored picture without the JPEG that is shown
        "picture_unnamed",  # objects of a post that has no picture
    )

    def __init__(
        self,
        objects: ObjectQueries,
        *,
        store: ObjectStore,
        outbox: Outbox,
        galleries: Peer,
        longest_upload: timedelta,
        clock: Clock,
    ) -> None:
        self._objects = objects
        self._store = store
        self._outbox = outbox
        self._galleries = galleries
        self._longest_upload = longest_upload
        self._clock = clock

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        begin = f"{_PREFIX}{after}0" if after else None  # 0 follows the `/` behind the id
        listed = await self._store.list_page(_PREFIX, after=begin, limit=PAGE)
        stored: dict[UUID, set[str]] = {}
        for each in listed.objects:
            if found := _POST.match(each.key):
                stored.setdefault(UUID(found[1]), set()).add(each.key)
        rows = await self._objects.pictures(start_of(after), limit=PAGE)
        ends = [max(rows)] if len(rows) == PAGE else []
        if listed.next_token is not None and len(stored) > 1:
            stored.pop(max(stored))  # its objects may not all be listed yet
            ends.append(max(stored))
        end = min(ends, default=_END)
        posts = sorted(each for each in stored.keys() | rows.keys() if each <= end)
        differences = []
        for post_id in posts:
            shown = post_picture_key(post_id) in stored.get(post_id, ())
            if rows.get(post_id) == "stored" and not shown:
                differences.append(Difference(kind="picture_missing", subject=post_prefix(post_id)))
            elif post_id not in rows:
                differences.append(Difference(kind="picture_unnamed", subject=post_prefix(post_id)))
        return Page(
            after=str(end) if ends else None,
            examined=len(posts),
            differences=differences,
        )

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        found = _POST.fullmatch(difference.subject)
        if found is None:
            return False
        post_id = UUID(found[1])
        if difference.kind == "picture_missing":
            return await self._forget(post_id)
        return await self._remove(post_id)

    async def _forget(self, post_id: UUID) -> bool:
        try:
            await self._store.head(post_picture_key(post_id))
        except ObjectMissing:
            pass
        else:
            return False
        if await self._objects.picture_state(post_id) != "stored":
            return False
        async with self._outbox.begin() as unit:
            await tombstone_picture(unit.connection, PostId(post_id))
        return True

    async def _remove(self, post_id: UUID) -> bool:
        objects = (await self._store.list_page(post_prefix(post_id), limit=PAGE)).objects
        before = self._clock() - self._longest_upload
        if not objects or any(each.last_modified >= before for each in objects):
            return False
        if await self._objects.picture_state(post_id) in {"pending", "stored"}:
            return False
        if (await self._galleries.still_named(Named(post_ids=(post_id,)))).post_ids:
            return False
        report = await self._store.delete_batch([each.key for each in objects])
        return not report.failed
