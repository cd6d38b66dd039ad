from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.domain.webhooks import DisabledReason, Webhook, WebhookEvent, WebhookId
from kappi_identity.models import accounts, webhook_deliveries, webhooks

_NAMES = (
    *("id", "account_id", "url", "events", "created_at", "failures", "failing_since"),
    *("disabled_at", "disabled_reason", "dropped"),
)
_columns = tuple(webhooks.c[name] for name in _NAMES)
_LISTENING = """
SELECT DISTINCT account_id FROM webhooks
WHERE account_id = ANY($1::uuid[]) AND disabled_at IS NULL AND events @> ARRAY[$2::text]
"""
# Taking a notice postpones it, so that another mailer takes it if this one dies.
_TAKE_NOTICE = """
WITH due AS MATERIALIZED (
  SELECT id FROM webhooks WHERE notice_at <= $1 ORDER BY notice_at LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE webhooks w SET notice_at = $1 + $2::interval FROM due, accounts a
WHERE w.id = due.id AND a.id = w.account_id
RETURNING w.id, w.url, w.disabled_at, w.disabled_reason, a.email
"""
_NOTICE_DONE = "UPDATE webhooks SET notice_at = NULL WHERE id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisabledNotice:
    """A webhook whose owner is to be told that it was disabled. email: None for a deleted account."""

    id: WebhookId
    url: str
    disabled_at: datetime
    disabled_reason: DisabledReason
    email: str | None


class WebhookQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, account_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Webhook]:
        """Returns webhooks of an account, newest first."""
        statement = select(*_columns).where(webhooks.c.account_id == account_id)
        if before is not None:
            statement = statement.where(webhooks.c.id < before)
        async with self._database.transaction() as connection:
            found = await connection.execute(statement.order_by(webhooks.c.id.desc()).limit(limit))
            return [_webhook(row) for row in found]

    async def find(self, webhook_id: UUID, account_id: UUID) -> Webhook | None:
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(*_columns).where(_own(webhook_id, account_id)))).first()
        return None if row is None else _webhook(row)

    async def listening(self, account_ids: Collection[UUID], event: WebhookEvent) -> Collection[UUID]:
        """Returns those of the accounts of which any webhook is called about such events."""
        rows = await self._database.hot.fetch(_LISTENING, list(account_ids), event)
        return {row["account_id"] for row in rows}

    async def take_notice(self, *, now: datetime, retry_in: timedelta) -> DisabledNotice | None:
        """Returns the notice that has waited longest. It is offered again after `retry_in`."""
        record = await self._database.hot.fetchrow(_TAKE_NOTICE, now, retry_in)
        return None if record is None else DisabledNotice(**record)

    async def notice_done(self, webhook_id: WebhookId) -> None:
        await self._database.hot.execute(_NOTICE_DONE, webhook_id)


class WebhookRows:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def count(self, account_id: UUID) -> int:
        statement = select(func.count()).select_from(webhooks).where(webhooks.c.account_id == account_id)
        return int((await self._connection.execute(statement)).scalar_one())

    async def insert(self, webhook: Webhook, *, sealed_secret: bytes) -> None:
        await self._connection.execute(
            insert(webhooks).values(
                id=webhook.id,
                account_id=webhook.account_id,
                url=webhook.url,
                events=list(webhook.events),
                sealed_secret=sealed_secret,
                created_at=webhook.created_at,
                not_before=webhook.created_at,
            )
        )

    async def lock(self, webhook_id: UUID, account_id: UUID) -> Webhook | None:
        """Returns a webhook of the account. No other transaction changes it until the commit."""
        return await self._lock(_own(webhook_id, account_id))

    async def lock_called(self, webhook_id: UUID) -> Webhook | None:
        """As `lock`, for the outcome of a call; None if the webhook was deleted meanwhile."""
        return await self._lock(webhooks.c.id == webhook_id)

    async def lock_listening(
        self, account_id: UUID, event: WebhookEvent, *, made_before: datetime
    ) -> Sequence[WebhookId]:
        """Returns the webhooks that are called about an event, locked in one order. None of a suspended
        account is.
        """
        statement = (
            select(webhooks.c.id)
            .join(accounts, accounts.c.id == webhooks.c.account_id)
            .where(
                webhooks.c.account_id == account_id,
                webhooks.c.events.contains([event]),
                webhooks.c.disabled_at.is_(None),
                webhooks.c.created_at <= made_before,
                accounts.c.suspended_at.is_(None),
            )
            .order_by(webhooks.c.id)
            .with_for_update(of=webhooks)
        )
        return [WebhookId(row.id) for row in await self._connection.execute(statement)]

    async def set_url(self, webhook_id: WebhookId, url: str) -> None:
        await self._write(webhook_id, url=url)

    async def set_events(self, webhook_id: WebhookId, events: Sequence[WebhookEvent]) -> None:
        await self._write(webhook_id, events=list(events))

    async def enable(self, webhook_id: WebhookId, *, now: datetime) -> None:
        """Enable a webhook, and forget its failures and its pause."""
        await self._write(webhook_id, disabled_at=None, disabled_reason=None, notice_at=None)
        await self.end_pause(webhook_id, now=now)

    async def end_pause(self, webhook_id: WebhookId, *, now: datetime) -> None:
        await self._write(webhook_id, failures=0, failing_since=None, not_before=now)

    async def disable(
        self, webhook_id: WebhookId, *, reason: DisabledReason, now: datetime, notice_at: datetime | None
    ) -> None:
        """Disable a webhook; its pending deliveries have failed. notice_at: None to send no notice."""
        await self._write(
            webhook_id,
            disabled_at=now,
            disabled_reason=reason,
            notice_at=notice_at,
            due_at=None,
            leased_until=None,
        )
        await self._fail_pending(webhook_deliveries.c.webhook_id == webhook_id)

    async def stop_all(self, account_id: UUID) -> None:
        """Let the pending deliveries of an account fail, because it was suspended."""
        own = select(webhooks.c.id).where(webhooks.c.account_id == account_id)
        await self._connection.execute(
            update(webhooks)
            .where(webhooks.c.id.in_(own.order_by(webhooks.c.id).with_for_update()))
            .values(due_at=None)
        )
        await self._fail_pending(webhook_deliveries.c.webhook_id.in_(own))

    async def succeeded(self, webhook_id: WebhookId, *, now: datetime) -> None:
        await self.end_pause(webhook_id, now=now)
        await self.look_again(webhook_id)

    async def failed(
        self, webhook_id: WebhookId, *, failures: int, failing_since: datetime, not_before: datetime
    ) -> None:
        await self._write(webhook_id, failures=failures, failing_since=failing_since, not_before=not_before)
        await self.look_again(webhook_id)

    async def look_again(self, webhook_id: WebhookId) -> None:
        """End the lease, and set when the next pending delivery is due."""
        first = (
            select(func.min(webhook_deliveries.c.next_attempt_at))
            .where(webhook_deliveries.c.webhook_id == webhook_id, webhook_deliveries.c.status == "pending")
            .scalar_subquery()
        )
        await self._write(webhook_id, due_at=first, leased_until=None)

    async def due_now(self, webhook_id: WebhookId, *, now: datetime) -> None:
        """Let a delivery be made now, in spite of a pause; a call that is going on ends first."""
        await self._write(
            webhook_id,
            due_at=func.least(webhooks.c.due_at, now),
            not_before=func.least(webhooks.c.not_before, now),
        )

    async def remove(self, webhook_id: WebhookId) -> None:
        await self._connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))

    async def remove_all(self, account_id: UUID) -> None:
        """Remove the webhooks of a deleted account, with their deliveries."""
        await self._connection.execute(delete(webhooks).where(webhooks.c.account_id == account_id))

    async def _fail_pending(self, condition: ColumnElement[bool]) -> None:
        await self._connection.execute(
            update(webhook_deliveries)
            .where(condition, webhook_deliveries.c.status == "pending")
            .values(status="failed", next_attempt_at=None)
        )

    async def _lock(self, condition: ColumnElement[bool]) -> Webhook | None:
        found = await self._connection.execute(select(*_columns).where(condition).with_for_update())
        row = found.one_or_none()
        return None if row is None else _webhook(row)

    async def _write(self, webhook_id: WebhookId, **values: Any) -> None:
        await self._connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(**values))


def _own(webhook_id: UUID, account_id: UUID) -> ColumnElement[bool]:
    return (webhooks.c.id == webhook_id) & (webhooks.c.account_id == account_id)


def _webhook(row: Any) -> Webhook:
    values = dict(row._mapping)
    return Webhook(**{**values, "events": tuple(values["events"])})
