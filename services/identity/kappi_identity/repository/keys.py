from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kappi_chassis.auth import SigningKey
from kappi_chassis.db import Database
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.domain.key_schedule import KeyState, PublishedKey
from kappi_identity.models import signing_keys

_ACTIVE = "SELECT kid, sealed_private FROM signing_keys WHERE state = 'active'"
# The active key comes first, because some verifiers try keys in order.
_PUBLISHED = "SELECT public_jwk FROM signing_keys ORDER BY state, created_at"
_columns = tuple(
    signing_keys.c[name] for name in ("kid", "state", "created_at", "activated_at", "retire_after")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """A private key as stored."""

    kid: str
    sealed_private: bytes


class KeyQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def active(self) -> SealedKey | None:
        record = await self._database.hot.fetchrow(_ACTIVE)
        return None if record is None else SealedKey(**record)

    async def published(self) -> Sequence[dict[str, str]]:
        """Returns every key whose tokens may still be valid, as JWKs."""
        return [record["public_jwk"] for record in await self._database.hot.fetch(_PUBLISHED)]


class KeyRows:
    """Signing keys within a transaction that locks them all."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self) -> Sequence[PublishedKey]:
        """Returns every key, locked. Only one replica at a time rotates keys; readers do not wait."""
        await self._connection.execute(text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"))
        found = await self._connection.execute(select(*_columns).order_by(signing_keys.c.created_at))
        return [PublishedKey(**row._mapping) for row in found]

    async def insert(self, key: SigningKey, *, sealed: bytes, state: KeyState, now: datetime) -> None:
        await self._connection.execute(
            insert(signing_keys).values(
                kid=key.kid,
                public_jwk=key.public_jwk(),
                sealed_private=sealed,
                state=state,
                created_at=now,
                activated_at=now if state == "active" else None,
            )
        )

    async def activate(self, kid: str, *, now: datetime) -> None:
        """Activate a key. Call `retire_active` first, because only one key may be active."""
        await self._write(signing_keys.c.kid == kid, state="active", activated_at=now)

    async def retire_active(self, *, until: datetime) -> None:
        await self._write(signing_keys.c.state == "active", state="retiring", retire_after=until)

    async def forget(self, kids: Sequence[str]) -> None:
        await self._connection.execute(delete(signing_keys).where(signing_keys.c.kid.in_(kids)))

    async def _write(self, condition: Any, **values: Any) -> None:
        await self._connection.execute(update(signing_keys).where(condition).values(**values))
