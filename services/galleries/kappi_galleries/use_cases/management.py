"""What the holder of an access key does with a gallery: read, change, delete."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import GalleryUpdated

from kappi_galleries import metrics
from kappi_galleries.credentials import access_key_hash
from kappi_galleries.domain import Gallery, LifetimePolicy
from kappi_galleries.errors import GalleryKeyWrong, GalleryNotFound
from kappi_galleries.repository import GalleryQueries, GalleryRows
from kappi_galleries.use_cases.deletion import delete


@dataclass(frozen=True, slots=True, kw_only=True)
class TitleChange:
    """A new title; None takes it away."""

    title: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryChange:
    """What to change; None leaves a part as it is. lifetime_s: seconds from now."""

    title: TitleChange | None = None
    lifetime_s: int | None = None


class GalleryManagement:
    """Every method takes the path's id and the access key, and raises GalleryKeyWrong unless they match.

    A wrong key gets that one answer whether the gallery exists or not.
    """

    def __init__(
        self, *, queries: GalleryQueries, outbox: Outbox, lifetimes: LifetimePolicy, clock: Clock
    ) -> None:
        self._queries = queries
        self._outbox = outbox
        self._lifetimes = lifetimes
        self._clock = clock

    async def read(self, gallery_id: UUID, access_key: str) -> Gallery:
        """Raises GalleryNotFound when it is deleted or past its deadline."""
        found = await self._queries.by_access_key(_hash(access_key))
        gallery = _matching(found, gallery_id)
        if gallery.is_gone(self._clock()):
            raise GalleryNotFound
        return gallery

    async def change(self, gallery_id: UUID, access_key: str, *, change: GalleryChange) -> Gallery:
        """The gallery after the change. Without a difference nothing is written or published.

        Raises GalleryNotFound, LifetimeRefused.
        """
        now, key_hash = self._clock(), _hash(access_key)
        async with self._outbox.begin() as unit:
            rows = GalleryRows(unit.connection)
            gallery = _matching(await rows.lock_by_access_key(key_hash), gallery_id)
            if gallery.is_gone(now):
                raise GalleryNotFound
            changed = self._changed(gallery, change, now=now)
            if changed == gallery:
                return gallery
            changed = replace(changed, version=gallery.version + 1, updated_at=now)
            await rows.update(changed)
            await unit.publish(_updated(changed), sequence=changed.version)
        return changed

    async def remove(self, gallery_id: UUID, access_key: str) -> None:
        """Delete it. Again is the same as once, so that a client that lost the answer may repeat."""
        now, key_hash = self._clock(), _hash(access_key)
        async with self._outbox.begin() as unit:
            locked = await GalleryRows(unit.connection).lock_by_access_key(key_hash)
            gallery = _matching(locked, gallery_id)
            if gallery.deleted_at is not None:
                return
            await delete(unit, gallery, reason="requested", now=now)
        metrics.DELETED.labels("requested").inc()

    def _changed(self, gallery: Gallery, change: GalleryChange, *, now: datetime) -> Gallery:
        changed = gallery
        if change.title is not None:
            changed = replace(changed, title=change.title.title)
        if change.lifetime_s is not None:
            changed = replace(changed, expires_at=self._lifetimes.deadline(change.lifetime_s, now=now))
        return changed


def _hash(access_key: str) -> bytes:
    key_hash = access_key_hash(access_key)
    if key_hash is None:
        raise GalleryKeyWrong
    return key_hash


def _matching(gallery: Gallery | None, gallery_id: UUID) -> Gallery:
    if gallery is None or gallery.id != gallery_id:
        raise GalleryKeyWrong
    return gallery


def _updated(gallery: Gallery) -> GalleryUpdated:
    return GalleryUpdated(
        gallery_id=gallery.id,
        owner_id=gallery.owner_id,
        visibility=gallery.visibility,
        expires_at=gallery.expires_at,
        updated_at=gallery.updated_at,
    )
