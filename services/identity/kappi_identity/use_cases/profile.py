"""The use cases of an account's owner: rename, change the password, delete."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords
from kappi_contracts.events import AccountDeleted

from kappi_identity import metrics
from kappi_identity.domain.accounts import Account, SessionId, check_password, normal_password
from kappi_identity.domain.common_passwords import common_passwords
from kappi_identity.errors import InvalidGrant, PasswordRequired, PasswordWrong
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.known_addresses import KnownAddressRows
from kappi_identity.repository.resets import ResetRows
from kappi_identity.repository.sessions import SessionRows
from kappi_identity.use_cases.known_clients import KnownClients
from kappi_identity.use_cases.login import Checked, PasswordCheck

_log = get_logger(__name__)


class Profile:
    """The use cases of an owner. Every method takes the account as it was when its token was checked.

    recent_login: the greatest age of a login that may delete the account without its password.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        check: PasswordCheck,
        known: KnownClients,
        passwords: Passwords,
        recent_login: timedelta,
        clock: Clock,
    ) -> None:
        self._outbox = outbox
        self._check = check
        self._known = known
        self._passwords = passwords
        self._recent_login = recent_login
        self._clock = clock

    async def rename(self, account: Account, *, display_name: str | None) -> Account:
        """Returns the account after the change."""
        async with self._outbox.begin() as unit:
            await AccountRows(unit.connection).set_display_name(account.id, display_name)
        return replace(account, display_name=display_name)

    async def change_password(
        self, account: Account, *, current: str, new: str, session_id: SessionId, address: str
    ) -> None:
        """Change the password and end every other session.

        Raises PasswordWrong, TextRefused, TooManyLogins, PasswordsBusy.
        """
        assert account.email is not None
        chosen = normal_password(new)
        check_password(chosen, email=account.email, common=common_passwords())
        checked = await self._checked(account, current, session_id=session_id, address=address)
        password_hash = await self._passwords.hash(chosen, shares=checked.shares)
        async with self._outbox.begin() as unit:
            accounts = AccountRows(unit.connection)
            locked = await accounts.lock(account.id)
            if locked is None or locked.password_hash != checked.credentials.password_hash:
                raise PasswordWrong("It was changed meanwhile.")
            await accounts.set_password(account.id, password_hash)
            await ResetRows(unit.connection).remove_all(account.id)
            await SessionRows(unit.connection).revoke_all(account.id, now=self._clock(), but=session_id)
            await self._known.remember_only(unit.connection, locked.account, address=address)
        await self._check.passed(checked)
        _log.info("account.password_changed", account_id=str(account.id))

    async def delete(
        self, account: Account, *, password: str | None, session_id: SessionId, address: str
    ) -> None:
        """Turn the account into a tombstone, and publish the deletion to the services that store its data.

        password: None is enough after a recent login. Raises PasswordRequired, PasswordWrong, TooManyLogins,
        PasswordsBusy.
        """
        checked = None
        if password is not None:
            checked = await self._checked(account, password, session_id=session_id, address=address)
        now = self._clock()
        async with self._outbox.begin() as unit:
            accounts = AccountRows(unit.connection)
            locked = await accounts.lock(account.id)
            if locked is None:
                return
            if checked is None:
                session = await SessionRows(unit.connection).lock(session_id)
                if session is None or now - session.created_at > self._recent_login:
                    raise PasswordRequired("Send it as `password`, or log in again first.")
            elif locked.password_hash != checked.credentials.password_hash:
                raise PasswordWrong("It was changed meanwhile.")
            version = locked.account.version + 1
            await accounts.tombstone(account.id, deleted_at=now, version=version)
            await SessionRows(unit.connection).remove_all(account.id)
            await ResetRows(unit.connection).remove_all(account.id)
            await KnownAddressRows(unit.connection).forget_all(account.id)
            await unit.publish(AccountDeleted(account_id=account.id, deleted_at=now), sequence=version)
        metrics.ACCOUNTS_DELETED.inc()
        _log.info("account.deleted", account_id=str(account.id))

    async def _checked(
        self, account: Account, password: str, *, session_id: SessionId, address: str
    ) -> Checked:
        """Returns the checked password. Raises PasswordWrong, TooManyLogins, PasswordsBusy."""
        assert account.email is not None
        try:
            return await self._check.check_in_session(
                account.email, password, session_id=session_id, address=address
            )
        except InvalidGrant as error:
            raise PasswordWrong from error
