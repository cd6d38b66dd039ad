"""Creates, changes and removes webhooks as their owner, and sends deliveries again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once, answered_before
from kappi_chassis.outbox import Outbox, UnitOfWork

from kappi_identity import metrics
from kappi_identity.domain.accounts import AccountId
from kappi_identity.domain.webhooks import (
    Delivery,
    SecretSeal,
    Webhook,
    WebhookEvent,
    WebhookId,
    new_secret,
    secret_text,
)
from kappi_identity.errors import DeliveryNotFound, WebhookDisabled, WebhookLimitReached, WebhookNotFound
from kappi_identity.receivers import Receivers
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.deliveries import DeliveryRows
from kappi_identity.repository.webhooks import WebhookRows


class CreateWebhook:
    """Creates webhooks. most: of one account."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        receivers: Receivers,
        seal: SecretSeal,
        most: int,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._outbox = outbox
        self._receivers = receivers
        self._seal = seal
        self._most = most
        self._clock = clock
        self._new_id = new_id

    async def __call__(
        self,
        account_id: AccountId,
        *,
        url: str,
        events: Sequence[WebhookEvent],
        call: IdempotentCall | None,
        render: Callable[[Webhook, str], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered webhook, or the answer stored before. render: also receives the only copy of
        the secret.

        Raises InvalidWebhookUrl, WebhookLimitReached, IdempotencyKeyReused.
        """
        known = await answered_before(self._outbox, call)
        if known is not None:
            return known
        await self._receivers.check(url)

        async def act(unit: UnitOfWork) -> StoredAnswer:
            if await AccountRows(unit.connection).lock(account_id) is None:
                raise AccessTokenInvalid("Its account was deleted.")
            rows = WebhookRows(unit.connection)
            if await rows.count(account_id) >= self._most:
                raise WebhookLimitReached(f"An account has at most {self._most}. Delete one first.")
            webhook = Webhook(
                id=WebhookId(self._new_id()),
                account_id=account_id,
                url=url,
                events=tuple(events),
                created_at=self._clock(),
            )
            secret = new_secret()
            await rows.insert(webhook, sealed_secret=self._seal.seal(secret, webhook_id=webhook.id))
            return render(webhook, secret_text(secret))

        return await answer_once(self._outbox, call, act)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChange:
    """The fields of a change; None leaves a field as it is."""

    url: str | None = None
    events: Sequence[WebhookEvent] | None = None
    enabled: bool | None = None


class ChangeWebhook:
    def __init__(self, *, outbox: Outbox, receivers: Receivers, clock: Clock) -> None:
        self._outbox = outbox
        self._receivers = receivers
        self._clock = clock

    async def __call__(self, webhook_id: UUID, account_id: AccountId, change: WebhookChange) -> Webhook:
        """Returns the webhook after the change. Raises InvalidWebhookUrl, WebhookNotFound."""
        if change.url is not None:
            await self._receivers.check(change.url)
        now = self._clock()
        async with self._outbox.begin() as unit:
            rows = WebhookRows(unit.connection)
            webhook = await rows.lock(webhook_id, account_id)
            if webhook is None:
                raise WebhookNotFound
            if change.url is not None and change.url != webhook.url:
                await rows.set_url(webhook.id, change.url)
                await rows.end_pause(webhook.id, now=now)
                webhook = replace(webhook, url=change.url, failures=0, failing_since=None)
            if change.events is not None:
                await rows.set_events(webhook.id, change.events)
                webhook = replace(webhook, events=tuple(change.events))
            if change.enabled and webhook.disabled_at is not None:
                await rows.enable(webhook.id, now=now)
                return replace(
                    webhook, disabled_at=None, disabled_reason=None, failures=0, failing_since=None
                )
            if change.enabled is False and webhook.disabled_at is None:
                await rows.disable(webhook.id, reason="requested", now=now, notice_at=None)
                metrics.WEBHOOKS_DISABLED.labels("requested").inc()
                return replace(webhook, disabled_at=now, disabled_reason="requested")
        return webhook


class DeleteWebhook:
    def __init__(self, *, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __call__(self, webhook_id: UUID, account_id: AccountId) -> None:
        """Delete the webhook with its deliveries. Raises WebhookNotFound."""
        async with self._outbox.begin() as unit:
            rows = WebhookRows(unit.connection)
            webhook = await rows.lock(webhook_id, account_id)
            if webhook is None:
                raise WebhookNotFound
            await rows.remove(webhook.id)


class ResendDelivery:
    """Queues a delivery again, whatever became of it."""

    def __init__(self, *, outbox: Outbox, wanted: asyncio.Event, clock: Clock) -> None:
        """wanted: wakes the deliveries."""
        self._outbox = outbox
        self._wanted = wanted
        self._clock = clock

    async def __call__(
        self,
        webhook_id: UUID,
        delivery_id: UUID,
        account_id: AccountId,
        *,
        call: IdempotentCall | None,
        render: Callable[[Delivery], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered delivery, or the answer stored before.

        Raises WebhookNotFound, WebhookDisabled, DeliveryNotFound, IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            now, rows = self._clock(), WebhookRows(unit.connection)
            deliveries = DeliveryRows(unit.connection)
            webhook = await rows.lock(webhook_id, account_id)
            if webhook is None:
                raise WebhookNotFound
            if await deliveries.find(delivery_id, webhook.id) is None:
                raise DeliveryNotFound
            if webhook.disabled_at is not None:
                raise WebhookDisabled('Enable it first: `PATCH` it with {"enabled": true}.')
            delivery = await deliveries.send_again(delivery_id, now=now)
            await rows.due_now(webhook.id, now=now)
            return render(delivery)

        answer = await answer_once(self._outbox, call, act)
        self._wanted.set()
        return answer
