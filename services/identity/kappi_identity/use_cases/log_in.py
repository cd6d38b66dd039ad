"""Logging in: a password is exchanged for a session."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox, UnitOfWork

from kappi_identity import metrics
from kappi_identity.domain.accounts import Account, Role, Session, SessionId, SessionPolicy
from kappi_identity.domain.tokens import AccessTokens, TokenPair, new_refresh_token, token_hash
from kappi_identity.errors import AccountSuspended, InvalidGrant
from kappi_identity.repository.accounts import AccountRows, Credentials
from kappi_identity.repository.sessions import SessionRows, TokenRows
from kappi_identity.use_cases.keyring import Keyring
from kappi_identity.use_cases.known_clients import KnownClients
from kappi_identity.use_cases.password_check import WRONG, Client, PasswordCheck

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A new session. device_token: for the device's next login."""

    account: Account
    session: Session
    device_token: str


class OpenSession:
    """Exchanges a password for a session. The client is known to the account from then on."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        check: PasswordCheck,
        known: KnownClients,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._outbox = outbox
        self._check = check
        self._known = known
        self._clock = clock
        self._new_id = new_id

    async def __call__(
        self,
        email: str,
        password: str,
        *,
        client: Client,
        policy: SessionPolicy,
        refresh_token: str | None = None,
        role: Role | None = None,
    ) -> Opened:
        """Returns the session. refresh_token: its first one; None for a session that cannot be refreshed.

        role: the role that the account must have; another account gets the same answer as a wrong password.
        Raises InvalidGrant, AccountSuspended, TooManyLogins, PasswordsBusy.
        """
        checked = await self._check.check(email, password, client=client)
        if role not in (None, checked.credentials.account.role):
            raise InvalidGrant(WRONG)
        rehashed = await self._check.rehash(checked, password)
        async with self._outbox.begin() as unit:
            account = await self._lock(unit, checked.credentials)
            if rehashed is not None:
                await AccountRows(unit.connection).set_password(account.id, rehashed)
            session = self._session(account, client=client, policy=policy)
            await SessionRows(unit.connection).insert(session)
            if refresh_token is not None:
                tokens, first = TokenRows(unit.connection), token_hash(refresh_token)
                await tokens.add(first, session_id=session.id, parent_hash=None, now=session.created_at)
            await self._known.remember(unit.connection, account, address=client.address)
        await self._check.passed(checked)
        metrics.LOGINS.labels("done").inc()
        _log.info("session.opened", account_id=str(account.id), session_id=str(session.id))
        device_token = self._known.device_token(
            account.id, rehashed or checked.credentials.password_hash, device=checked.device
        )
        return Opened(account=account, session=session, device_token=device_token)

    async def _lock(self, unit: UnitOfWork, credentials: Credentials) -> Account:
        locked = await AccountRows(unit.connection).lock(credentials.account.id)
        if locked is None or locked.password_hash != credentials.password_hash:
            # The account was deleted, or its password was changed, since the check.
            raise InvalidGrant(WRONG)
        if locked.account.suspended_at is not None:
            raise AccountSuspended(locked.account.suspension_reason)
        return locked.account

    def _session(self, account: Account, *, client: Client, policy: SessionPolicy) -> Session:
        now = self._clock()
        return Session(
            id=SessionId(self._new_id()),
            account_id=account.id,
            device=client.device,
            created_at=now,
            last_used_at=now,
            expires_at=policy.deadline(created_at=now, now=now),
            revoked_at=None,
        )


class LogIn:
    """Exchanges a password for the tokens of a new session."""

    def __init__(
        self,
        *,
        open_session: OpenSession,
        policy: SessionPolicy,
        keyring: Keyring,
        access_tokens: AccessTokens,
    ) -> None:
        self._open_session = open_session
        self._policy = policy
        self._keyring = keyring
        self._access_tokens = access_tokens

    async def __call__(self, email: str, password: str, *, client: Client) -> TokenPair:
        """Returns the tokens. Raises as `OpenSession` does."""
        refresh_token = new_refresh_token()
        opened = await self._open_session(
            email, password, client=client, policy=self._policy, refresh_token=refresh_token
        )
        key = await self._keyring.active()
        return TokenPair(
            access_token=self._access_tokens.seal(key, opened.account, session_id=opened.session.id),
            expires_in=self._access_tokens.expires_in,
            refresh_token=refresh_token,
            device_token=opened.device_token,
        )
