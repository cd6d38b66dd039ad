"""The effects of the events that this service consumes: those that webhooks are called about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kappi_chassis.bus.processor import Handler

GROUP: Final = "identity"
TOPICS: Final = ("MediaReady", "MediaDeleted", "GalleryDeleted", "CommentAdded")


def handlers(queue_deliveries: Handler) -> Mapping[str, Handler]:
    """Returns the handlers by topic."""
    return dict.fromkeys(TOPICS, queue_deliveries)
