"""Keys of stored objects, grouped by the item that they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"galleries/({_ID})/({_ID})(?:[.]([0-9]+))?/(.*)", re.DOTALL)
_UNKNOWN_KEPT: Final = 100

ItemKey = tuple[UUID, UUID]
"""A gallery and an item of it. They sort like the keys of their objects."""


class FolderKey(NamedTuple):
    """A folder of an item, or with `name` an object in it."""

    gallery_id: UUID
    media_id: UUID
    folder: int | None
    name: str

    @property
    def item(self) -> ItemKey:
        return self.gallery_id, self.media_id


def parse_key(key: str) -> FolderKey | None:
    """Returns the parts of the key of an item's object, or of a folder's prefix; None for another key."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    gallery_id, media_id, folder, name = found.groups()
    return FolderKey(UUID(gallery_id), UUID(media_id), None if folder is None else int(folder), name)


@dataclass(slots=True)
class Listing:
    """Objects as listed, in key order. items: names of objects by item and folder. unknown: keys of no item,
    the first hundred.
    """

    items: dict[ItemKey, dict[int | None, set[str]]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    objects: int = 0

    def add(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects += 1
            parts = parse_key(key)
            if parts is not None and parts.name:
                folders = self.items.setdefault(parts.item, {})
                folders.setdefault(parts.folder, set()).add(parts.name)
            elif len(self.unknown) < _UNKNOWN_KEPT:
                self.unknown.append(key)

    def without_last(self) -> ItemKey:
        """Removes the last item, whose objects may not all be listed yet, and returns the one before."""
        self.items.popitem()
        return next(reversed(self.items))


def position_of(item: ItemKey) -> str:
    return f"{item[0]}/{item[1]}"


def item_at(position: str) -> ItemKey:
    """Returns the item of a position; one before all others for the beginning."""
    if not position:
        return UUID(int=0), UUID(int=0)
    gallery_id, _, media_id = position.partition("/")
    return UUID(gallery_id), UUID(media_id)


def behind(position: str) -> str | None:
    """Returns a key behind all folders of the item at a position, and before the next item's."""
    return f"galleries/{position}0" if position else None  # 0 follows `.` and `/`
