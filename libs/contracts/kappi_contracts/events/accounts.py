from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from kappi_contracts.events.base import Event, Instant


class AccountCreated(Event, frozen=True, kw_only=True):
    """An account was created. tier: name of the tier whose rules apply to the account."""

    aggregate: ClassVar[str] = "account_id"
    account_id: UUID
    tier: str
    created_at: Instant


class AccountTierChanged(Event, frozen=True, kw_only=True):
    """The rules of another tier apply to the account from now on."""

    aggregate: ClassVar[str] = "account_id"
    account_id: UUID
    tier: str
    changed_at: Instant


class AccountSuspensionChanged(Event, frozen=True, kw_only=True):
    """An administrator suspended an account or ended its suspension.

    While it is suspended, its galleries are not shown and it gets no new galleries, posts or comments.
    """

    aggregate: ClassVar[str] = "account_id"
    account_id: UUID
    suspended: bool
    changed_at: Instant


class GalleryTakedownChanged(Event, frozen=True, kw_only=True):
    """An administrator took a gallery down or ended the takedown. gallery: its id, or its code at that time.

    reason: text that the owner sees.
    """

    aggregate: ClassVar[str] = "takedown_id"
    takedown_id: UUID
    gallery: str
    reason: str
    lifted: bool
    changed_at: Instant


class AccountDeleted(Event, frozen=True, kw_only=True):
    """An account was deleted: everything that it owns may be removed everywhere."""

    aggregate: ClassVar[str] = "account_id"
    account_id: UUID
    deleted_at: Instant


class TierChanged(Event, frozen=True, kw_only=True):
    """The rules of a tier after a change. rendition_sizes: heights in pixels, ascending.

    name: as spelled when the tier was first created, even if it was deleted and created again; names that
    differ only in case are one tier. quota_bytes: None for no limit. deleted: no account has the tier any
    more.
    """

    aggregate: ClassVar[str] = "name"
    name: str
    rendition_sizes: list[int]
    original_access: bool
    expiring_links: bool
    max_file_bytes: int
    quota_bytes: int | None
    deleted: bool
    changed_at: Instant
