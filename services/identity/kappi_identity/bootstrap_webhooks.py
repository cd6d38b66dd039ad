"""Builds what webhooks need: their endpoints, their consumer, and the jobs that call them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from kappi_chassis.bus.processor import Handler
from kappi_chassis.dependencies import ServiceDependencies
from kappi_chassis.http.idempotency import IdempotentCalls
from kappi_chassis.leased_work import LeasedWork

from kappi_identity.api.access import Access
from kappi_identity.api.webhooks import WebhookApi
from kappi_identity.background_jobs import (
    DELIVERIES_EVERY,
    DELIVERIES_WATCHED_EVERY_S,
    WantedJobs,
    repeat,
)
from kappi_identity.consumers import GROUP, handlers
from kappi_identity.domain.webhook_targets import TargetRules
from kappi_identity.domain.webhooks import SecretSeal
from kappi_identity.mailer import MailTransport, webhook_notice_maker
from kappi_identity.receivers import HttpReceivers, Receivers
from kappi_identity.repository.deliveries import DeliveryQueries
from kappi_identity.repository.webhooks import WebhookQueries
from kappi_identity.settings import IdentitySettings
from kappi_identity.use_cases.queue_deliveries import QueueDeliveries
from kappi_identity.use_cases.send_deliveries import SendDeliveries
from kappi_identity.use_cases.watch_deliveries import WatchDeliveries
from kappi_identity.use_cases.webhook_notices import WebhookNotices
from kappi_identity.use_cases.webhooks import ChangeWebhook, CreateWebhook, DeleteWebhook, ResendDelivery

Job = Callable[[], Coroutine[Any, Any, None]]


def http_receivers(settings: IdentitySettings) -> HttpReceivers:
    """Returns the receivers that the settings allow."""
    rules = TargetRules(
        plain_http=settings.webhook_plain_http,
        ports=settings.webhook_ports,
        networks=settings.webhook_networks,
    )
    return HttpReceivers(rules, timeout=settings.webhook_timeout, at_once=settings.webhook_calls)


def build_webhook_api(
    deps: ServiceDependencies,
    settings: IdentitySettings,
    *,
    access: Access,
    receivers: Receivers,
    calls: IdempotentCalls,
    wanted: WantedJobs,
) -> WebhookApi:
    return WebhookApi(
        access=access,
        webhooks=WebhookQueries(deps.database),
        deliveries=DeliveryQueries(deps.database),
        create_webhook=CreateWebhook(
            outbox=deps.outbox,
            receivers=receivers,
            seal=_seal(settings),
            most=settings.webhooks_per_account,
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        change_webhook=ChangeWebhook(outbox=deps.outbox, receivers=receivers, clock=deps.clock),
        delete_webhook=DeleteWebhook(outbox=deps.outbox),
        resend_delivery=ResendDelivery(outbox=deps.outbox, wanted=wanted.deliveries, clock=deps.clock),
        calls=calls,
    )


def build_handlers(
    deps: ServiceDependencies, settings: IdentitySettings, *, wanted: WantedJobs
) -> Mapping[str, Handler]:
    """Returns the event handlers by topic."""
    queue_deliveries = QueueDeliveries(
        WebhookQueries(deps.database),
        outbox=deps.outbox,
        consumer=GROUP,
        kept=settings.webhook_deliveries_kept,
        wanted=wanted.deliveries,
        clock=deps.clock,
        new_id=deps.new_id,
    )
    return handlers(queue_deliveries)


def build_sender(
    deps: ServiceDependencies, settings: IdentitySettings, *, receivers: Receivers
) -> SendDeliveries:
    return SendDeliveries(
        database=deps.database,
        receivers=receivers,
        seal=_seal(settings),
        timeout=settings.webhook_timeout,
        retry_for=settings.webhook_retry_for,
        clock=deps.clock,
    )


def build_notices(
    deps: ServiceDependencies, settings: IdentitySettings, *, transport: MailTransport
) -> WebhookNotices:
    return WebhookNotices(
        WebhookQueries(deps.database),
        transport=transport,
        make_mail=webhook_notice_maker(settings, clock=deps.clock),
        clock=deps.clock,
    )


def build_webhook_jobs(
    deps: ServiceDependencies,
    settings: IdentitySettings,
    *,
    receivers: Receivers,
    transport: MailTransport,
    wanted: WantedJobs,
) -> Mapping[str, Job]:
    """Returns the jobs of a worker by name. Each runs until it is cancelled."""
    sender = build_sender(deps, settings, receivers=receivers)
    deliveries = LeasedWork(
        "webhook-delivery",
        take=sender.take,
        work=sender.work,
        at_once=settings.webhook_calls,
        poll=DELIVERIES_EVERY,
        wanted=wanted.deliveries,
    )
    notices = build_notices(deps, settings, transport=transport)
    watch = WatchDeliveries(deps.database, clock=deps.clock)
    return {
        "webhook-deliveries": deliveries.run,
        "webhook-notices": notices.run,
        "webhook-watch": partial(repeat, "webhooks.watch", watch, every_s=DELIVERIES_WATCHED_EVERY_S),
    }


def _seal(settings: IdentitySettings) -> SecretSeal:
    return SecretSeal(settings.key_secret.get_secret_value().encode())
