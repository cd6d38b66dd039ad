"""Refresh tokens: each is exchanged once, and they form families, so that a stolen token is detected."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity import metrics
from kappi_identity.domain.accounts import Account, RefreshVerdict, Session, SessionPolicy, judge_refresh
from kappi_identity.domain.tokens import AccessTokens, TokenPair, new_refresh_token, token_hash
from kappi_identity.errors import InvalidGrant
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.sessions import SessionRows, TokenRows
from kappi_identity.use_cases.keyring import Keyring

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traded:
    account: Account
    session: Session
    refresh_token: str


class RefreshTokens:
    """Exchanges refresh tokens. The session's lock serialises the exchanges of one family."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        keyring: Keyring,
        access_tokens: AccessTokens,
        policy: SessionPolicy,
        clock: Clock,
    ) -> None:
        self._outbox = outbox
        self._keyring = keyring
        self._access_tokens = access_tokens
        self._policy = policy
        self._clock = clock

    async def __call__(self, token: str) -> TokenPair:
        """Returns new tokens for an old one. Raises InvalidGrant.

        A token that was exchanged before ends its whole session, except for a client that retries because the
        answer was lost (see `judge_refresh`).
        """
        async with self._outbox.begin() as unit:
            traded = await self._trade(unit.connection, token)
        # Raised only after the commit, because the end of the session must be stored.
        if traded is None:
            raise InvalidGrant("Log in again.")
        key = await self._keyring.active()
        return TokenPair(
            access_token=self._access_tokens.seal(key, traded.account, session_id=traded.session.id),
            expires_in=self._access_tokens.expires_in,
            refresh_token=traded.refresh_token,
        )

    async def _trade(self, connection: AsyncConnection, token: str) -> _Traded | None:
        now, presented = self._clock(), token_hash(token)
        sessions, tokens = SessionRows(connection), TokenRows(connection)
        session_id = await tokens.session_of(presented)
        session = None if session_id is None else await sessions.lock(session_id)
        known = await tokens.find(presented) if session is not None and session.is_live(now) else None
        if session is None or known is None:
            metrics.REFRESHES.labels("unknown").inc()
            return None
        verdict = judge_refresh(known, now=now, grace=self._policy.retry_grace)
        metrics.REFRESHES.labels(verdict).inc()
        if verdict == "theft":
            await sessions.revoke(session.id, account_id=session.account_id, now=now)
            _log.warning(
                "session.token_reused", account_id=str(session.account_id), session_id=str(session.id)
            )
            return None
        account = await AccountRows(connection).find(session.account_id)
        if account is None or account.suspended_at is not None:
            return None
        refresh_token = await self._replace(connection, presented, session=session, verdict=verdict)
        return _Traded(account=account, session=session, refresh_token=refresh_token)

    async def _replace(
        self, connection: AsyncConnection, presented: bytes, *, session: Session, verdict: RefreshVerdict
    ) -> str:
        now, tokens = self._clock(), TokenRows(connection)
        if verdict == "retry":
            await tokens.supersede_children(presented, now=now)
        else:
            await tokens.use(presented, now=now)
        refresh_token = new_refresh_token()
        await tokens.add(token_hash(refresh_token), session_id=session.id, parent_hash=presented, now=now)
        await SessionRows(connection).prolong(
            session.id,
            last_used_at=now,
            expires_at=self._policy.deadline(created_at=session.created_at, now=now),
        )
        return refresh_token
