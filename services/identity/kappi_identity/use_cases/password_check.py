"""Checks the passwords of accounts and limits wrong attempts."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.fair_queue import Shares
from kappi_chassis.http.client_address import address_subject
from kappi_chassis.passwords import Passwords, PasswordsBusy

from kappi_identity import metrics
from kappi_identity.domain.accounts import Account, SessionId, normal_password
from kappi_identity.domain.email_address import normal_form
from kappi_identity.errors import InvalidGrant, PasswordWrong, TooManyLogins
from kappi_identity.repository.accounts import AccountQueries, Credentials
from kappi_identity.use_cases.known_clients import KnownClients
from kappi_identity.use_cases.throttle import Limit, Throttle

WRONG = "Email address or password are not right."


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
        self, account: Account, password: str, *, session_id: SessionId, address: str
    ) -> Checked:
        """Check the password of an account that is logged in, hence of a known client.

        Raises PasswordWrong, TooManyLogins, PasswordsBusy.
        """
        assert account.email is not None
        subject = normal_form(account.email)
        found = await self._credentials(subject, address)
        try:
            return await self._verify(
                found,
                password,
                device=None,
                shares=Shares(address=address_subject(address), account=f"{subject} logged in"),
                charges=((self._limits.per_client, f"{subject} session {session_id}"),),
            )
        except InvalidGrant as error:
            raise PasswordWrong from error

    async def passed(self, checked: Checked) -> None:
        """Take back the count of an attempt that succeeded."""
        for limit, subject in checked.charges:
            await self._throttle.give_back(limit, subject)

    async def rehash(self, checked: Checked, password: str) -> str | None:
        """Returns a new hash of a right password whose stored hash is outdated; None where none is made."""
        if not self._passwords.is_outdated(checked.credentials.password_hash):
            return None
        try:
            rehashed = await self._passwords.hash(normal_password(password), shares=checked.shares)
        except PasswordsBusy:  # a later login can rehash it, when fewer passwords wait
            return None
        metrics.REHASHED.inc()
        return rehashed

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
