"""Mails the owners of webhooks that were disabled."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import asyncpg
from kappi_chassis.clock import Clock
from kappi_chassis.idle_pause import IdlePause
from kappi_chassis.observability.logs import get_logger
from sqlalchemy.exc import SQLAlchemyError

from kappi_identity import metrics
from kappi_identity.mailer import MailTransport, MailUndelivered, NoticeMaker
from kappi_identity.repository.webhooks import WebhookQueries

RETRY_IN: Final = timedelta(minutes=5)
GIVE_UP_AFTER: Final = timedelta(days=1)
POLL_S: Final = 5.0
LONGEST_PAUSE_S: Final = 60.0

_log = get_logger(__name__)


class WebhookNotices:
    """Sends notices one after another. Several may run; each notice is taken by one at a time.

    A process that dies after sending and before recording it sends the notice again.
    """

    def __init__(
        self,
        queries: WebhookQueries,
        *,
        transport: MailTransport,
        make_mail: NoticeMaker,
        clock: Clock,
    ) -> None:
        self._queries = queries
        self._transport = transport
        self._make_mail = make_mail
        self._clock = clock

    async def run(self) -> None:
        """Send notices until cancelled."""
        pause = IdlePause(POLL_S, longest_s=LONGEST_PAUSE_S)
        while True:
            try:
                busy = await self.send_one()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
                _log.warning("webhook_notice.interrupted", error_type=type(error).__name__)
                busy = False
            if not busy:
                await asyncio.sleep(pause.after(found=False))
            else:
                pause.reset()

    async def send_one(self) -> bool:
        """Send one notice. Returns False when none is due."""
        now = self._clock()
        notice = await self._queries.take_notice(now=now, retry_in=RETRY_IN)
        if notice is None:
            return False
        outcome = "sent"
        if notice.email is not None:
            try:
                await self._transport.send(self._make_mail(notice.email, notice.url, notice.disabled_reason))
            except MailUndelivered as error:
                outcome = "failed"
                _log.warning("webhook_notice.failed", error=str(error))
        metrics.WEBHOOK_NOTICES.labels(outcome).inc()
        if outcome == "sent" or now - notice.disabled_at > GIVE_UP_AFTER:
            await self._queries.notice_done(notice.id)
        return True
