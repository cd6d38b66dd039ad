"""The manager's use cases on a gallery: list, read, change, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.fair_queue import Shares
from kappi_chassis.outbox import Outbox
from kappi_chassis.pagination import cut_page
from kappi_chassis.passwords import Passwords

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import CodeScheme
from kappi_galleries.domain.galleries import Gallery, LifetimePolicy, Visibility
from kappi_galleries.errors import AccountRequired, ExpiryNotForAccounts, GalleryNotFound
from kappi_galleries.events import updated
from kappi_galleries.repository.galleries import GalleryQueries, GalleryRows, Secrets
from kappi_galleries.use_cases.access import Manager, lock_managed, read_managed
from kappi_galleries.use_cases.code_allocation import with_new_code
from kappi_galleries.use_cases.deletion import delete


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChange:
    """A new password, in the form in which it is hashed; None removes it."""

    password: str | None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryPage:
    """Galleries, the newest first. next_before: the id from which to continue; None at the end."""

    galleries: Sequence[Gallery]
    next_before: UUID | None


class GalleryManagement:
    """The use cases of a manager.

    Every method on one gallery raises GalleryKeyWrong or GalleryNotFound, as `access` describes.
    """

    def __init__(
        self,
        *,
        queries: GalleryQueries,
        outbox: Outbox,
        passwords: Passwords,
        lifetimes: LifetimePolicy,
        codes: CodeScheme,
        clock: Clock,
    ) -> None:
        self._queries = queries
        self._outbox = outbox
        self._passwords = passwords
        self._lifetimes = lifetimes
        self._codes = codes
        self._clock = clock

    async def list_mine(self, account_id: UUID, *, before: UUID | None, limit: int) -> GalleryPage:
        """Returns living galleries of an account. before: the last id of the page before."""
        found = await self._queries.page_of_owner(account_id, before=before, limit=limit + 1)
        page, last = cut_page(found, limit=limit)
        return GalleryPage(galleries=page, next_before=last.id if last else None)

    async def read(self, gallery_id: UUID, manager: Manager) -> Gallery:
        """Returns the gallery. Raises GalleryNotFound when it is deleted or past its deadline."""
        gallery = await read_managed(self._queries, gallery_id, manager)
        if gallery.is_gone(self._clock()):
            raise GalleryNotFound
        return gallery

    async def change(
        self, gallery_id: UUID, manager: Manager, *, change: GalleryChange, shares: Shares
    ) -> Gallery:
        """Returns the gallery after the change. Nothing is written or published when nothing differs.

        shares: the queue shares that hashing a new password uses.

        Raises GalleryNotFound, AccountRequired, ExpiryNotForAccounts, LifetimeRefused, PasswordsBusy,
        TooManyCodes, CodesExhausted.
        """
        now = self._clock()
        secrets = await self._hashed(gallery_id, manager, change=change, shares=shares)
        async with self._outbox.begin() as unit:
            rows = GalleryRows(unit.connection)
            gallery = await lock_managed(rows, gallery_id, manager)
            if gallery.is_gone(now):
                raise GalleryNotFound
            _check(gallery, change)
            changed = self._changed(gallery, change, now=now)
            if changed == gallery and not secrets.get("password_hash"):
                return gallery
            if changed.visibility == "shared" != gallery.visibility and not change.keep_code:
                # A link that was withdrawn must not come back to life by itself.
                changed = await with_new_code(changed, rows, self._codes, now=now)
            changed = replace(changed, version=gallery.version + 1, updated_at=now)
            await rows.update(changed, secrets=secrets)
            await unit.publish(updated(changed), sequence=changed.version)
        return changed

    async def remove(self, gallery_id: UUID, manager: Manager) -> None:
        """Delete the gallery.

        Repeating it has no further effect, so a client that lost the answer may repeat it.
        """
        now = self._clock()
        async with self._outbox.begin() as unit:
            gallery = await lock_managed(GalleryRows(unit.connection), gallery_id, manager)
            if gallery.deleted_at is not None:
                return
            await delete(unit, gallery, reason="requested", now=now)
        metrics.DELETED.labels("requested").inc()

    async def _hashed(
        self, gallery_id: UUID, manager: Manager, *, change: GalleryChange, shares: Shares
    ) -> Secrets:
        if change.password is None:
            return {}
        if change.password.password is None:
            return {"password_hash": None}
        # The permission is checked before hashing, because a hash is costly and must not be spent on callers
        # that may not change the gallery. The row must not be locked while a hash is waited for.
        _check(await self.read(gallery_id, manager), change)
        return {"password_hash": await self._passwords.hash(change.password.password, shares=shares)}

    def _changed(self, gallery: Gallery, change: GalleryChange, *, now: datetime) -> Gallery:
        changed = replace(gallery, **change.details)
        if change.visibility is not None:
            changed = replace(changed, visibility=change.visibility)
        if change.password is not None:
            changed = replace(changed, password_protected=change.password.password is not None)
        if change.lifetime_s is not None:
            changed = replace(changed, expires_at=self._lifetimes.deadline(change.lifetime_s, now=now))
        return changed


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
