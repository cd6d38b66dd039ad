"""The streams of one gallery, and the changes that wait for them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from kappi_gateway.live.recent_changes import Recorded
from kappi_gateway.live.stream import End, Stream


class Group:
    """The streams of one gallery.

    waiting: changes not yet told, with the times of their events. awaits_check: nothing is told until the
    access of the streams was checked again. hides_items: viewers of the gallery see no items, so streams are
    told of none; taken from the latest grant.
    """

    __slots__ = (
        "awaits_check",
        "expires_at",
        "gallery_id",
        "hides_items",
        "is_deleted",
        "streams",
        "waiting",
    )

    def __init__(self, gallery_id: UUID) -> None:
        self.gallery_id = gallery_id
        self.expires_at: datetime | None = None
        self.streams: dict[Stream, None] = {}
        self.waiting: list[tuple[Recorded, datetime]] = []
        self.awaits_check = False
        self.hides_items = False
        self.is_deleted = False

    def end(self, reason: End) -> None:
        for stream in self.streams:
            stream.end(reason)

    def shows(self, recorded: Recorded) -> bool:
        return not self.hides_items or recorded.change.is_of_gallery

    def end_those_of(self, code: str, reason: End) -> None:
        """Ends the streams that came with a code alone."""
        for stream in self.streams:
            if stream.code == code and not stream.is_protected:
                stream.end(reason)
