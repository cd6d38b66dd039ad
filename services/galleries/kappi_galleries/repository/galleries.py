"""SQL of galleries. Hot statements go straight to asyncpg: one statement, one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, TypedDict
from uuid import UUID

from kappi_chassis.db import Database
from kappi_chassis.outbox import OutboxRow
from sqlalchemy import Column, ColumnElement, CursorResult, Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.galleries import DETAILS, Gallery, GalleryId
from kappi_galleries.models import galleries, standing_takedowns, used_codes

# `password_protected` is computed; the other fields are columns.
_STORED: Final = tuple(field.name for field in fields(Gallery) if field.name != "password_protected")
GALLERY_COLUMNS: Final = f"{', '.join(_STORED)}, password_hash IS NOT NULL AS password_protected"
"""The columns of `galleries` from which a `Gallery` is read."""
# The other columns of a new gallery have defaults.
_OF_NEW: Final = ("id", "owner_id", "visibility", "expires_at", "created_at", "updated_at", *DETAILS)
_CHANGEABLE: Final = (
    *("code", "owner_id", "visibility", "expires_at", "updated_at", "version"),
    *("takedown_id", "takedown_reason", "owner_suspended"),
    *("views_used", "downloads_used", "used_up_at"),
    *DETAILS,
)
_CREATE: Final = f"""
WITH taken AS (
  INSERT INTO used_codes (code) VALUES ($1) ON CONFLICT DO NOTHING RETURNING code),
created AS (
  INSERT INTO galleries (code, access_key_hash, {", ".join(_OF_NEW)})
  SELECT code, $2, {", ".join(f"${number}" for number in range(9, 9 + len(_OF_NEW)))} FROM taken
  ON CONFLICT (code) DO NOTHING
  RETURNING version)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $3, $4, $5, $6, $7, $8, version FROM created
RETURNING sequence
"""  # noqa: S608 - column names, not input
_SHARED_BY_CODE = f"""
SELECT {GALLERY_COLUMNS}, password_hash FROM galleries
WHERE code = $1 AND visibility = 'shared'
  AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
  AND takedown_id IS NULL AND NOT owner_suspended
  AND (used_up_at IS NULL OR used_up_at > $3)
"""  # noqa: S608 - column names, not input
# One statement checks the cap and counts, so that no number of concurrent requests can pass it. A row that
# another statement changes is waited for and checked again. An access that uses up a cap is left to a
# transaction, because it is published.
_COUNT_VIEW = """
UPDATE galleries SET views_used = views_used + (max_views IS NOT NULL)::int
WHERE id = $1 AND deleted_at IS NULL
  AND (max_views IS NULL OR views_used + 1 < max_views)
  AND (max_downloads IS NULL OR downloads_used < max_downloads)
RETURNING true
"""
_COUNT_DOWNLOAD = """
UPDATE galleries SET downloads_used = downloads_used + (max_downloads IS NOT NULL)::int
WHERE id = $1 AND deleted_at IS NULL
  AND (max_downloads IS NULL OR downloads_used + 1 < max_downloads)
  AND (used_up_at IS NULL OR used_up_at > $2)
RETURNING true
"""
_BELOW_CAPS = """
SELECT true FROM galleries WHERE id = $1 AND deleted_at IS NULL
  AND (max_views IS NULL OR views_used < max_views)
  AND (max_downloads IS NULL OR downloads_used < max_downloads)
"""
_BY_KEY = f"SELECT {GALLERY_COLUMNS} FROM galleries WHERE access_key_hash = $1"  # noqa: S608 - as above
# An access token outlives the suspension of its account by minutes.
_BY_OWNER = f"""
SELECT {GALLERY_COLUMNS} FROM galleries WHERE id = $1 AND owner_id = $2 AND NOT owner_suspended
"""  # noqa: S608 - as above
_PAGE_OF_OWNER = f"""
SELECT {GALLERY_COLUMNS} FROM galleries
WHERE owner_id = $1 AND deleted_at IS NULL AND NOT owner_suspended AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3
"""  # noqa: S608 - as above
_ENDING = "FROM galleries WHERE deleted_at IS NULL AND expires_at > $1 AND expires_at <= $2"
_COUNT_ENDING = f"SELECT count(*) {_ENDING}"
_SOME_ENDING = f"SELECT {GALLERY_COLUMNS} {_ENDING} ORDER BY expires_at, id LIMIT $3"
_REHASH = "UPDATE galleries SET password_hash = $3 WHERE id = $1 AND password_hash = $2"

_columns = (
    *(galleries.c[name] for name in _STORED),
    galleries.c.password_hash.is_not(None).label("password_protected"),
)
_VIEWS: Final = galleries.c.views_used, galleries.c.max_views
_DOWNLOADS: Final = galleries.c.downloads_used, galleries.c.max_downloads


class Secrets(TypedDict, total=False):
    """The stored forms of secrets; an absent key leaves its column unchanged."""

    access_key_hash: bytes | None
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class SharedGallery:
    """A gallery found by its code. password_hash: the hash of the password that viewers need; None
    for none.
    """

    gallery: Gallery
    password_hash: str | None


class GalleryQueries:
    """Single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, gallery: Gallery, *, access_key_hash: bytes, event: OutboxRow) -> bool:
        """Insert an anonymous, shared gallery and its event. Returns False when the code is taken."""
        sequence = await self._database.hot.fetchval(
            _CREATE, gallery.code, access_key_hash, *event, *(getattr(gallery, name) for name in _OF_NEW)
        )
        return sequence is not None

    async def shared_by_code(
        self, code: str, *, now: datetime, used_up_since: datetime
    ) -> SharedGallery | None:
        """Returns the gallery that this code opens at `now` (UTC).

        code: in its stored form. used_up_since: a gallery whose cap was reached before is not opened.
        """
        record = await self._database.hot.fetchrow(_SHARED_BY_CODE, code, now, used_up_since)
        if record is None:
            return None
        values = dict(record)
        password_hash = values.pop("password_hash")
        return SharedGallery(Gallery(**values), password_hash)

    async def count_view(self, gallery_id: UUID) -> bool:
        """Count a view that does not use up the cap. Returns False for any other, and counts nothing then."""
        return bool(await self._database.hot.fetchval(_COUNT_VIEW, gallery_id))

    async def count_download(self, gallery_id: UUID, *, used_up_since: datetime) -> bool:
        """As `count_view`, for a download. used_up_since: nothing is downloaded once the cap on
        views was reached before.
        """
        return bool(await self._database.hot.fetchval(_COUNT_DOWNLOAD, gallery_id, used_up_since))

    async def is_below_caps(self, gallery_id: UUID) -> bool:
        """Whether no cap of a living gallery is reached."""
        return bool(await self._database.hot.fetchval(_BELOW_CAPS, gallery_id))

    async def by_access_key(self, key_hash: bytes) -> Gallery | None:
        """Returns the gallery of this key, tombstones included."""
        return _from_record(await self._database.hot.fetchrow(_BY_KEY, key_hash))

    async def by_owner(self, gallery_id: UUID, owner_id: UUID) -> Gallery | None:
        """Returns the gallery, tombstones included, if it belongs to this account."""
        return _from_record(await self._database.hot.fetchrow(_BY_OWNER, gallery_id, owner_id))

    async def page_of_owner(self, owner_id: UUID, *, before: UUID | None, limit: int) -> list[Gallery]:
        """Returns living galleries of an account, the newest first. before: the last id of the page
        before.
        """
        records = await self._database.hot.fetch(_PAGE_OF_OWNER, owner_id, before, limit)
        return [Gallery(**record) for record in records]

    async def count_ending(self, *, after: datetime, until: datetime) -> int:
        """Returns how many living galleries have their deadline after `after` and not after `until`."""
        count: int = await self._database.hot.fetchval(_COUNT_ENDING, after, until)
        return count

    async def ending(self, *, after: datetime, until: datetime, limit: int) -> list[Gallery]:
        """Returns up to `limit` of these galleries, the earliest deadline first."""
        records = await self._database.hot.fetch(_SOME_ENDING, after, until, limit)
        return [Gallery(**record) for record in records]

    async def rehash(self, gallery_id: UUID, *, old: str, new: str) -> None:
        """Replace the hash of a password, unless the password was changed in the meantime."""
        await self._database.hot.execute(_REHASH, gallery_id, old, new)


class GalleryRows:
    """Galleries within one transaction: lock first, then decide, then write."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def take_code(self, code: str) -> bool:
        """Take a code. Returns False when it was ever used before; the transaction stays usable."""
        return await self._changed(insert(used_codes).values(code=code).on_conflict_do_nothing())

    async def take_another_code(self, gallery: Gallery, *, at: datetime) -> bool:
        """As `take_code`, for the code that the gallery gets in place of its stored one."""
        taken = insert(used_codes).values(code=gallery.code, gallery_id=gallery.id, taken_at=at)
        return await self._changed(taken.on_conflict_do_nothing())

    async def other_codes_since(self, gallery_id: GalleryId, since: datetime) -> tuple[int, datetime | None]:
        """Returns the number of codes that replaced the gallery's old ones after `since`, and the time of the
        first of them.
        """
        found = await self._connection.execute(
            select(func.count(), func.min(used_codes.c.taken_at)).where(
                used_codes.c.gallery_id == gallery_id, used_codes.c.taken_at > since
            )
        )
        count, first = found.one()
        return count, first

    async def insert(self, gallery: Gallery, *, secrets: Secrets) -> bool:
        """Insert a new gallery and take its code. Returns False when the code is not free."""
        if gallery.code is None or not await self.take_code(gallery.code):
            return False
        values = {name: getattr(gallery, name) for name in _OF_NEW}
        return await self._changed(
            insert(galleries)
            .values(code=gallery.code, **values, **secrets)
            .on_conflict_do_nothing(index_elements=["code"])
        )

    async def lock_by_access_key(self, key_hash: bytes) -> Gallery | None:
        """Returns the gallery of this key, tombstones included.

        No other transaction changes it until the commit.
        """
        return await self._lock(galleries.c.access_key_hash == key_hash)

    async def lock_by_owner(self, gallery_id: UUID, owner_id: UUID) -> Gallery | None:
        """Returns the gallery, tombstones included, if it belongs to this account, which is not suspended.

        No other transaction changes it until the commit.
        """
        return await self._lock(
            (galleries.c.id == gallery_id)
            & (galleries.c.owner_id == owner_id)
            & galleries.c.owner_suspended.is_(False)
        )

    async def lock(self, gallery_id: UUID) -> Gallery | None:
        """Returns the gallery, tombstones included. No other transaction changes it until the commit."""
        return await self._lock(galleries.c.id == gallery_id)

    async def lock_to_view(self, gallery_id: UUID) -> Gallery | None:
        """Returns a living gallery that may be viewed once more, locked as above."""
        return await self._lock(_living(gallery_id) & _below(_VIEWS) & _below(_DOWNLOADS))

    async def lock_to_download(self, gallery_id: UUID, *, used_up_since: datetime) -> Gallery | None:
        """As `lock_to_view`, for a download. used_up_since: as in `GalleryQueries.count_download`."""
        used_up_at = galleries.c.used_up_at
        is_open = or_(used_up_at.is_(None), used_up_at > used_up_since)
        return await self._lock(_living(gallery_id) & _below(_DOWNLOADS) & is_open)

    async def lock_by_code(self, code: str) -> Gallery | None:
        """Returns the gallery that has this code, tombstones included; locked as above."""
        return await self._lock(galleries.c.code == code)

    async def lock_by_takedown(self, takedown_id: UUID) -> Gallery | None:
        """Returns the gallery that this decision took down, locked as above."""
        decided = select(standing_takedowns.c.gallery_id).where(
            standing_takedowns.c.takedown_id == takedown_id
        )
        return await self._lock(galleries.c.id == decided.scalar_subquery())

    async def lock_some_of_owner(self, owner_id: UUID, *, limit: int) -> list[Gallery]:
        """Returns up to `limit` living galleries of an account, locked as above."""
        found = await self._connection.execute(
            select(*_columns)
            .where(galleries.c.owner_id == owner_id, galleries.c.deleted_at.is_(None))
            .order_by(galleries.c.id)
            .limit(limit)
            .with_for_update()
        )
        return [Gallery(**row._mapping) for row in found]

    async def lock_some_to_change(self, owner_id: UUID, *, suspended: bool, limit: int) -> list[Gallery]:
        """Returns living galleries of an account whose `owner_suspended` differs from `suspended`; locked as
        above.
        """
        found = await self._connection.execute(
            select(*_columns)
            .where(
                galleries.c.owner_id == owner_id,
                galleries.c.deleted_at.is_(None),
                galleries.c.owner_suspended.is_not(suspended),
            )
            .order_by(galleries.c.id)
            .limit(limit)
            .with_for_update()
        )
        return [Gallery(**row._mapping) for row in found]

    async def update(self, gallery: Gallery, *, secrets: Secrets | None = None) -> None:
        """Write the changeable columns of a locked gallery. secrets: the secrets that change with it."""
        await self._connection.execute(
            update(galleries)
            .where(galleries.c.id == gallery.id)
            .values(**{name: getattr(gallery, name) for name in _CHANGEABLE}, **(secrets or {}))
        )

    async def _lock(self, condition: Any) -> Gallery | None:
        found = await self._connection.execute(select(*_columns).where(condition).with_for_update())
        return _from_row(found.one_or_none())

    async def _changed(self, statement: Any) -> bool:
        result: CursorResult[Any] = await self._connection.execute(statement)
        return bool(result.rowcount)


def _living(gallery_id: UUID) -> ColumnElement[bool]:
    return (galleries.c.id == gallery_id) & galleries.c.deleted_at.is_(None)


def _below(count_and_cap: tuple[Column[Any], Column[Any]]) -> ColumnElement[bool]:
    count, cap = count_and_cap
    return or_(cap.is_(None), count < cap)


def _from_row(row: Row[Any] | None) -> Gallery | None:
    return None if row is None else Gallery(**row._mapping)


def _from_record(record: Mapping[str, Any] | None) -> Gallery | None:
    return None if record is None else Gallery(**record)
