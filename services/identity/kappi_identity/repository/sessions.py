from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import and_, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.domain.accounts import RefreshToken, Session, SessionId
from kappi_identity.models import refresh_tokens, sessions

_columns = tuple(
    sessions.c[name]
    for name in ("id", "account_id", "device", "created_at", "last_used_at", "expires_at", "revoked_at")
)


class SessionQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, account_id: UUID, *, now: datetime, before: UUID | None, limit: int
    ) -> Sequence[Session]:
        """Returns living sessions of an account, newest first."""
        statement = select(*_columns).where(
            sessions.c.account_id == account_id,
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > now,
        )
        if before is not None:
            statement = statement.where(sessions.c.id < before)
        async with self._database.transaction() as connection:
            found = await connection.execute(statement.order_by(sessions.c.id.desc()).limit(limit))
            return [Session(**row._mapping) for row in found]


class SessionRows:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, session: Session) -> None:
        values = {column.name: getattr(session, column.name) for column in _columns}
        await self._connection.execute(insert(sessions).values(**values))

    async def lock(self, session_id: UUID) -> Session | None:
        """Returns the session, ended or not. No other transaction refreshes it until the commit."""
        found = await self._connection.execute(
            select(*_columns).where(sessions.c.id == session_id).with_for_update()
        )
        row = found.one_or_none()
        return None if row is None else Session(**row._mapping)

    async def prolong(self, session_id: UUID, *, last_used_at: datetime, expires_at: datetime) -> None:
        await self._connection.execute(
            update(sessions)
            .where(sessions.c.id == session_id)
            .values(last_used_at=last_used_at, expires_at=expires_at)
        )

    async def revoke(self, session_id: UUID, *, account_id: UUID, now: datetime) -> bool:
        """End the session. Returns False when the account has no such living session."""
        result = await self._connection.execute(
            update(sessions)
            .where(
                sessions.c.id == session_id,
                sessions.c.account_id == account_id,
                sessions.c.revoked_at.is_(None),
                sessions.c.expires_at > now,
            )
            .values(revoked_at=now)
        )
        return bool(result.rowcount)

    async def revoke_all(self, account_id: UUID, *, now: datetime, but: UUID | None = None) -> None:
        """End every living session of the account. but: the session that stays."""
        condition = and_(sessions.c.account_id == account_id, sessions.c.revoked_at.is_(None))
        if but is not None:
            condition = and_(condition, sessions.c.id != but)
        await self._connection.execute(update(sessions).where(condition).values(revoked_at=now))

    async def remove_all(self, account_id: UUID) -> None:
        """Remove every session of the account, with its tokens."""
        await self._connection.execute(delete(sessions).where(sessions.c.account_id == account_id))


class TokenRows:
    """Refresh tokens. Their session must be locked first."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def session_of(self, token_hash: bytes) -> SessionId | None:
        found = await self._connection.execute(
            select(refresh_tokens.c.session_id).where(refresh_tokens.c.token_hash == token_hash)
        )
        session_id = found.scalar_one_or_none()
        return None if session_id is None else SessionId(session_id)

    async def find(self, token_hash: bytes) -> RefreshToken | None:
        child = refresh_tokens.alias("child")
        successor_used = exists().where(
            child.c.parent_hash == refresh_tokens.c.token_hash,
            child.c.superseded_at.is_(None),
            child.c.used_at.is_not(None),
        )
        found = await self._connection.execute(
            select(
                refresh_tokens.c.used_at,
                refresh_tokens.c.superseded_at,
                successor_used.label("successor_used"),
            ).where(refresh_tokens.c.token_hash == token_hash)
        )
        row = found.one_or_none()
        return None if row is None else RefreshToken(**row._mapping)

    async def add(
        self, token_hash: bytes, *, session_id: UUID, parent_hash: bytes | None, now: datetime
    ) -> None:
        await self._connection.execute(
            insert(refresh_tokens).values(
                token_hash=token_hash, session_id=session_id, parent_hash=parent_hash, issued_at=now
            )
        )

    async def use(self, token_hash: bytes, *, now: datetime) -> None:
        await self._mark(refresh_tokens.c.token_hash == token_hash, used_at=now)

    async def supersede_children(self, token_hash: bytes, *, now: datetime) -> None:
        """Make the tokens void that this token was exchanged for before."""
        await self._mark(refresh_tokens.c.parent_hash == token_hash, superseded_at=now)

    async def _mark(self, condition: Any, **values: datetime) -> None:
        await self._connection.execute(update(refresh_tokens).where(condition).values(**values))
