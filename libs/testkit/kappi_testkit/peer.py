"""Another service in a comparison, by its rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(slots=True)
class FakePeer:
    """Takes the place of `kappi_chassis.reconcile.peer.Peer`. rows: by collection, in any order."""

    rows: dict[str, list[Any]] = field(default_factory=dict)

    async def page(self, collection: str, kind: type[Any], *, after: UUID, limit: int) -> list[Any]:
        key = _id_of(kind)
        rows = sorted(self.rows.get(collection, ()), key=key)
        return [row for row in rows if key(row) > after][:limit]


def _id_of(kind: type[Any]) -> Callable[[Any], UUID]:
    name = {"ReadyItem": "media_id", "StoredPicture": "post_id", "LinkDeadline": "link_id"}.get(
        kind.__name__, "gallery_id"
    )

    def read(row: Any) -> UUID:
        found: UUID = getattr(row, name)
        return found

    return read
