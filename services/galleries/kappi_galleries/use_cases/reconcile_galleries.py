"""Compares galleries and posts with what media holds of them (ADR-0064).

A deletion that either side knows of wins, because its bytes are gone or going.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox
from kappi_chassis.reconcile import Difference, Page
from kappi_chassis.reconcile.check import PAGE, joined, start_of
from kappi_chassis.reconcile.peer import Peer
from kappi_contracts.events import GalleryDeleted, PostDeleted
from kappi_contracts.reconciliation import HeldGallery, StoredPicture

from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.domain.posts import PostId
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.repository.posts import PostRows
from kappi_galleries.repository.reconcile import GalleryRow, ReconcileQueries
from kappi_galleries.use_cases.delete_gallery import Doomed, tombstone_galleries
from kappi_galleries.use_cases.posts import tombstone_post
from kappi_galleries.use_cases.store_change import store_change


class ReconcileGalleries:
    """A check."""

    kinds: ClassVar[Sequence[str]] = (
        "gallery_unknown",  # held by media, and never created here as far as this database knows
        "gallery_deleted_there",  # lives here, deleted in media
        "gallery_deleted_here",  # deleted here, lives in media
        "gallery_differs",  # media has another owner, or shows it otherwise
    )

    def __init__(self, queries: ReconcileQueries, *, media: Peer, outbox: Outbox, clock: Clock) -> None:
        self._queries = queries
        self._media = media
        self._outbox = outbox
        self._clock = clock

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        start = start_of(after)
        mine = await self._queries.galleries(start, limit=PAGE)
        listed = await self._media.page("galleries", HeldGallery, after=start, limit=PAGE)
        rows, end = joined(mine, {each.gallery_id: each for each in listed}, limit=PAGE)
        found = [
            Difference(kind=kind, subject=str(gallery_id))
            for gallery_id, gallery, held in rows
            if held is not None and (kind := _difference(gallery, held)) is not None
        ]
        return Page(after=end, examined=len(rows), differences=found)

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        gallery_id = UUID(difference.subject)
        before = UUID(int=gallery_id.int - 1)
        listed = await self._media.page("galleries", HeldGallery, after=before, limit=1)
        if not listed or listed[0].gallery_id != gallery_id:
            return False
        (held,) = listed
        now = self._clock()
        async with self._outbox.begin() as unit:
            gallery = await GalleryRows(unit.connection).lock(gallery_id)
            if gallery is None:
                if held.deleted or not held.settled:
                    return False
                gone = GalleryDeleted(
                    gallery_id=gallery_id, owner_id=held.owner_id, reason="requested", deleted_at=now
                )
                await unit.publish(gone, sequence=held.version + 1)
            elif gallery.deleted_at is None and held.deleted:
                await tombstone_galleries(unit, [Doomed(gallery)], reason="requested", now=now)
            elif gallery.deleted_at is not None and not held.deleted:
                again = GalleryDeleted(
                    gallery_id=gallery_id,
                    owner_id=gallery.owner_id,
                    reason="requested",
                    deleted_at=gallery.deleted_at,
                )
                await unit.publish(again, sequence=gallery.version)
            elif gallery.deleted_at is None and _difference(_shown(gallery), held) is not None:
                newest = replace(gallery, version=max(gallery.version, held.version))
                await store_change(unit, newest, now=now)
            else:
                return False
        return True


def _shown(gallery: Gallery) -> GalleryRow:
    return GalleryRow(
        version=gallery.version,
        owner_id=gallery.owner_id,
        location_free=gallery.location_free,
        closed=gallery.is_closed,
        contributions_closed=gallery.contributions == "closed",
        deleted_at=gallery.deleted_at,
    )


def _difference(gallery: GalleryRow | None, held: HeldGallery) -> str | None:
    if gallery is None:
        return None if held.deleted else "gallery_unknown"
    if gallery.deleted_at is not None:
        return None if held.deleted else "gallery_deleted_here"
    if held.deleted:
        return "gallery_deleted_there"
    # Media learns of the rest with the first change, or with a grant.
    faces = (gallery.location_free, gallery.contributions_closed) == (
        held.location_free,
        held.contributions_closed,
    ) or held.version == 0
    owners = gallery.owner_id is None or gallery.owner_id == held.owner_id
    return None if faces and owners and gallery.closed == held.closed else "gallery_differs"


class ReconcilePosts:
    """A check."""

    kinds: ClassVar[Sequence[str]] = (
        "post_without_picture",  # a visible post whose picture media does not have
        "picture_without_post",  # a picture in media, and no post
    )

    def __init__(self, queries: ReconcileQueries, *, media: Peer, outbox: Outbox, clock: Clock) -> None:
        self._queries = queries
        self._media = media
        self._outbox = outbox
        self._clock = clock

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        start = start_of(after)
        mine = await self._queries.posts(start, limit=PAGE)
        listed = await self._media.page("pictures", StoredPicture, after=start, limit=PAGE)
        rows, end = joined(mine, {each.post_id: each for each in listed}, limit=PAGE)
        found = []
        for post_id, state, picture in rows:
            if state == "live" and picture is None:
                found.append(Difference(kind="post_without_picture", subject=str(post_id)))
            elif picture is not None and state in {None, "deleted"}:
                found.append(Difference(kind="picture_without_post", subject=str(post_id)))
        return Page(after=end, examined=len(rows), differences=found)

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        post_id = PostId(UUID(difference.subject))
        listed = await self._media.page("pictures", StoredPicture, after=UUID(int=post_id.int - 1), limit=1)
        picture = listed[0] if listed and listed[0].post_id == post_id else None
        now = self._clock()
        async with self._outbox.begin() as unit:
            rows = PostRows(unit.connection)
            live = await rows.lock_live(post_id)
            if live is not None:
                if picture is not None:
                    return False
                author_id, version = live
                await tombstone_post(
                    unit, post_id, author_id=author_id, version=version, reason="requested", now=now
                )
                return True
            if picture is None or not picture.settled or await rows.lock_draft(post_id) is not None:
                return False
            gone = PostDeleted(
                post_id=post_id, author_id=picture.account_id, reason="requested", deleted_at=now
            )
            await unit.publish(gone, sequence=2)  # a visible post is of version 1
        return True
