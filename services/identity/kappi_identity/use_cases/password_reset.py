"""Resetting a forgotten password.

A request reveals nothing: it is one insert, whatever the address. The mailer looks the account up later, in
another task, and creates the token there, so that only its hash is ever stored.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.db import Database
from kappi_chassis.fair_queue import Shares
from kappi_chassis.http.client_address import address_subject
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords
from sqlalchemy.exc import SQLAlchemyError

from kappi_identity import metrics
from kappi_identity.domain.accounts import check_password, normal_password
from kappi_identity.domain.common_passwords import common_passwords
from kappi_identity.domain.email_address import normal_form
from kappi_identity.domain.tokens import new_reset_token, token_hash
from kappi_identity.errors import ResetTokenInvalid, TooManyResets
from kappi_identity.mailer import MailMaker, MailTransport, MailUndelivered
from kappi_identity.repository.accounts import AccountQueries, AccountRows
from kappi_identity.repository.resets import ResetQueries, ResetRequest, ResetRows
from kappi_identity.repository.sessions import SessionRows
from kappi_identity.use_cases.known_clients import KnownClients
from kappi_identity.use_cases.throttle import Limit, Throttle

RETRY_IN = timedelta(seconds=15)
GIVE_UP_AFTER = timedelta(hours=2)
POLL_S = 1.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetLimits:
    per_account: Limit
    per_address: Limit


class PasswordReset:
    def __init__(
        self,
        *,
        outbox: Outbox,
        queries: ResetQueries,
        accounts: AccountQueries,
        known: KnownClients,
        passwords: Passwords,
        throttle: Throttle,
        limits: ResetLimits,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._outbox = outbox
        self._queries = queries
        self._accounts = accounts
        self._known = known
        self._passwords = passwords
        self._throttle = throttle
        self._limits = limits
        self._clock = clock
        self._new_id = new_id

    async def request(self, email: str, *, address: str) -> None:
        """Have a token mailed if there is such an account. Raises TooManyResets for the caller's address.

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

    async def set_password(self, token: str, password: str, *, address: str) -> None:
        """Use a token: set the new password, end every session and make every other token void.

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


class ResetMailer:
    """Handles requests one after another. Several mailers may run; each request is taken by one at a time.

    A mailer that dies after sending and before recording it sends a second mail, with another token.
    """

    def __init__(
        self,
        *,
        database: Database,
        queries: ResetQueries,
        transport: MailTransport,
        make_mail: MailMaker,
        token_lifetime: timedelta,
        clock: Clock,
    ) -> None:
        self._database = database
        self._queries = queries
        self._transport = transport
        self._make_mail = make_mail
        self._token_lifetime = token_lifetime
        self._clock = clock

    async def run(self) -> None:
        """Handle requests until cancelled."""
        while True:
            try:
                busy = await self.work_off_one()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
                _log.warning("reset_mail.interrupted", error_type=type(error).__name__)
                busy = False
            if not busy:
                await asyncio.sleep(POLL_S)

    async def work_off_one(self) -> bool:
        """Handle one request. Returns False when none is due."""
        request = await self._queries.take(now=self._clock(), retry_in=RETRY_IN)
        if request is None:
            return False
        try:
            outcome = await self._mail(request)
        except MailUndelivered as error:
            metrics.RESET_MAILS.labels("failed").inc()
            given_up = self._clock() - request.requested_at > GIVE_UP_AFTER
            _log.warning("reset_mail.failed", error=str(error), attempts=request.attempts, given_up=given_up)
            if given_up:
                await self._queries.finish(request.id)
            return True
        metrics.RESET_MAILS.labels(outcome).inc()
        await self._queries.finish(request.id)
        return True

    async def _mail(self, request: ResetRequest) -> str:
        token = new_reset_token()
        async with self._database.transaction() as connection:
            found = await AccountRows(connection).lock_by_email(request.email_normalised)
            if found is None:
                return "no_account"
            await ResetRows(connection).add(
                token_hash(token),
                account_id=found.account.id,
                expires_at=self._clock() + self._token_lifetime,
            )
        assert found.account.email is not None
        await self._transport.send(self._make_mail(found.account.email, token))
        return "sent"
