"""Who may manage a gallery: its owner, or whoever holds its access key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from kappi_galleries.domain.credentials import access_key_hash
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.errors import GalleryKeyWrong, GalleryNotFound
from kappi_galleries.repository.galleries import GalleryQueries, GalleryRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """Who says to be one. account_id: of a token that was verified. access_key: as it was sent.

    At least one is there; either opens the gallery.
    """

    account_id: UUID | None = None
    access_key: str | None = None

    @property
    def name(self) -> str:
        """What tells managers apart; holds the access key, so it is only good for hashing."""
        return f"{self.account_id or ''} {self.access_key or ''}"


async def read_managed(queries: GalleryQueries, gallery_id: UUID, manager: Manager) -> Gallery:
    """The gallery, tombstones included.

    Raises GalleryKeyWrong for a key that is not this gallery's, whether the gallery exists or not, and
    GalleryNotFound for an account that does not own it, likewise.
    """
    return await _managed(gallery_id, manager, by_owner=queries.by_owner, by_key=queries.by_access_key)


async def lock_managed(rows: GalleryRows, gallery_id: UUID, manager: Manager) -> Gallery:
    """As `read_managed`; nobody else changes it until the commit."""
    return await _managed(gallery_id, manager, by_owner=rows.lock_by_owner, by_key=rows.lock_by_access_key)


def key_hash_of(access_key: str) -> bytes:
    """Raises GalleryKeyWrong for a text that is no access key."""
    key_hash = access_key_hash(access_key)
    if key_hash is None:
        raise GalleryKeyWrong
    return key_hash


def matching(gallery: Gallery | None, gallery_id: UUID) -> Gallery:
    """The gallery that a key led to, if it is the one that was asked for. Raises GalleryKeyWrong."""
    if gallery is None or gallery.id != gallery_id:
        raise GalleryKeyWrong
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
