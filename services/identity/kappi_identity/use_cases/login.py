"""Logging in: a password is exchanged for a session and its first tokens."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.fair_queue import Shares
from kappi_chassis.http.client_address import address_subject
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords, PasswordsBusy

from kappi_identity import metrics
from kappi_identity.domain.accounts import Account, Session, SessionId, SessionPolicy, normal_password
from kappi_identity.domain.email_address import normal_form
from kappi_identity.domain.tokens import AccessTokens, TokenPair, new_refresh_token, token_hash
from kappi_identity.errors import AccountSuspended, InvalidGrant, TooManyLogins
from kappi_identity.repository.accounts import AccountQueries, AccountRows, Credentials
from kappi_identity.repository.sessions import SessionRows, TokenRows
from kappi_identity.use_cases.keys import Keyring
from kappi_identity.use_cases.known_clients import KnownClients
from kappi_identity.use_cases.throttle import Limit, Throttle

WRONG = "Email address or password are not right."

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The caller. address: its network address. device: the text for the session list.

    device_token: the token that an earlier login gave this device, as it was sent.
    """

    address: str
    device: str | None
    device_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLimits:
    """The limits of wrong passwords. per_client: for an account, by one client known to it. per_account: for
    an account, by all unknown clients together. per_address: by one address, for all accounts that do not
    know it.
    """

    per_client: Limit
    per_account: Limit
    per_address: Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A right password. device: the known device, if it is one. charges: the limits on which the attempt was
    counted.
    """

    credentials: Credentials
    device: bytes | None
    shares: Shares
    charges: tuple[tuple[Limit, str], ...]


class PasswordCheck:
    """Checks an account's password, throttled, and equally slow for accounts that do not exist.

    Every attempt is counted; a use case that follows a right password takes the count back with `passed`.
    """

    def __init__(
        self,
        *,
        accounts: AccountQueries,
        known: KnownClients,
        passwords: Passwords,
        throttle: Throttle,
        limits: LoginLimits,
    ) -> None:
        self._accounts = accounts
        self._known = known
        self._passwords = passwords
        self._throttle = throttle
        self._limits = limits

    async def check(self, email: str, password: str, *, client: Client) -> Checked:
        """Check a password for a login. Raises InvalidGrant, TooManyLogins, PasswordsBusy."""
        subject, source = normal_form(email), address_subject(client.address)
        found = await self._credentials(subject, client.address)
        device = None if found is None else self._known.device_of(client.device_token, found)
        if device is not None:
            count = f"{subject} device {device.hex()}"
        elif found is not None and found.address_known:
            count = f"{subject} address {source}"
        else:
            charges = ((self._limits.per_address, source), (self._limits.per_account, subject))
            shares = Shares(address=source, account=subject)
            return await self._verify(found, password, device=None, shares=shares, charges=charges)
        return await self._verify(
            found,
            password,
            device=device,
            shares=Shares(address=source, account=count),
            charges=((self._limits.per_client, count),),
        )

    async def check_in_session(
        self, email: str, password: str, *, session_id: SessionId, address: str
    ) -> Checked:
        """Check a password of a client that is logged in, hence known. Raises as `check` does."""
        subject = normal_form(email)
        found = await self._credentials(subject, address)
        return await self._verify(
            found,
            password,
            device=None,
            shares=Shares(address=address_subject(address), account=f"{subject} logged in"),
            charges=((self._limits.per_client, f"{subject} session {session_id}"),),
        )

    async def passed(self, checked: Checked) -> None:
        """Take back the count of an attempt that succeeded."""
        for limit, subject in checked.charges:
            await self._throttle.give_back(limit, subject)

    async def _credentials(self, email_normalised: str, address: str) -> Credentials | None:
        return await self._accounts.credentials(
            email_normalised,
            address_hash=self._known.address_hash(email_normalised, address),
            known_since=self._known.since,
        )

    async def _verify(
        self,
        found: Credentials | None,
        password: str,
        *,
        device: bytes | None,
        shares: Shares,
        charges: tuple[tuple[Limit, str], ...],
    ) -> Checked:
        """Check a password.

        The attempt is counted before the check, so that a burst of parallel attempts gains nothing.
        """
        for limit, subject in charges:
            if not await self._throttle.take(limit, subject):
                metrics.LOGINS.labels("throttled").inc()
                raise TooManyLogins("Wait before you try again.", retry_after_s=limit.retry_after_s)
        stored = None if found is None else found.password_hash
        try:
            right = await self._passwords.matches(normal_password(password), stored=stored, shares=shares)
        except PasswordsBusy:
            for limit, subject in charges:
                await self._throttle.give_back(limit, subject)
            raise
        if not right or found is None:
            metrics.LOGINS.labels("refused").inc()
            raise InvalidGrant(WRONG)
        return Checked(credentials=found, device=device, shares=shares, charges=charges)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A new session. device_token: for the device's next login."""

    account: Account
    session: Session
    device_token: str


class Login:
    """Opens sessions. A client that logs in is known to the account from then on."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        check: PasswordCheck,
        known: KnownClients,
        passwords: Passwords,
        keyring: Keyring,
        access_tokens: AccessTokens,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._outbox = outbox
        self._check = check
        self._known = known
        self._passwords = passwords
        self._keyring = keyring
        self._access_tokens = access_tokens
        self._clock = clock
        self._new_id = new_id

    async def with_password(
        self, email: str, password: str, *, client: Client, policy: SessionPolicy
    ) -> TokenPair:
        """Returns a new session's tokens.

        Raises InvalidGrant, AccountSuspended, TooManyLogins, PasswordsBusy.
        """
        refresh_token = new_refresh_token()
        checked = await self._check.check(email, password, client=client)
        opened = await self._open(
            checked, password, client=client, policy=policy, refresh_token=refresh_token
        )
        key = await self._keyring.active()
        return TokenPair(
            access_token=self._access_tokens.seal(key, opened.account, session_id=opened.session.id),
            expires_in=self._access_tokens.expires_in,
            refresh_token=refresh_token,
            device_token=opened.device_token,
        )

    async def as_admin(self, email: str, password: str, *, client: Client, policy: SessionPolicy) -> Opened:
        """Returns an administrator's new session, which cannot be refreshed. Raises as `with_password` does.

        An account without the role gets the same answer as a wrong password.
        """
        checked = await self._check.check(email, password, client=client)
        if checked.credentials.account.role != "admin":
            raise InvalidGrant(WRONG)
        return await self._open(checked, password, client=client, policy=policy, refresh_token=None)

    async def _open(
        self,
        checked: Checked,
        password: str,
        *,
        client: Client,
        policy: SessionPolicy,
        refresh_token: str | None,
    ) -> Opened:
        rehashed = await self._rehash(checked, password)
        credentials, now = checked.credentials, self._clock()
        async with self._outbox.begin() as unit:
            accounts = AccountRows(unit.connection)
            locked = await accounts.lock(credentials.account.id)
            if locked is None or locked.password_hash != credentials.password_hash:
                # The account was deleted, or its password was changed, since the check.
                raise InvalidGrant(WRONG)
            if locked.account.suspended_at is not None:
                raise AccountSuspended(locked.account.suspension_reason)
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
            await self._known.remember(unit.connection, locked.account, address=client.address)
        await self._check.passed(checked)
        metrics.LOGINS.labels("done").inc()
        _log.info("session.opened", account_id=str(session.account_id), session_id=str(session.id))
        device_token = self._known.device_token(
            locked.account.id, rehashed or credentials.password_hash, device=checked.device
        )
        return Opened(account=locked.account, session=session, device_token=device_token)

    async def _rehash(self, checked: Checked, password: str) -> str | None:
        if not self._passwords.is_outdated(checked.credentials.password_hash):
            return None
        try:
            rehashed = await self._passwords.hash(normal_password(password), shares=checked.shares)
        except PasswordsBusy:  # a later login can rehash it, when fewer passwords wait
            return None
        metrics.REHASHED.inc()
        return rehashed
