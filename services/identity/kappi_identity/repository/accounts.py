from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.domain.accounts import Account, Role
from kappi_identity.domain.email_address import EmailAddress
from kappi_identity.models import accounts

_NAMES = (
    *("id", "email", "display_name", "role", "tier", "version", "created_at", "deleted_at"),
    *("suspended_at", "suspension_reason"),
)
_COLUMNS = ", ".join(f"accounts.{name}" for name in _NAMES)
_CREDENTIALS = f"""
SELECT {_COLUMNS}, password_hash, EXISTS (
  SELECT FROM known_addresses WHERE account_id = accounts.id AND address_hash = $2 AND seen_at > $3
) AS address_known FROM accounts WHERE email_normalised = $1
"""  # noqa: S608 - column names, not input
_OF_SESSION = f"""
SELECT {_COLUMNS} FROM accounts JOIN sessions ON sessions.account_id = accounts.id
WHERE accounts.id = $1 AND accounts.deleted_at IS NULL AND accounts.suspended_at IS NULL
  AND sessions.id = $2 AND sessions.revoked_at IS NULL AND sessions.expires_at > $3
"""  # noqa: S608 - as above
_RENAME = "UPDATE accounts SET display_name = $2 WHERE id = $1 AND deleted_at IS NULL"
_columns = tuple(accounts.c[name] for name in _NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A living account and the hash that its password is checked against.

    address_known: whether the account logged in from the caller's address before.
    """

    account: Account
    password_hash: str
    address_known: bool = False


class AccountQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def credentials(
        self, email_normalised: str, *, address_hash: bytes, known_since: datetime
    ) -> Credentials | None:
        """Returns the credentials that a login needs; None where there is no such account.

        address_hash: of the caller's address. known_since: an address seen before this instant does not count
        as known.
        """
        record = await self._database.hot.fetchrow(_CREDENTIALS, email_normalised, address_hash, known_since)
        if record is None:
            return None
        account = Account(**{name: record[name] for name in _NAMES})
        return Credentials(
            account=account,
            password_hash=record["password_hash"],
            address_known=record["address_known"],
        )

    async def of_session(self, account_id: UUID, session_id: UUID, *, now: datetime) -> Account | None:
        """Returns the account if both it and this session of it are living."""
        record = await self._database.hot.fetchrow(_OF_SESSION, account_id, session_id, now)
        return None if record is None else Account(**record)

    async def find(self, account_id: UUID) -> Account | None:
        """Returns the account if it is living."""
        async with self._database.transaction() as connection:
            return await AccountRows(connection).find(account_id)

    async def rename(self, account_id: UUID, display_name: str | None) -> None:
        """Set the display name of an account if it is living."""
        await self._database.hot.execute(_RENAME, account_id, display_name)

    async def page(
        self, *, containing: str | None, before: UUID | None, limit: int, skip: int = 0
    ) -> Sequence[Account]:
        """Returns living accounts, newest first. containing: a part of the address or the name, in
        any case.
        """
        condition = _living(containing)
        if before is not None:
            condition &= accounts.c.id < before
        statement = select(*_columns).where(condition).order_by(accounts.c.id.desc())
        async with self._database.transaction() as connection:
            found = await connection.execute(statement.limit(limit).offset(skip))
            return [Account(**row._mapping) for row in found]

    async def count(self, *, containing: str | None) -> int:
        statement = select(func.count()).select_from(accounts).where(_living(containing))
        async with self._database.transaction() as connection:
            return int((await connection.execute(statement)).scalar_one())


class AccountRows:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, account: Account, *, email: EmailAddress, password_hash: str) -> bool:
        """Insert the account. Returns False when the address is taken; the transaction stays usable."""
        values = {name: getattr(account, name) for name in _NAMES}
        statement = (
            insert(accounts)
            .values(**values, email_normalised=email.normalised, password_hash=password_hash)
            .on_conflict_do_nothing(index_elements=["email_normalised"])
        )
        return bool((await self._connection.execute(statement)).rowcount)

    async def find(self, account_id: UUID) -> Account | None:
        """Returns the account if it is living."""
        found = await self._connection.execute(
            select(*_columns).where(accounts.c.id == account_id, accounts.c.deleted_at.is_(None))
        )
        row = found.one_or_none()
        return None if row is None else Account(**row._mapping)

    async def lock(self, account_id: UUID) -> Credentials | None:
        """Returns the account if it is living. No other transaction changes it until the commit."""
        return await self._lock(accounts.c.id == account_id)

    async def lock_by_email(self, email_normalised: str) -> Credentials | None:
        return await self._lock(accounts.c.email_normalised == email_normalised)

    async def set_password(self, account_id: UUID, password_hash: str) -> None:
        await self._write(account_id, password_hash=password_hash)

    async def set_role(self, account_id: UUID, role: Role) -> None:
        await self._write(account_id, role=role)

    async def set_tier(self, account_id: UUID, tier: str, *, version: int) -> None:
        await self._write(account_id, tier=tier, version=version)

    async def set_suspension(self, account: Account) -> None:
        await self._write(
            account.id,
            suspended_at=account.suspended_at,
            suspension_reason=account.suspension_reason,
            version=account.version,
        )

    async def tombstone(self, account_id: UUID, *, deleted_at: datetime, version: int) -> None:
        """Turn the account into a tombstone, which holds nothing that identifies its owner."""
        await self._write(
            account_id,
            email=None,
            email_normalised=None,
            display_name=None,
            password_hash=None,
            suspended_at=None,
            suspension_reason=None,
            deleted_at=deleted_at,
            version=version,
        )

    async def any_of_tier(self, tier: str) -> bool:
        found = await self._connection.execute(select(accounts.c.id).where(_of_tier(tier)).limit(1))
        return found.one_or_none() is not None

    async def _lock(self, condition: ColumnElement[bool]) -> Credentials | None:
        statement = (
            select(*_columns, accounts.c.password_hash)
            .where(condition, accounts.c.deleted_at.is_(None))
            .with_for_update()
        )
        row = (await self._connection.execute(statement)).one_or_none()
        if row is None:
            return None
        account = Account(**{name: getattr(row, name) for name in _NAMES})
        return Credentials(account=account, password_hash=row.password_hash)

    async def _write(self, account_id: UUID, **values: Any) -> None:
        await self._connection.execute(update(accounts).where(accounts.c.id == account_id).values(**values))


def _living(containing: str | None) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = accounts.c.deleted_at.is_(None)
    if containing:
        condition &= accounts.c.email_normalised.contains(
            containing.casefold(), autoescape=True
        ) | accounts.c.display_name.icontains(containing, autoescape=True)
    return condition


def _of_tier(tier: str) -> ColumnElement[bool]:
    return and_(accounts.c.tier == tier, accounts.c.deleted_at.is_(None))
