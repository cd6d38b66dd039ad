"""Queues deliveries to the webhooks of an account about events of other services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from typing import Any, Final
from uuid import UUID

import msgspec
from kappi_chassis.bus.future_events import CLOCK_SKEW
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.inbox import once
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import CommentAdded, Event, GalleryDeleted, MediaDeleted, MediaReady

from kappi_identity import metrics
from kappi_identity.domain.webhooks import DeliveryId, WebhookEvent
from kappi_identity.repository.deliveries import DeliveryRows
from kappi_identity.repository.webhooks import WebhookQueries, WebhookRows

REPLAYED_AFTER: Final = 2 * CLOCK_SKEW
"""An event that is older than a webhook by more than this is a replay, not one of a clock that is behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a webhook is told of an event. account_id: whose webhooks; None for an anonymous gallery.

    data: ids and facts, without personal data and signed URLs.
    """

    account_id: UUID | None
    event: WebhookEvent
    at: datetime
    data: Mapping[str, Any]


class QueueDeliveries:
    """Handles an event that webhooks are called about; each event has its effect once.

    Events of accounts without such a webhook cost one read together. kept: deliveries of one webhook; older
    ones are removed, so that what an account causes at once cannot fill the database. wanted: wakes what
    delivers.
    """

    def __init__(
        self,
        queries: WebhookQueries,
        *,
        outbox: Outbox,
        consumer: str,
        kept: int,
        wanted: asyncio.Event,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._queries = queries
        self._queue_once = once(outbox, consumer=consumer, effect=self._queue, then=wanted.set)
        self._kept = kept
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Returns False for a duplicate."""
        (is_new,) = await self.handle_all([envelope])
        return is_new

    async def handle_all(self, envelopes: Sequence[Envelope[Any]]) -> Sequence[bool]:
        """Returns for each event False if it is a duplicate. Source: BatchHandler."""
        messages = [message_of(each.data) for each in envelopes]
        accounts = {each.account_id for each in messages if each.account_id is not None}
        listening = await self._queries.listening(accounts, messages[0].event) if accounts else frozenset()
        wanted = [each.account_id in listening for each in messages]
        queued = list(compress(envelopes, wanted))
        news = iter(await self._queue_once.handle_all(queued) if queued else ())
        return [next(news) if is_wanted else True for is_wanted in wanted]

    async def _queue(self, unit: UnitOfWork, envelope: Envelope[Any]) -> None:
        message, rows = message_of(envelope.data), WebhookRows(unit.connection)
        assert message.account_id is not None
        found = await rows.lock_listening(
            message.account_id, message.event, made_before=message.at + REPLAYED_AFTER
        )
        if not found:
            return
        deliveries = DeliveryRows(unit.connection)
        await deliveries.queue(
            [(webhook_id, DeliveryId(self._new_id())) for webhook_id in found],
            event=message.event,
            body=_body(message, sequence=envelope.sequence),
            now=self._clock(),
        )
        dropped = await deliveries.keep_newest(found, kept=self._kept)
        metrics.DELIVERIES_QUEUED.inc(len(found))
        metrics.DELIVERIES_DROPPED.inc(dropped)


def message_of(event: Event) -> Message:
    return _MESSAGES[type(event)](event)


def _media_ready(event: MediaReady) -> Message:
    return Message(
        account_id=event.owner_id,
        event="media.ready",
        at=event.ready_at,
        data={"media_id": event.media_id, "gallery_id": event.gallery_id, "kind": event.kind},
    )


def _media_deleted(event: MediaDeleted) -> Message:
    return Message(
        account_id=event.owner_id,
        event="media.deleted",
        at=event.deleted_at,
        data={"media_id": event.media_id, "gallery_id": event.gallery_id, "reason": event.reason},
    )


def _gallery_deleted(event: GalleryDeleted) -> Message:
    return Message(
        account_id=event.owner_id,
        event="gallery.deleted",
        at=event.deleted_at,
        data={"gallery_id": event.gallery_id, "reason": event.reason},
    )


def _comment_added(event: CommentAdded) -> Message:
    return Message(
        account_id=event.post_author_id,
        event="comment.added",
        at=event.created_at,
        data={"post_id": event.post_id, "comment_id": event.comment_id},
    )


_MESSAGES: Mapping[type[Event], Callable[[Any], Message]] = {
    MediaReady: _media_ready,
    MediaDeleted: _media_deleted,
    GalleryDeleted: _gallery_deleted,
    CommentAdded: _comment_added,
}


def _body(message: Message, *, sequence: int) -> bytes:
    """Returns the payload of Standard Webhooks. sequence: of the event; the greater is the newer of an item,
    a gallery or a post.
    """
    return msgspec.json.encode(
        {"type": message.event, "timestamp": message.at, "data": {**message.data, "sequence": sequence}}
    )
