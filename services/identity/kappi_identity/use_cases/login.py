"""Logging in: a password for a session and its first tokens."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords

from kappi_identity import metrics
from kappi_identity.domain import Account, Session, SessionId, SessionPolicy, normal_password
from kappi_identity.emails import normal_form
from kappi_identity.errors import InvalidGrant, TooManyLogins
from kappi_identity.repository.accounts import AccountQueries, AccountRows, Credentials
from kappi_identity.repository.sessions import SessionRows, TokenRows
from kappi_identity.throttle import Limit, Throttle, address_subject
from kappi_identity.tokens import AccessTokens, TokenPair, new_refresh_token, token_hash
from kappi_identity.use_cases.keys import Keyring

WRONG = "Email address or password are not right."

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who is calling. address: of the network. device: what the session list will show."""

    address: str
    device: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLimits:
    per_account: Limit
    per_address: Limit


class PasswordCheck:
    """Is this the password of this account? Throttled, and as slow for accounts that do not exist."""

    def __init__(
        self,
        *,
        accounts: AccountQueries,
        passwords: Passwords,
        throttle: Throttle,
        limits: LoginLimits,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._throttle = throttle
        self._limits = limits

    async def check(self, email: str, password: str, *, address: str) -> Credentials:
        """The account's credentials. Raises InvalidGrant, TooManyLogins, PasswordsBusy.

        An attempt is counted before the password is looked at: a burst of parallel ones gets no further.
        """
        subject, source = normal_form(email), address_subject(address)
        await self._take(self._limits.per_address, source)
        await self._take(self._limits.per_account, subject)
        found = await self._accounts.credentials(subject)
        stored = None if found is None else found.password_hash
        if not await self._passwords.matches(normal_password(password), stored=stored) or found is None:
            metrics.LOGINS.labels("refused").inc()
            raise InvalidGrant(WRONG)
        await self._throttle.forget(self._limits.per_account, subject)
        await self._throttle.give_back(self._limits.per_address, source)
        return found

    async def forget_failures(self, email_normalised: str) -> None:
        """Let the account's owner try at once, after proving themselves in another way."""
        await self._throttle.forget(self._limits.per_account, email_normalised)

    async def _take(self, limit: Limit, subject: str) -> None:
        if not await self._throttle.take(limit, subject):
            metrics.LOGINS.labels("throttled").inc()
            raise TooManyLogins("Wait before you try again.", retry_after_s=limit.retry_after_s)


class Login:
    """Opens sessions."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        check: PasswordCheck,
        passwords: Passwords,
        keyring: Keyring,
        access_tokens: AccessTokens,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._outbox = outbox
        self._check = check
        self._passwords = passwords
        self._keyring = keyring
        self._access_tokens = access_tokens
        self._clock = clock
        self._new_id = new_id

    async def with_password(
        self, email: str, password: str, *, client: Client, policy: SessionPolicy
    ) -> TokenPair:
        """A new session's tokens. Raises InvalidGrant, TooManyLogins, PasswordsBusy."""
        refresh_token = new_refresh_token()
        checked = await self._check.check(email, password, address=client.address)
        account, session = await self._open(
            checked, password, client=client, policy=policy, refresh_token=refresh_token
        )
        key = await self._keyring.active()
        return TokenPair(
            access_token=self._access_tokens.seal(key, account, session_id=session.id),
            expires_in=self._access_tokens.expires_in,
            refresh_token=refresh_token,
        )

    async def as_admin(
        self, email: str, password: str, *, client: Client, policy: SessionPolicy
    ) -> tuple[Account, Session]:
        """An administrator's new session, which cannot be refreshed. Raises as `with_password` does.

        To everybody else it says what a wrong password is told.
        """
        checked = await self._check.check(email, password, address=client.address)
        if checked.account.role != "admin":
            raise InvalidGrant(WRONG)
        return await self._open(checked, password, client=client, policy=policy, refresh_token=None)

    async def _open(
        self,
        checked: Credentials,
        password: str,
        *,
        client: Client,
        policy: SessionPolicy,
        refresh_token: str | None,
    ) -> tuple[Account, Session]:
        rehashed = await self._rehash(checked, password)
        now = self._clock()
        async with self._outbox.begin() as unit:
            accounts = AccountRows(unit.connection)
            locked = await accounts.lock(checked.account.id)
            if locked is None or locked.password_hash != checked.password_hash:
                # Deleted, or given another password, since it was checked.
                raise InvalidGrant(WRONG)
            if rehashed is not None:
                await accounts.set_password(locked.account.id, rehashed)
            session = Session(
                id=SessionId(self._new_id()),
                account_id=locked.account.id,
                device=client.device,
                created_at=now,
                last_used_at=now,
                expires_at=policy.deadline(created_at=now, now=now),
                revoked_at=None,
            )
            await SessionRows(unit.connection).insert(session)
            if refresh_token is not None:
                tokens = TokenRows(unit.connection)
                await tokens.add(token_hash(refresh_token), session_id=session.id, parent_hash=None, now=now)
        metrics.LOGINS.labels("done").inc()
        _log.info("session.opened", account_id=str(session.account_id), session_id=str(session.id))
        return locked.account, session

    async def _rehash(self, checked: Credentials, password: str) -> str | None:
        if not self._passwords.is_outdated(checked.password_hash):
            return None
        metrics.REHASHED.inc()
        return await self._passwords.hash(normal_password(password))
