"""The changes of galleries that viewers are told, made from the events of the services."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from kappi_contracts.events import (
    Event,
    GalleryDeleted,
    GalleryUpdated,
    ItemsReordered,
    MediaDeleted,
    MediaMoved,
    MediaReady,
    MediaRejected,
)

ITEM_READY, ITEM_DELETED = "item_ready", "item_deleted"
GALLERY_UPDATED, GALLERY_DELETED = "gallery_updated", "gallery_deleted"
RESET = "reset"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one gallery.

    subject_id: the item or the gallery; None for the order of its items, which has a history of its own.
    body: the lines of the change as an event, without its id.
    """

    gallery_id: UUID
    subject_id: UUID | None
    kind: str
    body: bytes

    @property
    def is_of_gallery(self) -> bool:
        """Whether it tells nothing of items, not even that they were put into another order."""
        return self.subject_id == self.gallery_id


def changes_of(event: Event) -> Iterator[Change]:
    """Yields what an event changes: nothing, one gallery, or two galleries between which an item moved."""
    if isinstance(event, MediaReady):
        yield _ready(event.gallery_id, event.media_id, event.kind)
    elif isinstance(event, MediaDeleted | MediaRejected):
        yield _change(event.gallery_id, event.media_id, ITEM_DELETED)
    elif isinstance(event, MediaMoved):
        yield _change(event.from_gallery_id, event.media_id, ITEM_DELETED)
        yield _ready(event.gallery_id, event.media_id, None)
    elif isinstance(event, GalleryUpdated):
        yield _change(event.gallery_id, event.gallery_id, GALLERY_UPDATED)
    elif isinstance(event, ItemsReordered):
        lines = event_lines(GALLERY_UPDATED, {"id": event.gallery_id})
        yield Change(event.gallery_id, None, GALLERY_UPDATED, lines)
    elif isinstance(event, GalleryDeleted):
        yield _change(event.gallery_id, event.gallery_id, GALLERY_DELETED)


def _ready(gallery_id: UUID, media_id: UUID, kind: str | None) -> Change:
    return _change(gallery_id, media_id, ITEM_READY, kind=kind)


def _change(gallery_id: UUID, subject_id: UUID, change_kind: str, **data: Any) -> Change:
    return Change(gallery_id, subject_id, change_kind, event_lines(change_kind, {"id": subject_id, **data}))


def event_lines(kind: str, data: Any) -> bytes:
    """Returns the lines of an event, without its id and its end."""
    return b"event: %b\ndata: %b\n" % (kind.encode(), _encode(data))
