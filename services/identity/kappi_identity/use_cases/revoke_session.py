"""Ending sessions."""

from __future__ import annotations

from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.db import Database

from kappi_identity.domain.accounts import AccountId
from kappi_identity.domain.tokens import token_hash
from kappi_identity.errors import SessionNotFound
from kappi_identity.repository.sessions import SessionRows, TokenRows


class SessionUseCase:
    """Base of the use cases that end a session."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock


class RevokeSession(SessionUseCase):
    """Ends a session of an account."""

    async def __call__(self, session_id: UUID, *, account_id: AccountId) -> None:
        """End the session.

        Its refresh token is void, and its access tokens are void in this service. Raises SessionNotFound.
        """
        async with self._database.transaction() as connection:
            ended = await SessionRows(connection).revoke(session_id, account_id=account_id, now=self._clock())
        if not ended:
            raise SessionNotFound


class RevokeToken(SessionUseCase):
    """Ends the session of a refresh token."""

    async def __call__(self, token: str) -> None:
        """End the session. An invalid token has no session to end."""
        async with self._database.transaction() as connection:
            session_id = await TokenRows(connection).session_of(token_hash(token))
            if session_id is None:
                return
            sessions = SessionRows(connection)
            session = await sessions.lock(session_id)
            if session is not None:
                await sessions.revoke(session.id, account_id=session.account_id, now=self._clock())
