from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.domain.webhooks import (
    CallResult,
    Delivery,
    DeliveryId,
    DeliveryStatus,
    WebhookEvent,
    WebhookId,
)
from kappi_identity.models import webhook_deliveries

_NAMES = (
    *("id", "webhook_id", "number", "event", "status", "attempts", "created_at", "next_attempt_at"),
    *("retry_until", "last_attempt_at", "last_status", "last_error"),
)
_columns = tuple(webhook_deliveries.c[name] for name in _NAMES)
# A webhook has one call at a time, so that a slow receiver takes one place. `due_at` is computed anew: its
# delivery may have been removed. MATERIALIZED: an `IN (SELECT … LIMIT)` may be run once per row, and then
# takes more than the limit.
_TAKE = """
WITH due AS MATERIALIZED (
  SELECT w.id FROM webhooks w JOIN accounts a ON a.id = w.account_id
  WHERE w.due_at IS NOT NULL AND greatest(w.due_at, w.not_before) <= $1
    AND (w.leased_until IS NULL OR w.leased_until <= $1) AND a.suspended_at IS NULL
  ORDER BY greatest(w.due_at, w.not_before) LIMIT $2 FOR UPDATE OF w SKIP LOCKED),
leased AS (
  UPDATE webhooks w SET leased_until = $1 + $3::interval, due_at = (
    SELECT min(d.next_attempt_at) FROM webhook_deliveries d
    WHERE d.webhook_id = w.id AND d.status = 'pending')
  FROM due WHERE w.id = due.id RETURNING w.id, w.url, w.sealed_secret)
SELECT leased.id AS webhook_id, leased.url, leased.sealed_secret, first.id, first.body
FROM leased CROSS JOIN LATERAL (
  SELECT d.id, d.body FROM webhook_deliveries d
  WHERE d.webhook_id = leased.id AND d.status = 'pending' AND d.next_attempt_at <= $1
  ORDER BY d.next_attempt_at, d.number LIMIT 1) first
"""
# Without those that are being called, and those that wait after a failure.
_FIRST_DUE = """
SELECT greatest(w.due_at, w.not_before) FROM webhooks w JOIN accounts a ON a.id = w.account_id
WHERE w.due_at IS NOT NULL AND greatest(w.due_at, w.not_before) <= $1
  AND (w.leased_until IS NULL OR w.leased_until <= $1) AND a.suspended_at IS NULL
ORDER BY greatest(w.due_at, w.not_before) LIMIT 1
"""
_QUEUE = text("""
WITH new AS (
  SELECT * FROM unnest(CAST(:webhook_ids AS uuid[]), CAST(:delivery_ids AS uuid[])) AS n (webhook_id, id)),
numbered AS (
  UPDATE webhooks w SET last_number = w.last_number + 1, due_at = least(w.due_at, :now)
  FROM new WHERE w.id = new.webhook_id RETURNING w.id, w.last_number, new.id AS delivery_id)
INSERT INTO webhook_deliveries (id, webhook_id, number, event, body, status, created_at, next_attempt_at)
SELECT delivery_id, id, last_number, :event, :body, 'pending', :now, :now FROM numbered
""")
_DROP = text("""
DELETE FROM webhook_deliveries d USING webhooks w
WHERE w.id = ANY(CAST(:webhook_ids AS uuid[])) AND d.webhook_id = w.id AND d.number <= w.last_number - :kept
RETURNING d.webhook_id, d.status
""")
_COUNT_DROPPED = text("UPDATE webhooks SET dropped = dropped + :dropped WHERE id = :webhook_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedDelivery:
    """A delivery that is due, with what its call needs. Its webhook is leased."""

    id: DeliveryId
    webhook_id: WebhookId
    url: str
    sealed_secret: bytes
    body: bytes


class DeliveryQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[LeasedDelivery]:
        """Returns the oldest due delivery of each of up to `limit` webhooks; those that waited longest first.

        No other process gets a delivery of these webhooks until the lease ends.
        """
        records = await self._database.hot.fetch(_TAKE, now, limit, lease)
        return [LeasedDelivery(**record) for record in records]

    async def first_due(self, *, now: datetime) -> datetime | None:
        """Returns since when a webhook could have been called and was not; None if none is due."""
        found: datetime | None = await self._database.hot.fetchval(_FIRST_DUE, now)
        return found

    async def page(self, webhook_id: WebhookId, *, before: int | None, limit: int) -> Sequence[Delivery]:
        """Returns deliveries of a webhook, newest first. before: only those with a lower number."""
        statement = select(*_columns).where(webhook_deliveries.c.webhook_id == webhook_id)
        if before is not None:
            statement = statement.where(webhook_deliveries.c.number < before)
        async with self._database.transaction() as connection:
            found = await connection.execute(
                statement.order_by(webhook_deliveries.c.number.desc()).limit(limit)
            )
            return [Delivery(**row._mapping) for row in found]


class DeliveryRows:
    """Changes deliveries. The caller has locked the rows of their webhooks."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def queue(
        self, new: Sequence[tuple[WebhookId, DeliveryId]], *, event: WebhookEvent, body: bytes, now: datetime
    ) -> None:
        """Queue one delivery for each of several webhooks."""
        values = {
            "webhook_ids": [webhook_id for webhook_id, _ in new],
            "delivery_ids": [delivery_id for _, delivery_id in new],
            "event": event,
            "body": body,
            "now": now,
        }
        await self._connection.execute(_QUEUE, values)

    async def keep_newest(self, webhook_ids: Sequence[WebhookId], *, kept: int) -> int:
        """Remove the deliveries of each webhook but the newest. Returns how many of them were pending."""
        removed = await self._connection.execute(_DROP, {"webhook_ids": list(webhook_ids), "kept": kept})
        pending = [row.webhook_id for row in removed if row.status == "pending"]
        if pending:
            counts = [{"webhook_id": each, "dropped": pending.count(each)} for each in set(pending)]
            await self._connection.execute(_COUNT_DROPPED, counts)
        return len(pending)

    async def find(self, delivery_id: UUID, webhook_id: WebhookId) -> Delivery | None:
        found = await self._connection.execute(
            select(*_columns).where(
                webhook_deliveries.c.id == delivery_id, webhook_deliveries.c.webhook_id == webhook_id
            )
        )
        row = found.one_or_none()
        return None if row is None else Delivery(**row._mapping)

    async def called(
        self,
        delivery: Delivery,
        result: CallResult,
        *,
        status: DeliveryStatus,
        next_attempt_at: datetime | None,
        retry_until: datetime | None,
        now: datetime,
    ) -> None:
        """Record a call and what follows from it."""
        await self._connection.execute(
            update(webhook_deliveries)
            .where(webhook_deliveries.c.id == delivery.id)
            .values(
                status=status,
                attempts=delivery.attempts + 1,
                next_attempt_at=next_attempt_at,
                retry_until=retry_until,
                last_attempt_at=now,
                last_status=result.status,
                last_error=result.error,
            )
        )

    async def send_again(self, delivery_id: UUID, *, now: datetime) -> Delivery:
        """Returns the delivery, which is due now and has a whole time for retries again."""
        changed = await self._connection.execute(
            update(webhook_deliveries)
            .where(webhook_deliveries.c.id == delivery_id)
            .values(status="pending", attempts=0, next_attempt_at=now, retry_until=None)
            .returning(*_columns)
        )
        return Delivery(**changed.one()._mapping)
