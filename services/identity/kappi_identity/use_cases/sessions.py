"""Listing an account's sessions and ending one."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.db import Database

from kappi_identity.domain.accounts import AccountId, Session
from kappi_identity.errors import SessionNotFound
from kappi_identity.repository.sessions import SessionQueries, SessionRows


class Sessions:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._queries = SessionQueries(database)
        self._clock = clock

    async def page(self, account_id: AccountId, *, before: UUID | None, limit: int) -> Sequence[Session]:
        """Returns living sessions, newest first. before: the last id of the page before."""
        return await self._queries.page(account_id, now=self._clock(), before=before, limit=limit)

    async def end(self, session_id: UUID, *, account_id: AccountId) -> None:
        """End a session.

        Its refresh token is void, and its access tokens are void in this service. Raises SessionNotFound.
        """
        async with self._database.transaction() as connection:
            ended = await SessionRows(connection).revoke(session_id, account_id=account_id, now=self._clock())
        if not ended:
            raise SessionNotFound
