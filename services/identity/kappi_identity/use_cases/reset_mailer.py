"""Mails the tokens of requested password resets."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import asyncpg
from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_chassis.idle_pause import IdlePause
from kappi_chassis.observability.logs import get_logger
from sqlalchemy.exc import SQLAlchemyError

from kappi_identity import metrics
from kappi_identity.domain.tokens import new_reset_token, token_hash
from kappi_identity.mailer import MailMaker, MailTransport, MailUndelivered
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.resets import ResetQueries, ResetRequest, ResetRows

RETRY_IN = timedelta(seconds=15)
GIVE_UP_AFTER = timedelta(hours=2)
POLL_S = 1.0

_log = get_logger(__name__)


class ResetMailer:
    """Handles requests one after another. Several mailers may run; each request is taken by one at a time.

    A mailer that dies after sending and before recording it sends a second mail, with another token.
    """

    def __init__(
        self,
        queries: ResetQueries,
        *,
        database: Database,
        transport: MailTransport,
        make_mail: MailMaker,
        token_lifetime: timedelta,
        wanted: asyncio.Event,
        clock: Clock,
    ) -> None:
        """wanted: set when there is a request."""
        self._queries = queries
        self._database = database
        self._transport = transport
        self._make_mail = make_mail
        self._token_lifetime = token_lifetime
        self._wanted = wanted
        self._clock = clock

    async def run(self) -> None:
        """Handle requests until cancelled."""
        pause = IdlePause(POLL_S)
        while True:
            self._wanted.clear()
            try:
                busy = await self.work_off_one()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
                _log.warning("reset_mail.interrupted", error_type=type(error).__name__)
                busy = False
            if busy:
                pause.reset()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.after(found=False)):
                    await self._wanted.wait()

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
