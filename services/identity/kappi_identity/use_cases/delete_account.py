"""Deleting an account as its owner."""

from __future__ import annotations

from datetime import timedelta

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import AccountDeleted

from kappi_identity import metrics
from kappi_identity.domain.accounts import Account, SessionId
from kappi_identity.errors import PasswordRequired, PasswordWrong
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.known_addresses import KnownAddressRows
from kappi_identity.repository.resets import ResetRows
from kappi_identity.repository.sessions import SessionRows
from kappi_identity.repository.webhooks import WebhookRows
from kappi_identity.use_cases.password_check import PasswordCheck

_log = get_logger(__name__)


class DeleteAccount:
    """Turns an account into a tombstone, and publishes the deletion to the services that store its data.

    recent_login: the greatest age of a login that may delete the account without its password.
    """

    def __init__(
        self, *, outbox: Outbox, check: PasswordCheck, recent_login: timedelta, clock: Clock
    ) -> None:
        self._outbox = outbox
        self._check = check
        self._recent_login = recent_login
        self._clock = clock

    async def __call__(
        self, account: Account, *, password: str | None, session_id: SessionId, address: str
    ) -> None:
        """Delete the account. account: as it was when its token was checked. password: None is enough after a
        recent login.

        Raises PasswordRequired, PasswordWrong, TooManyLogins, PasswordsBusy.
        """
        checked = None
        if password is not None:
            checked = await self._check.check_in_session(
                account, password, session_id=session_id, address=address
            )
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
            await WebhookRows(unit.connection).remove_all(account.id)
            await unit.publish(AccountDeleted(account_id=account.id, deleted_at=now), sequence=version)
        metrics.ACCOUNTS_DELETED.inc()
        _log.info("account.deleted", account_id=str(account.id))
