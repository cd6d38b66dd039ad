"""Creating administrators: only an operator's command does it, never an endpoint or a default."""

from __future__ import annotations

from kappi_chassis.fair_queue import Shares
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords

from kappi_identity.domain.accounts import Account, check_password, normal_password
from kappi_identity.domain.common_passwords import common_passwords
from kappi_identity.domain.email_address import read_email
from kappi_identity.errors import EmailTaken
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.known_addresses import KnownAddressRows
from kappi_identity.repository.sessions import SessionRows
from kappi_identity.use_cases.sign_up import NewAccount, SignUp

_OPERATOR = "operator"

_log = get_logger(__name__)


class CreateAdmin:
    """Creates an administrator, or makes one of an existing account."""

    def __init__(self, *, outbox: Outbox, sign_up: SignUp, passwords: Passwords) -> None:
        self._outbox = outbox
        self._sign_up = sign_up
        self._passwords = passwords

    async def __call__(self, email: str, password: str) -> Account:
        """Returns the administrator with this address and password.

        An existing account of the address gets the new password, and all its logins end. Raises TextRefused.
        """
        address, chosen = read_email(email), normal_password(password)
        check_password(chosen, email=address.shown, common=common_passwords())
        try:
            account = await self._sign_up(
                NewAccount(email=address, password=chosen), address=_OPERATOR, role="admin"
            )
        except EmailTaken:
            account = await self._promote(address.normalised, chosen)
        _log.info("admin.created", account_id=str(account.id))
        return account

    async def _promote(self, email_normalised: str, password: str) -> Account:
        password_hash = await self._passwords.hash(password, shares=Shares(address=_OPERATOR))
        async with self._outbox.begin() as unit:
            accounts = AccountRows(unit.connection)
            found = await accounts.lock_by_email(email_normalised)
            if found is None:
                raise EmailTaken("The account was deleted at this moment. Try again.")
            await accounts.set_role(found.account.id, "admin")
            await accounts.set_password(found.account.id, password_hash)
            await SessionRows(unit.connection).remove_all(found.account.id)
            await KnownAddressRows(unit.connection).forget_all(found.account.id)
            promoted = await accounts.find(found.account.id)
        assert promoted is not None
        return promoted
