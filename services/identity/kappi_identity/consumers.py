"""The effects of the events that this service consumes: those that webhooks are called about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kappi_chassis.bus.processor import Handler
from kappi_chassis.inbox import Effect, once
from kappi_chassis.outbox import Outbox

GROUP: Final = "identity"
TOPICS: Final = ("MediaReady", "MediaDeleted", "GalleryDeleted", "CommentAdded")


def handlers(outbox: Outbox, *, queue_deliveries: Effect) -> Mapping[str, Handler]:
    """Returns the handlers by topic; each event has its effect once."""
    handler = once(outbox, consumer=GROUP, effect=queue_deliveries)
    return dict.fromkeys(TOPICS, handler)
