from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.domain.accounts import AccountId
from kappi_identity.models import password_resets

_REQUEST = """
INSERT INTO reset_requests (id, email_normalised, requested_at, not_before) VALUES ($1, $2, $3, $3)
"""
# Taking a request postpones it, so that another mailer takes it if this one dies.
_TAKE = """
UPDATE reset_requests
SET attempts = attempts + 1, not_before = $1 + $2::interval * power(2, least(attempts, 6))
WHERE id = (SELECT id FROM reset_requests WHERE not_before <= $1
            ORDER BY not_before LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, email_normalised, attempts, requested_at
"""
_FINISH = "DELETE FROM reset_requests WHERE id = $1"
_ACCOUNT = "SELECT account_id FROM password_resets WHERE token_hash = $1 AND expires_at > $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetRequest:
    """A request for a new password. attempts: how often a mailer took it, this time included."""

    id: UUID
    email_normalised: str
    attempts: int
    requested_at: datetime


class ResetQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, request_id: UUID, *, email_normalised: str, now: datetime) -> None:
        """Store a request, with the same single statement whether there is such an account or not."""
        await self._database.hot.execute(_REQUEST, request_id, email_normalised, now)

    async def take(self, *, now: datetime, retry_in: timedelta) -> ResetRequest | None:
        """Returns the request that has waited longest.

        It is offered again after `retry_in`, doubled each time.
        """
        record = await self._database.hot.fetchrow(_TAKE, now, retry_in)
        return None if record is None else ResetRequest(**record)

    async def finish(self, request_id: UUID) -> None:
        await self._database.hot.execute(_FINISH, request_id)

    async def account_of(self, token_hash: bytes, *, now: datetime) -> AccountId | None:
        """Returns the account whose password this token may set."""
        account_id = await self._database.hot.fetchval(_ACCOUNT, token_hash, now)
        return None if account_id is None else AccountId(account_id)


class ResetRows:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, token_hash: bytes, *, account_id: UUID, expires_at: datetime) -> None:
        await self._connection.execute(
            insert(password_resets).values(
                token_hash=token_hash, account_id=account_id, expires_at=expires_at
            )
        )

    async def is_good(self, token_hash: bytes, *, now: datetime) -> bool:
        """Whether the token is valid.

        The token's account must be locked first, so that a second request finds the token used.
        """
        found = await self._connection.execute(
            select(password_resets.c.account_id).where(
                password_resets.c.token_hash == token_hash, password_resets.c.expires_at > now
            )
        )
        return found.one_or_none() is not None

    async def remove_all(self, account_id: UUID) -> None:
        """Remove every token of the account, after one was used or the account was deleted or suspended."""
        await self._connection.execute(
            delete(password_resets).where(password_resets.c.account_id == account_id)
        )
