"""The permission to manage a gallery: its owner has it, and the holder of its access key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kappi_galleries.domain.credentials import access_key_hash
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.errors import GalleryKeyWrong, GalleryNotFound
from kappi_galleries.repository.galleries import GalleryQueries, GalleryRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """A caller that claims to manage a gallery. account_id: from a verified token. access_key: as it was
    sent.

    At least one of them is set; either opens the gallery.
    """

    account_id: UUID | None = None
    access_key: str | None = None

    @property
    def name(self) -> str:
        """A text that differs between managers. It contains the access key, so it may only be hashed."""
        return f"{self.account_id or ''} {self.access_key or ''}"


async def read_managed(
    queries: GalleryQueries, gallery_id: UUID, manager: Manager, *, now: datetime
) -> Gallery:
    """Returns a gallery that is neither deleted nor past its deadline.

    Raises GalleryKeyWrong for a key that is not this gallery's and GalleryNotFound for an account that does
    not own it, in both cases whether the gallery exists or not. Raises GalleryNotFound for a gallery that is
    gone.
    """
    found = await _managed(gallery_id, manager, by_owner=queries.by_owner, by_key=queries.by_access_key)
    return _living(found, now=now)


async def lock_managed(rows: GalleryRows, gallery_id: UUID, manager: Manager, *, now: datetime) -> Gallery:
    """As `read_managed`, and no other transaction changes the gallery until the commit."""
    return _living(await lock_managed_or_gone(rows, gallery_id, manager), now=now)


async def lock_managed_or_gone(rows: GalleryRows, gallery_id: UUID, manager: Manager) -> Gallery:
    """As `lock_managed`, but also returns a gallery that is past its deadline, or a tombstone."""
    return await _managed(gallery_id, manager, by_owner=rows.lock_by_owner, by_key=rows.lock_by_access_key)


def key_hash_of(access_key: str) -> bytes:
    """Returns the hash of an access key. Raises GalleryKeyWrong for a text that is no access key."""
    key_hash = access_key_hash(access_key)
    if key_hash is None:
        raise GalleryKeyWrong
    return key_hash


def matching(gallery: Gallery | None, gallery_id: UUID) -> Gallery:
    """Returns the gallery found by a key if it is the requested one. Raises GalleryKeyWrong."""
    if gallery is None or gallery.id != gallery_id:
        raise GalleryKeyWrong
    return gallery


def _living(gallery: Gallery, *, now: datetime) -> Gallery:
    if gallery.is_gone(now):
        raise GalleryNotFound
    return gallery


async def _managed(
    gallery_id: UUID,
    manager: Manager,
    *,
    by_owner: Callable[[UUID, UUID], Awaitable[Gallery | None]],
    by_key: Callable[[bytes], Awaitable[Gallery | None]],
) -> Gallery:
    if manager.account_id is not None:
        own = await by_owner(gallery_id, manager.account_id)
        if own is not None:
            return own
    if manager.access_key is None:
        raise GalleryNotFound
    return matching(await by_key(key_hash_of(manager.access_key)), gallery_id)
