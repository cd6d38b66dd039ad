"""The rules of a gallery: titles, lifetimes, when it is open, when it is due, how its items are counted."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, NewType
from uuid import UUID

GalleryId = NewType("GalleryId", UUID)
MediaId = NewType("MediaId", UUID)
Visibility = Literal["shared", "private"]

ANONYMOUS_TIER = "anonymous"
UNKNOWN_TIER = "Traveller"
"""Named where the owner's tier is not at hand; who applies tiers goes by the owner's account."""

MAX_TITLE_CHARACTERS = 200
MAX_PASSWORD_CHARACTERS = 1_024
MIN_LIFETIME = timedelta(hours=1)

# Controls, halves of surrogate pairs, line and paragraph separators. Format characters stay: emoji need them.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


class TitleRefused(ValueError):
    """A title that is too long or holds characters no title has. code: stable, for machines."""

    def __init__(self, code: Literal["too_long", "control_character"], message: str) -> None:
        super().__init__(message)
        self.code = code


class PasswordRefused(ValueError):
    """A text that cannot be a password."""


class LifetimeRefused(ValueError):
    """A lifetime outside what is allowed."""


def clean_title(text: str) -> str | None:
    """The title without surrounding white space; None where nothing is left. Raises TitleRefused."""
    title = text.strip()
    if len(title) > MAX_TITLE_CHARACTERS:
        raise TitleRefused("too_long", f"A title has at most {MAX_TITLE_CHARACTERS} characters.")
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in title):
        raise TitleRefused("control_character", "A title is one line without control characters.")
    return title or None


def read_password(text: str) -> str:
    """A password in the one form it is hashed in, however a device composes its characters.

    Raises PasswordRefused. Source: RFC 8265, 4.2 (OpaqueString), unassigned code points allowed.
    """
    if not 1 <= len(text) <= MAX_PASSWORD_CHARACTERS:
        raise PasswordRefused(f"A password has 1 to {MAX_PASSWORD_CHARACTERS} characters.")
    categories = {unicodedata.category(character) for character in text}
    if categories & {"Cc", "Cs"}:
        raise PasswordRefused("A password has no control characters.")
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    return unicodedata.normalize("NFC", spaced)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimePolicy:
    """How long anonymous galleries live. default: where nothing is asked for. longest: at most, from now."""

    default: timedelta
    longest: timedelta

    def deadline(self, seconds: int | None, *, now: datetime) -> datetime:
        """The end of a life of so many seconds from now; None for the default. Raises LifetimeRefused."""
        if seconds is None:
            return now + self.default
        shortest_s, longest_s = int(MIN_LIFETIME.total_seconds()), int(self.longest.total_seconds())
        if not shortest_s <= seconds <= longest_s:
            raise LifetimeRefused(f"Ask for {shortest_s} to {longest_s} seconds.")
        return now + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """A gallery as stored. A deleted one is a tombstone: id, code and deletion time, its content gone.

    version: grows with every change of the gallery itself, not with its items. size_bytes: of the
    originals of its ready items. location_free: viewers get copies of originals that do not tell where they
    were taken. takedown_id, takedown_reason: of the decision by which an administrator took it down.
    owner_suspended: its owner's account is suspended.
    """

    id: GalleryId
    code: str | None
    owner_id: UUID | None
    visibility: Visibility
    title: str | None
    password_protected: bool
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    version: int
    item_count: int
    size_bytes: int
    location_free: bool = False
    takedown_id: UUID | None = None
    takedown_reason: str | None = None
    owner_suspended: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether what is in it is not shown, to its manager neither."""
        return self.takedown_id is not None or self.owner_suspended

    @property
    def shown_code(self) -> str | None:
        """The code while it opens something; a private gallery keeps its own hidden."""
        return self.code if self.visibility == "shared" else None

    def is_gone(self, now: datetime) -> bool:
        """Deleted, or past its deadline and merely not swept yet: nobody sees a difference."""
        return self.deleted_at is not None or (self.expires_at is not None and self.expires_at <= now)

    def is_due(self, as_of: datetime) -> bool:
        """Whether it must be deleted as of an instant: only an anonymous gallery ever expires."""
        return (
            self.owner_id is None
            and self.deleted_at is None
            and self.expires_at is not None
            and self.expires_at <= as_of
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterChange:
    """What is added to a gallery's counters; either may be negative."""

    items: int = 0
    size_bytes: int = 0

    def __add__(self, other: CounterChange) -> CounterChange:
        return CounterChange(items=self.items + other.items, size_bytes=self.size_bytes + other.size_bytes)

    def __neg__(self) -> CounterChange:
        return CounterChange(items=-self.items, size_bytes=-self.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedItem:
    """What is known of one item, or what one event says of it.

    gallery_id, sequence: of the newest event that was applied; the item counts there, if that gallery lives.
    moved: whether any event told of a move or of another gallery, so that a late one may name that gallery.
    """

    gallery_id: GalleryId
    sequence: int
    state: Literal["ready", "deleted"]
    size_bytes: int
    moved: bool = False

    @property
    def counts(self) -> CounterChange:
        """What the item adds to its gallery's counters."""
        return (
            CounterChange() if self.state == "deleted" else CounterChange(items=1, size_bytes=self.size_bytes)
        )


def newest(known: CountedItem | None, news: CountedItem) -> CountedItem:
    """What is known of an item after an event, which may be older than what was known before.

    A deletion is final: it leaves a tombstone that outlives a late or repeated `MediaReady` or `MediaMoved`.
    """
    if known is None:
        return news
    outdated = known.state == "deleted" or news.sequence <= known.sequence
    moved = known.moved or news.moved or known.gallery_id != news.gallery_id
    return replace(known if outdated else news, moved=moved)


def count(known: CountedItem | None, after: CountedItem) -> dict[GalleryId, CounterChange]:
    """What is added to the counters of each gallery when an item is known anew; a deleted one has none."""
    if known is None:
        return {after.gallery_id: after.counts}
    changes = {known.gallery_id: -known.counts}
    changes[after.gallery_id] = changes.get(after.gallery_id, CounterChange()) + after.counts
    return changes


def is_kept(item: CountedItem, *, gallery_alive: bool) -> bool:
    """Whether an item is remembered. gallery_alive: whether its gallery is.

    In a deleted gallery nothing counts, and a late event that names it changes nothing. But an item that was
    moved may be named in another gallery, which is alive, by an event that is older than the move.
    """
    return gallery_alive or item.moved
