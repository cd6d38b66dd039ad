"""Changes many items of one account in one transaction.

Galleries are locked first, in the order of their ids, then items, as in every change of a single item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from kappi_chassis.problems import Unavailable
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Text,
    TextClause,
    Uuid,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import AccountId, Charge, ItemStatus
from kappi_media.models.gallery import contents
from kappi_media.models.item import deleted_media, items
from kappi_media.models.upload import uploads
from kappi_media.repository.ownership import release_all

# Tags that differ only in case or accents count as one. An item keeps the spelling that it already has.
_RETAG = """
WITH wanted AS MATERIALIZED (
  SELECT min(tag COLLATE "C") AS tag, library_fold(tag) AS key, min(nth) AS nth
  FROM unnest(:tags) WITH ORDINALITY AS t (tag, nth) GROUP BY 2),
changed AS (
  SELECT i.id, i.tags AS old_tags, {tags} AS new_tags FROM items i WHERE i.id = ANY(:ids))
UPDATE items i SET tags = changed.new_tags, version = i.version + 1 FROM changed
WHERE i.id = changed.id AND changed.new_tags <> changed.old_tags
  AND jsonb_array_length(changed.new_tags) <= :most
RETURNING i.id, i.gallery_id
"""
_ADDED = """
i.tags || (SELECT coalesce(jsonb_agg(w.tag ORDER BY w.nth), '[]') FROM wanted w
  WHERE w.key <> ALL (SELECT library_fold(had) FROM jsonb_array_elements_text(i.tags) AS t (had)))
"""
_TAKEN_AWAY = """
(SELECT coalesce(jsonb_agg(t.had ORDER BY t.nth), '[]')
  FROM jsonb_array_elements_text(i.tags) WITH ORDINALITY AS t (had, nth)
  WHERE library_fold(t.had) <> ALL (SELECT w.key FROM wanted w))
"""
_TYPES = (bindparam("tags", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(Uuid)))
_ADD_TAGS = text(_RETAG.format(tags=_ADDED)).bindparams(*_TYPES)
_TAKE_TAGS = text(_RETAG.format(tags=_TAKEN_AWAY)).bindparams(*_TYPES)


HOLD_ATTEMPTS: Final = 5


class HeldItem(NamedTuple):
    """An item that is locked until the end of the transaction. tag_count: the number of its tags. size_bytes:
    of the original.
    """

    id: UUID
    gallery_id: UUID
    status: ItemStatus
    tag_count: int
    size_bytes: int


async def hold_items(
    connection: AsyncConnection, media_ids: Sequence[UUID], *, owner_id: AccountId
) -> list[HeldItem]:
    """Lock those of these items that are in the account's library; items of closed galleries are left out.

    Raises Unavailable when they are moved in each of the attempts.
    """
    for _ in range(HOLD_ATTEMPTS):
        async with connection.begin_nested() as savepoint:
            held = await _hold_where_they_are(connection, media_ids, owner_id=owner_id)
            if held is not None:
                return held
            # An item was moved while this transaction waited for its gallery; its new gallery may have to be
            # locked first.
            await savepoint.rollback()
    raise Unavailable("Try again in a moment.", retry_after_s=1)


async def _hold_where_they_are(
    connection: AsyncConnection, media_ids: Sequence[UUID], *, owner_id: AccountId
) -> list[HeldItem] | None:
    """Returns None when one of the items is now in another gallery of the account, which is not locked."""
    homes = (
        select(contents.c.gallery_id)
        .where(
            contents.c.gallery_id.in_(select(items.c.gallery_id).where(items.c.id.in_(media_ids))),
            *_open_to(owner_id),
        )
        .order_by(contents.c.gallery_id)
        .with_for_update()
    )
    held = (await connection.execute(homes)).scalars().all()
    found = (
        select(
            items.c.id,
            items.c.gallery_id,
            items.c.status,
            func.jsonb_array_length(items.c.tags),
            items.c.size_bytes,
        )
        .where(items.c.id.in_(media_ids), items.c.gallery_id.in_(held))
        .order_by(items.c.id)
        .with_for_update()
    )
    items_held = [HeldItem(*row) for row in await connection.execute(found)]
    if len(items_held) < len(media_ids):
        elsewhere = (
            select(items.c.id)
            .join_from(items, contents, contents.c.gallery_id == items.c.gallery_id)
            .where(items.c.id.in_(set(media_ids) - {item.id for item in items_held}), *_open_to(owner_id))
            .limit(1)
        )
        if (await connection.execute(elsewhere)).first() is not None:
            return None
    return items_held


def _open_to(owner_id: AccountId) -> tuple[ColumnElement[bool], ...]:
    """Returns the conditions of the galleries whose items the account may change."""
    return (
        contents.c.owner_id == owner_id,
        contents.c.deleted_at.is_(None),
        contents.c.closed.is_(False),
    )


async def add_tags(
    connection: AsyncConnection, held: Sequence[HeldItem], *, tags: Sequence[str], most: int
) -> set[UUID]:
    """Add tags. Returns the items that would get more than `most` tags; these stay unchanged."""
    changed = await _retag(connection, held, tags=tags, statement=_ADD_TAGS, most=most)
    unchanged = [item.id for item in held if item.id not in changed]
    lacking = select(items.c.id).where(
        items.c.id.in_(unchanged),
        text(
            "EXISTS (SELECT FROM unnest(:tags) AS w (tag) WHERE library_fold(w.tag) <> ALL ("
            "SELECT library_fold(had) FROM jsonb_array_elements_text(items.tags) AS t (had)))"
        ).bindparams(bindparam("tags", value=list(tags), type_=ARRAY(Text))),
    )
    return set((await connection.execute(lacking)).scalars())


async def take_tags(connection: AsyncConnection, held: Sequence[HeldItem], *, tags: Sequence[str]) -> None:
    """Remove tags from the items that have them."""
    most = max((item.tag_count for item in held), default=0)
    await _retag(connection, held, tags=tags, statement=_TAKE_TAGS, most=most)


async def _retag(
    connection: AsyncConnection,
    held: Sequence[HeldItem],
    *,
    tags: Sequence[str],
    statement: TextClause,
    most: int,
) -> set[UUID]:
    rows = await connection.execute(
        statement, {"ids": [item.id for item in held], "tags": list(tags), "most": most}
    )
    changed = {row.id: row.gallery_id for row in rows}
    await _bump(connection, set(changed.values()))
    return set(changed)


async def _bump(connection: AsyncConnection, gallery_ids: set[UUID]) -> None:
    await connection.execute(
        update(contents).where(contents.c.gallery_id.in_(gallery_ids)).values(version=contents.c.version + 1)
    )


class Tombstone(NamedTuple):
    """A deleted item. sequence: its last one. traceparent: of its upload, where known."""

    sequence: int
    traceparent: str | None


async def delete_held(
    connection: AsyncConnection, held: Sequence[HeldItem], *, owner_id: AccountId | None, now: datetime
) -> dict[UUID, Tombstone]:
    """Remove items with their uploads and renditions, and leave tombstones. owner_id: None for items of an
    anonymous gallery.
    """
    ids = [item.id for item in held]
    forgotten = delete(uploads).where(uploads.c.media_id.in_(ids))
    returned = await connection.execute(forgotten.returning(uploads.c.media_id, uploads.c.traceparent))
    traces = {row.media_id: row.traceparent for row in returned}
    gone = (
        await connection.execute(
            delete(items)
            .where(items.c.id.in_(ids))
            .returning(
                items.c.id,
                items.c.gallery_id,
                (items.c.version + 1).label("version"),
                items.c.status,
                items.c.charged_bytes,
                items.c.live_partner_id,
                items.c.raw_partner_id,
            )
        )
    ).all()
    if not gone:
        return {}
    await _leave_partners(connection, gone)
    tombstones = [
        {"media_id": row.id, "gallery_id": row.gallery_id, "version": row.version, "deleted_at": now}
        for row in gone
    ]
    await connection.execute(insert(deleted_media), tombstones)
    seen = Counter({item.gallery_id: 0 for item in held})
    seen.update(row.gallery_id for row in gone if row.status != "rejected")
    await _count_off(connection, seen)
    if owner_id is not None:
        used = sum(row.charged_bytes for row in gone if row.status != "rejected")
        await release_all(connection, {owner_id: Charge(reserved_bytes=0, used_bytes=used)})
    return {row.id: Tombstone(row.version, traces.get(row.id)) for row in gone}


async def _count_off(connection: AsyncConnection, seen: Counter[UUID]) -> None:
    """Subtract what viewers do not see any more from the galleries' counts."""
    for gallery_id in sorted(seen):
        await connection.execute(
            update(contents)
            .where(contents.c.gallery_id == gallery_id)
            .values(version=contents.c.version + 1, item_count=contents.c.item_count - seen[gallery_id])
        )


async def _leave_partners(connection: AsyncConnection, gone: Sequence[Any]) -> None:
    """Clear the references from the other halves of pairs."""
    ids = [row.id for row in gone]
    named = [partner for row in gone for partner in (row.live_partner_id, row.raw_partner_id)]
    left = {
        name: case((items.c[name].in_(ids), None), else_=items.c[name])
        for name in ("live_partner_id", "raw_partner_id")
    }
    await connection.execute(
        update(items)
        .where(items.c.id.in_([partner for partner in named if partner is not None]))
        .values(**left, version=items.c.version + 1)
    )
