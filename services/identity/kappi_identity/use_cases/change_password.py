"""Changing an account's password as its owner."""

from __future__ import annotations

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords

from kappi_identity.domain.accounts import Account, SessionId, check_password, normal_password
from kappi_identity.domain.common_passwords import common_passwords
from kappi_identity.errors import PasswordWrong
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.resets import ResetRows
from kappi_identity.repository.sessions import SessionRows
from kappi_identity.use_cases.known_clients import KnownClients
from kappi_identity.use_cases.password_check import PasswordCheck

_log = get_logger(__name__)


class ChangePassword:
    """Changes a password and ends every other session of the account."""

    def __init__(
        self, *, outbox: Outbox, check: PasswordCheck, known: KnownClients, passwords: Passwords, clock: Clock
    ) -> None:
        self._outbox = outbox
        self._check = check
        self._known = known
        self._passwords = passwords
        self._clock = clock

    async def __call__(
        self, account: Account, *, current: str, new: str, session_id: SessionId, address: str
    ) -> None:
        """Change the password. account: as it was when its token was checked.

        Raises PasswordWrong, TextRefused, TooManyLogins, PasswordsBusy.
        """
        assert account.email is not None
        chosen = normal_password(new)
        check_password(chosen, email=account.email, common=common_passwords())
        checked = await self._check.check_in_session(account, current, session_id=session_id, address=address)
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
