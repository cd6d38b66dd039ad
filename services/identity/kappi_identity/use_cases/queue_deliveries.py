"""Queues deliveries to the webhooks of an account about events of other services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.outbox import UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import CommentAdded, Event, GalleryDeleted, MediaDeleted, MediaReady

from kappi_identity import metrics
from kappi_identity.domain.webhooks import DeliveryId, WebhookEvent
from kappi_identity.repository.deliveries import DeliveryRows
from kappi_identity.repository.webhooks import WebhookRows


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
    """The effect of an event that webhooks are called about. kept: deliveries of one webhook; older ones are
    removed, so that what an account causes at once cannot fill the database.
    """

    def __init__(self, *, kept: int, clock: Clock, new_id: NewId) -> None:
        self._kept = kept
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, unit: UnitOfWork, envelope: Envelope[Any]) -> None:
        message = message_of(envelope.data)
        if message.account_id is None:
            return
        rows = WebhookRows(unit.connection)
        found = await rows.lock_listening(message.account_id, message.event, at=message.at)
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
