"""What is due and not done: purges, galleries, links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_janitor.models import due_galleries, due_links, purges

_DUE: Final[Mapping[str, tuple[Column[Any], ColumnElement[bool]]]] = {
    "purge": (purges.c.not_before, purges.c.done_at.is_(None)),
    "gallery": (due_galleries.c.expires_at, due_galleries.c.deleted_at.is_(None)),
    "link": (due_links.c.expires_at, due_links.c.claimed_at.is_(None)),
}


@dataclass(frozen=True, slots=True)
class Overdue:
    """What is due of one kind. oldest: when the first of it was due; None if there is none."""

    number: int
    oldest: datetime | None


async def overdue(connection: AsyncConnection, *, now: datetime, limit: int) -> Mapping[str, Overdue]:
    """Returns what is due, by kind: `purge`, `gallery`, `link`. Numbers are counted up to `limit`."""
    found = {}
    for kind, (due_at, is_open) in _DUE.items():
        due = (
            select(due_at.label("due_at"))
            .where(is_open, due_at <= now)
            .order_by(due_at)
            .limit(limit)
            .subquery()
        )
        row = (await connection.execute(select(func.count(), func.min(due.c.due_at)))).one()
        found[kind] = Overdue(number=row[0], oldest=row[1])
    return found
