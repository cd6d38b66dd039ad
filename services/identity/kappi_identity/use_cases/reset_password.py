"""Resetting a forgotten password.

A request reveals nothing: it is one insert, whatever the address. The mailer looks the account up later, in
another task, and creates the token there, so that only its hash is ever stored.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.fair_queue import Shares
from kappi_chassis.http.client_address import address_subject
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords

from kappi_identity.domain.accounts import check_password, normal_password
from kappi_identity.domain.common_passwords import common_passwords
from kappi_identity.domain.email_address import normal_form
from kappi_identity.domain.tokens import token_hash
from kappi_identity.errors import ResetTokenInvalid, TooManyResets
from kappi_identity.repository.accounts import AccountQueries, AccountRows
from kappi_identity.repository.resets import ResetQueries, ResetRows
from kappi_identity.repository.sessions import SessionRows
from kappi_identity.use_cases.known_clients import KnownClients
from kappi_identity.use_cases.throttle import Limit, Throttle

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetLimits:
    """The limits of requests for a new password."""

    per_account: Limit
    per_address: Limit


class RequestPasswordReset:
    """Has a token mailed if there is such an account."""

    def __init__(
        self,
        queries: ResetQueries,
        *,
        throttle: Throttle,
        limits: ResetLimits,
        wanted: asyncio.Event,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """wanted: wakes the mailer."""
        self._queries = queries
        self._wanted = wanted
        self._throttle = throttle
        self._limits = limits
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, email: str, *, address: str) -> None:
        """Store the request. Raises TooManyResets for the caller's address.

        Too many requests for one account are dropped silently: mails would fill the owner's mailbox, and an
        error would reveal that the account exists.
        """
        if not await self._throttle.take(self._limits.per_address, address_subject(address)):
            raise TooManyResets(
                "Wait before you ask again.", retry_after_s=self._limits.per_address.retry_after_s
            )
        subject = normal_form(email)
        if await self._throttle.take(self._limits.per_account, subject):
            await self._queries.request(self._new_id(), email_normalised=subject, now=self._clock())
            self._wanted.set()


class ResetPassword:
    """Sets a new password with a mailed token."""

    def __init__(
        self,
        queries: ResetQueries,
        *,
        accounts: AccountQueries,
        outbox: Outbox,
        known: KnownClients,
        passwords: Passwords,
        clock: Clock,
    ) -> None:
        self._queries = queries
        self._accounts = accounts
        self._outbox = outbox
        self._known = known
        self._passwords = passwords
        self._clock = clock

    async def __call__(self, token: str, password: str, *, address: str) -> None:
        """Set the new password, end every session and make every other token void.

        Only the client at this address is known afterwards, so that guesses do not make it wait. Raises
        ResetTokenInvalid, TextRefused, PasswordsBusy.
        """
        presented = token_hash(token)
        account_id = await self._queries.account_of(presented, now=self._clock())
        account = None if account_id is None else await self._accounts.find(account_id)
        if account is None or account.email is None:
            raise ResetTokenInvalid("Ask for a new one.")
        chosen = normal_password(password)
        check_password(chosen, email=account.email, common=common_passwords())
        password_hash = await self._passwords.hash(
            chosen, shares=Shares(address=address_subject(address), account=str(account.id))
        )
        now = self._clock()
        async with self._outbox.begin() as unit:
            accounts, resets = AccountRows(unit.connection), ResetRows(unit.connection)
            if await accounts.lock(account.id) is None or not await resets.is_good(presented, now=now):
                raise ResetTokenInvalid("Ask for a new one.")
            await accounts.set_password(account.id, password_hash)
            await resets.remove_all(account.id)
            await SessionRows(unit.connection).revoke_all(account.id, now=now)
            await self._known.remember_only(unit.connection, account, address=address)
        _log.info("account.password_reset", account_id=str(account.id))
