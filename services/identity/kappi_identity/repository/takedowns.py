from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import ColumnElement, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.domain.accounts import AccountId
from kappi_identity.domain.moderation import Takedown
from kappi_identity.models import takedowns


class TakedownQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, *, containing: str | None, before: UUID | None, limit: int, skip: int = 0
    ) -> Sequence[Takedown]:
        """Returns takedowns, newest first, lifted ones included. containing: a part of the gallery or the
        reason, in any case.
        """
        condition = _matching(containing)
        if before is not None:
            condition &= takedowns.c.id < before
        statement = select(takedowns).where(condition).order_by(takedowns.c.id.desc())
        async with self._database.transaction() as connection:
            found = await connection.execute(statement.limit(limit).offset(skip))
            return [Takedown(**row._mapping) for row in found]

    async def count(self, *, containing: str | None) -> int:
        statement = select(func.count()).select_from(takedowns).where(_matching(containing))
        async with self._database.transaction() as connection:
            return int((await connection.execute(statement)).scalar_one())

    async def find(self, takedown_id: UUID) -> Takedown | None:
        statement = select(takedowns).where(takedowns.c.id == takedown_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else Takedown(**row._mapping)


class TakedownRows:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, takedown: Takedown) -> None:
        names: list[Any] = [column.name for column in takedowns.c]
        await self._connection.execute(
            insert(takedowns).values(**{name: getattr(takedown, name) for name in names})
        )

    async def lock(self, takedown_id: UUID) -> Takedown | None:
        found = await self._connection.execute(
            select(takedowns).where(takedowns.c.id == takedown_id).with_for_update()
        )
        row = found.one_or_none()
        return None if row is None else Takedown(**row._mapping)

    async def lift(self, takedown_id: UUID, *, by: AccountId, at: datetime) -> None:
        await self._connection.execute(
            update(takedowns).where(takedowns.c.id == takedown_id).values(lifted_by=by, lifted_at=at)
        )


def _matching(containing: str | None) -> ColumnElement[bool]:
    if not containing:
        return true()
    return or_(
        takedowns.c.gallery.icontains(containing, autoescape=True),
        takedowns.c.reason.icontains(containing, autoescape=True),
    )
