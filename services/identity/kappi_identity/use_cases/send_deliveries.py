"""Calls webhooks, and records what came of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_chassis.observability.logs import get_logger

from kappi_identity import metrics
from kappi_identity.domain.tokens import KeySecretWrong
from kappi_identity.domain.webhooks import (
    CallResult,
    Delivery,
    DisabledReason,
    SecretSeal,
    Webhook,
    pause_after,
    signature,
)
from kappi_identity.receivers import Receivers
from kappi_identity.repository.deliveries import DeliveryQueries, DeliveryRows, LeasedDelivery
from kappi_identity.repository.webhooks import WebhookRows

LEASE_BEYOND_CALL: Final = timedelta(seconds=20)
"""Time for what a call needs beside its own timeout: the database, and a place on the event loop."""

_log = get_logger(__name__)


class SendDeliveries:
    """Makes deliveries that are due: leases them, calls without a transaction, records.

    A process that dies after a call and before recording it leaves a delivery that is made again, with the
    same `webhook-id`. retry_for: time of retries. chance: 0 to 1; spreads the retries.
    """

    def __init__(
        self,
        *,
        database: Database,
        receivers: Receivers,
        seal: SecretSeal,
        timeout: timedelta,
        retry_for: timedelta,
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._queries = DeliveryQueries(database)
        self._receivers = receivers
        self._seal = seal
        self._lease = timeout + LEASE_BEYOND_CALL
        self._retry_for = retry_for
        self._clock = clock
        self._chance = chance

    async def take(self, limit: int) -> Sequence[LeasedDelivery]:
        return await self._queries.take(now=self._clock(), lease=self._lease, limit=limit)

    async def work(self, leased: LeasedDelivery) -> None:
        """Make one delivery. A failure of the database is left to the end of the lease."""
        result = await self._call(leased)
        metrics.WEBHOOK_CALLS.labels(_outcome(result)).inc()
        try:
            await self._record(leased, result)
        except Exception as failure:
            if not is_transient(failure):
                raise
            _log.warning("webhook.lost_database", error=str(failure))

    async def _call(self, leased: LeasedDelivery) -> CallResult:
        started = time.perf_counter()
        try:
            secret = self._seal.open(leased.sealed_secret, webhook_id=leased.webhook_id)
        except KeySecretWrong as error:
            _log.error("webhook.secret_unreadable", webhook_id=str(leased.webhook_id), error=str(error))
            return CallResult(error="secret_unreadable")
        message_id, timestamp = str(leased.id), int(self._clock().timestamp())
        signed = signature(secret, message_id=message_id, timestamp=timestamp, body=leased.body)
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signed,
        }
        result = await self._receivers.post(leased.url, body=leased.body, headers=headers)
        metrics.WEBHOOK_CALL_SECONDS.observe(time.perf_counter() - started)
        return result

    async def _record(self, leased: LeasedDelivery, result: CallResult) -> None:
        now = self._clock()
        async with self._database.transaction() as connection:
            rows, deliveries = WebhookRows(connection), DeliveryRows(connection)
            webhook = await rows.lock_called(leased.webhook_id)
            if webhook is None:
                return
            delivery = await deliveries.find(leased.id, webhook.id)
            if delivery is None:  # newer ones took its place
                await rows.look_again(webhook.id)
            elif result.is_success:
                await deliveries.called(
                    delivery, result, status="delivered", next_attempt_at=None, retry_until=None, now=now
                )
                await rows.succeeded(webhook.id, now=now)
            else:
                await self._failed(rows, deliveries, webhook, delivery, result)

    async def _failed(
        self,
        rows: WebhookRows,
        deliveries: DeliveryRows,
        webhook: Webhook,
        delivery: Delivery,
        result: CallResult,
    ) -> None:
        now, chance = self._clock(), self._chance()
        failing_since, failures = webhook.failing_since or now, webhook.failures + 1
        retry_until = delivery.retry_until or now + self._retry_for
        reason = self._why_disable(webhook, result)
        ends = reason is not None or webhook.disabled_at is not None or now >= retry_until
        next_attempt_at = min(now + pause_after(delivery.attempts + 1, chance=chance), retry_until)
        await deliveries.called(
            delivery,
            result,
            status="failed" if ends else "pending",
            next_attempt_at=None if ends else next_attempt_at,
            retry_until=retry_until,
            now=now,
        )
        pause = min(now + pause_after(failures, chance=chance), failing_since + self._retry_for)
        await rows.failed(
            webhook.id, failures=failures, failing_since=failing_since, not_before=max(pause, now)
        )
        if reason is not None:
            await rows.disable(webhook.id, reason=reason, now=now, notice_at=now)
            metrics.WEBHOOKS_DISABLED.labels(reason).inc()
            _log.info("webhook.disabled", webhook_id=str(webhook.id), reason=reason)

    def _why_disable(self, webhook: Webhook, result: CallResult) -> DisabledReason | None:
        """Returns the reason to disable a webhook after a failure; None to keep it."""
        if webhook.disabled_at is not None:
            return None
        if result.is_gone:
            return "gone"
        if webhook.failing_since is None or self._clock() - webhook.failing_since < self._retry_for:
            return None
        return "failing"


def _outcome(result: CallResult) -> str:
    if result.is_success:
        return "delivered"
    return result.error or "refused"
