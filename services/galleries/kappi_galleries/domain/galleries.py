"""The rules of a gallery: titles, lifetimes, when it is open or due, and how its items are counted."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal, NewType
from uuid import UUID

GalleryId = NewType("GalleryId", UUID)
MediaId = NewType("MediaId", UUID)
Visibility = Literal["shared", "private"]
Contributions = Literal["closed", "open", "drop"]
"""Whether holders of the code may add items. In `drop`, a contributor sees only its own."""

MAX_TITLE_CHARACTERS = 200
MAX_PASSWORD_CHARACTERS = 1_024
MIN_LIFETIME = timedelta(hours=1)
MAX_CAP = 1_000_000

# Control characters, surrogates, line and paragraph separators. Format characters stay allowed: emoji need
# them.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


class LineRefused(ValueError):
    """A title or a name is too long or holds characters that no line may have. code: stable, for machines."""

    def __init__(self, code: Literal["too_long", "control_character"], message: str) -> None:
        super().__init__(message)
        self.code = code


class PasswordRefused(ValueError):
    """A text cannot be a password."""


class LifetimeRefused(ValueError):
    """A lifetime is outside the allowed range."""


def clean_line(text: str, *, kind: str, max_characters: int) -> str | None:
    """Returns the text without surrounding white space; None where nothing is left. kind: of the text, for
    messages. Raises LineRefused.
    """
    line = text.strip()
    if len(line) > max_characters:
        raise LineRefused("too_long", f"A {kind} has at most {max_characters} characters.")
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in line):
        raise LineRefused("control_character", f"A {kind} is one line without control characters.")
    return line or None


def clean_title(text: str) -> str | None:
    """Returns the title as it is stored; None where nothing is left. Raises LineRefused."""
    return clean_line(text, kind="title", max_characters=MAX_TITLE_CHARACTERS)


def read_password(text: str) -> str:
    """Returns a password in the one form in which it is hashed, whichever way a device composes its
    characters.

    Raises PasswordRefused. Source: RFC 8265, 4.2 (OpaqueString), with unassigned code points allowed.
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
    """The lifetimes of anonymous galleries. default: used where none is asked for. longest: the limit,
    counted from now.
    """

    default: timedelta
    longest: timedelta

    def deadline(self, seconds: int | None, *, now: datetime) -> datetime:
        """Returns the instant that is `seconds` from now; None means the default. Raises LifetimeRefused."""
        if seconds is None:
            return now + self.default
        shortest_s, longest_s = int(MIN_LIFETIME.total_seconds()), int(self.longest.total_seconds())
        if not shortest_s <= seconds <= longest_s:
            raise LifetimeRefused(f"Ask for {shortest_s} to {longest_s} seconds.")
        return now + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryDetails:
    """The fields that a manager sets and that no rule depends on, but for the caps (`with_caps_applied`).

    location_free: viewers get copies of originals that do not hold where they were taken. max_views,
    max_downloads: the caps on what viewers may do, None for no cap. cover_media_id: the item that stands for
    the gallery; None for its first ready one. contributions: whether holders of the code may add items.
    """

    title: str | None = None
    location_free: bool = False
    max_views: int | None = None
    max_downloads: int | None = None
    cover_media_id: UUID | None = None
    contributions: Contributions = "closed"


DETAILS: Final[Mapping[str, Any]] = MappingProxyType(
    {field.name: field.default for field in fields(GalleryDetails)}
)
"""Names of details -> their defaults. A detail whose default is None may be taken away."""


def details_of(source: GalleryDetails) -> dict[str, Any]:
    """Returns the details by name."""
    return {name: getattr(source, name) for name in DETAILS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery(GalleryDetails):
    """A gallery as stored. A deleted gallery is a tombstone: it keeps its id, code and deletion time, but no
    content.

    version: grows with every change of the gallery itself, not with its items. size_bytes: the sum of the
    originals of its ready items. takedown_id, takedown_reason: the decision by which an administrator took
    the gallery down. owner_suspended: the owner's account is suspended. views_used, downloads_used: counted
    while there is a cap on them. used_up_at: when a cap was reached.
    """

    id: GalleryId
    code: str | None
    owner_id: UUID | None
    visibility: Visibility
    password_protected: bool
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    version: int = 1
    item_count: int = 0
    size_bytes: int = 0
    takedown_id: UUID | None = None
    takedown_reason: str | None = None
    owner_suspended: bool = False
    views_used: int = 0
    downloads_used: int = 0
    used_up_at: datetime | None = None

    @property
    def downloads_capped(self) -> bool:
        """Whether downloads of its viewers are counted."""
        return self.max_downloads is not None

    @property
    def capped(self) -> bool:
        """Whether views are counted or refused: a cap on downloads that is reached refuses them, too."""
        return self.max_views is not None or self.max_downloads is not None

    @property
    def is_closed(self) -> bool:
        """Whether the gallery's content is hidden from all callers, its manager included."""
        return self.takedown_id is not None or self.owner_suspended

    @property
    def shown_code(self) -> str | None:
        """The code while it opens the gallery; None for a private gallery."""
        return self.code if self.visibility == "shared" else None

    def is_shown(self, now: datetime) -> bool:
        """Whether the code opens the gallery; a reached cap is left aside."""
        return self.visibility == "shared" and not self.is_closed and not self.is_gone(now)

    def is_gone(self, now: datetime) -> bool:
        """Whether the gallery is deleted or past its deadline.

        Both are the same to clients, since the sweep comes later.
        """
        return self.deleted_at is not None or (self.expires_at is not None and self.expires_at <= now)

    def is_due(self, as_of: datetime) -> bool:
        """Whether the gallery must be deleted as of an instant. Only an anonymous gallery expires."""
        return (
            self.owner_id is None
            and self.deleted_at is None
            and self.expires_at is not None
            and self.expires_at <= as_of
        )


def with_caps_applied(gallery: Gallery, *, now: datetime) -> Gallery:
    """Returns a gallery whose caps have changed, with what follows from them.

    A count ends with its cap, so a cap that is set again counts from zero. A gallery whose cap was raised
    above its count is open again.
    """
    views_used = 0 if gallery.max_views is None else gallery.views_used
    downloads_used = 0 if gallery.max_downloads is None else gallery.downloads_used
    is_used_up = (gallery.max_views is not None and views_used >= gallery.max_views) or (
        gallery.max_downloads is not None and downloads_used >= gallery.max_downloads
    )
    return replace(
        gallery,
        views_used=views_used,
        downloads_used=downloads_used,
        used_up_at=(gallery.used_up_at or now) if is_used_up else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterChange:
    """The amounts that are added to a gallery's counters; either may be negative."""

    items: int = 0
    size_bytes: int = 0

    def __add__(self, other: CounterChange) -> CounterChange:
        return CounterChange(items=self.items + other.items, size_bytes=self.size_bytes + other.size_bytes)

    def __neg__(self) -> CounterChange:
        return CounterChange(items=-self.items, size_bytes=-self.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedItem:
    """The known state of one item, or the state that one event reports.

    gallery_id, sequence: those of the newest applied event; the item counts in that gallery while the gallery
    lives. contributor_id: the contributor that added the item; None for others, and until it is known. moved:
    whether any event reported a move or another gallery, so that a late event may name that gallery.
    """

    gallery_id: GalleryId
    sequence: int
    state: Literal["ready", "deleted"]
    size_bytes: int
    contributor_id: UUID | None = None
    moved: bool = False

    @property
    def counts(self) -> CounterChange:
        """The amounts that the item adds to its gallery's counters."""
        return (
            CounterChange() if self.state == "deleted" else CounterChange(items=1, size_bytes=self.size_bytes)
        )


def newest(known: CountedItem | None, news: CountedItem) -> CountedItem:
    """Returns the state of an item after an event, which may be older than the known state.

    A deletion is final: it leaves a tombstone that outlives a late or repeated `MediaReady` or `MediaMoved`.
    """
    if known is None:
        return news
    outdated = known.state == "deleted" or news.sequence <= known.sequence
    moved = known.moved or news.moved or known.gallery_id != news.gallery_id
    # Only `MediaReady` names the contributor, and it may arrive after a move.
    contributor_id = known.contributor_id or news.contributor_id
    return replace(known if outdated else news, moved=moved, contributor_id=contributor_id)


def count(known: CountedItem | None, after: CountedItem) -> dict[GalleryId, CounterChange]:
    """Returns the change of each gallery's counters when an item's state changes; a deleted item counts
    nothing.
    """
    if known is None:
        return {after.gallery_id: after.counts}
    changes = {known.gallery_id: -known.counts}
    changes[after.gallery_id] = changes.get(after.gallery_id, CounterChange()) + after.counts
    return changes


def is_kept(item: CountedItem, *, gallery_alive: bool) -> bool:
    """Whether an item's row is kept. gallery_alive: whether the item's gallery is alive.

    In a deleted gallery nothing counts, and a late event that names it changes nothing. But for an item that
    was moved, an event that is older than the move may name another gallery, which is alive.
    """
    return gallery_alive or item.moved


def is_cover_lost(gallery: Gallery, media_id: UUID, item: CountedItem) -> bool:
    """Whether the gallery's cover is this item, which was deleted or is in another gallery. item: its newest
    state.
    """
    left = item.state == "deleted" or item.gallery_id != gallery.id
    return gallery.cover_media_id == media_id and left
