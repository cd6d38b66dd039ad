"""Changing a gallery as its manager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.fair_queue import Shares
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.passwords import Passwords

from kappi_galleries.domain.credentials import CodeScheme
from kappi_galleries.domain.galleries import (
    Gallery,
    LifetimePolicy,
    MediaId,
    Visibility,
    with_caps_applied,
)
from kappi_galleries.errors import AccountRequired, ExpiryNotForAccounts, MediaNotFound
from kappi_galleries.media_client import ReadyItems
from kappi_galleries.repository.galleries import GalleryQueries, GalleryRows, Secrets
from kappi_galleries.repository.items import find_item
from kappi_galleries.use_cases.access import Manager, lock_managed, read_managed
from kappi_galleries.use_cases.code_allocation import with_new_code
from kappi_galleries.use_cases.store_change import store_change


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChange:
    """A new password, in the form in which it is hashed; None removes it."""

    password: str | None


class _Cover(NamedTuple):
    """A requested cover, and the version at which the item was in the gallery."""

    media_id: UUID
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryChange:
    """The requested changes; None leaves a field as it is.

    details: new values by name. keep_code: keep the code of a private gallery that becomes shared.
    lifetime_s: seconds from now.
    """

    details: Mapping[str, Any] = field(default_factory=dict)
    visibility: Visibility | None = None
    password: PasswordChange | None = None
    lifetime_s: int | None = None
    keep_code: bool = False


class ChangeGallery:
    """Changes a gallery as its manager."""

    def __init__(
        self,
        queries: GalleryQueries,
        *,
        outbox: Outbox,
        passwords: Passwords,
        lifetimes: LifetimePolicy,
        codes: CodeScheme,
        items: ReadyItems,
        clock: Clock,
    ) -> None:
        self._queries = queries
        self._outbox = outbox
        self._passwords = passwords
        self._lifetimes = lifetimes
        self._codes = codes
        self._items = items
        self._clock = clock

    async def __call__(
        self, gallery_id: UUID, manager: Manager, *, change: GalleryChange, shares: Shares
    ) -> Gallery:
        """Returns the gallery after the change. Nothing is written or published when nothing differs.

        shares: the queue shares that hashing a new password uses.

        Raises GalleryKeyWrong, GalleryNotFound, AccountRequired, ExpiryNotForAccounts, LifetimeRefused,
        PasswordsBusy, TooManyCodes, CodesExhausted, MediaNotFound, MediaNotReady, CoverUnavailable.
        """
        now = self._clock()
        cover = await self._cover(gallery_id, manager, change.details.get("cover_media_id"))
        secrets = await self._hashed(gallery_id, manager, change=change, shares=shares)
        async with self._outbox.begin() as unit:
            rows = GalleryRows(unit.connection)
            gallery = await lock_managed(rows, gallery_id, manager, now=now)
            _check(gallery, change)
            if cover is not None and await _has_left(unit, cover, gallery_id):
                raise MediaNotFound
            changed = self._changed(gallery, change, now=now)
            if changed == gallery and not secrets.get("password_hash"):
                return gallery
            if changed.visibility == "shared" != gallery.visibility and not change.keep_code:
                # A link that was withdrawn must not open the gallery again without a decision of its manager.
                changed = await with_new_code(changed, rows, self._codes, now=now)
            return await store_change(unit, changed, now=now, secrets=secrets)

    async def _cover(self, gallery_id: UUID, manager: Manager, media_id: UUID | None) -> _Cover | None:
        if media_id is None:
            return None
        # The permission is checked first, so that only a manager learns of the gallery's items.
        await read_managed(self._queries, gallery_id, manager, now=self._clock())
        return _Cover(media_id, await self._items.version_of_ready(gallery_id, media_id))

    async def _hashed(
        self, gallery_id: UUID, manager: Manager, *, change: GalleryChange, shares: Shares
    ) -> Secrets:
        if change.password is None:
            return {}
        if change.password.password is None:
            return {"password_hash": None}
        # The permission is checked before hashing, because a hash is costly and must not be spent on callers
        # that may not change the gallery. The row must not be locked while a hash is waited for.
        gallery = await read_managed(self._queries, gallery_id, manager, now=self._clock())
        _check(gallery, change)
        return {"password_hash": await self._passwords.hash(change.password.password, shares=shares)}

    def _changed(self, gallery: Gallery, change: GalleryChange, *, now: datetime) -> Gallery:
        changed = with_caps_applied(replace(gallery, **change.details), now=now)
        if change.visibility is not None:
            changed = replace(changed, visibility=change.visibility)
        if change.password is not None:
            changed = replace(changed, password_protected=change.password.password is not None)
        if change.lifetime_s is not None:
            changed = replace(changed, expires_at=self._lifetimes.deadline(change.lifetime_s, now=now))
        return changed


async def _has_left(unit: UnitOfWork, cover: _Cover, gallery_id: UUID) -> bool:
    """Whether an event says that the item was deleted or moved after the media service was asked. An event
    that comes later removes the cover.
    """
    known = await find_item(unit.connection, MediaId(cover.media_id))
    if known is None or known.sequence <= cover.version:
        return False
    return known.state == "deleted" or known.gallery_id != gallery_id


def _check(gallery: Gallery, change: GalleryChange) -> None:
    if gallery.owner_id is not None:
        if change.lifetime_s is not None:
            raise ExpiryNotForAccounts
        return
    wanted = {
        "visibility": change.visibility == "private",
        "password": change.password is not None and change.password.password is not None,
    }
    refused = [field for field, asked in wanted.items() if asked]
    if refused:
        raise AccountRequired(*refused)
