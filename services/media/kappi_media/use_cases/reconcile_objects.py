"""Compares items with the objects in the store, in both directions (ADR-0064)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar, Final

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox
from kappi_chassis.reconcile import Difference, Page
from kappi_chassis.reconcile.check import PAGE
from kappi_chassis.reconcile.peer import Peer
from kappi_chassis.storage import ObjectMissing, ObjectStore
from kappi_contracts.events import MediaDeleted, ObjectsUnused
from kappi_contracts.keys import (
    folder_prefix,
    gps_free_key,
    original_key,
    playback_pieces_prefix,
    rendition_key,
    sidecar_key,
    small_piece,
)
from kappi_contracts.reconciliation import Named
from kappi_contracts.rendition_formats import STORED_FORMATS, StoredFormat

from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.domain.stored_objects import (
    FolderKey,
    ItemKey,
    Listing,
    behind,
    item_at,
    parse_key,
    position_of,
)
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.processing import FIRST_SEQUENCE_AFTER_COMPLETION
from kappi_media.repository.reconcile_objects import ObjectQueries, StoredItem

IN_HAND_FOR: Final = timedelta(days=1)
"""The time for which objects that a move or a deletion left are not reported: they are kept on purpose for
some hours, and then purged.
"""
_PREFIX: Final = "galleries/"
_SIDECAR: Final = "sidecar.xmp"


class ReconcileObjects:
    """A check. Objects younger than the longest upload, and objects that any service names, are never
    removed; objects of items are removed by the janitor, as always.
    """

    kinds: ClassVar[Sequence[str]] = (
        "original_missing",  # an item's row without its original
        "rendition_missing",  # the row of a rendition, location-free copy or sidecar, without its object
        "folder_unnamed",  # objects of no item
        "object_unnamed",  # an object in an item's folder that no row names
        "key_unknown",  # not a key of an item; never removed
    )

    def __init__(
        self,
        objects: ObjectQueries,
        *,
        items: ItemQueries,
        store: ObjectStore,
        outbox: Outbox,
        galleries: Peer,
        longest_upload: timedelta,
        clock: Clock,
    ) -> None:
        self._objects = objects
        self._items = items
        self._store = store
        self._outbox = outbox
        self._galleries = galleries
        self._longest_upload = longest_upload
        self._clock = clock

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        listing, end = await self._list(after)
        rows = await self._objects.items(item_at(after), limit=PAGE)
        if len(rows) == PAGE:
            last = rows[-1].gallery_id, rows[-1].media_id
            end = last if end is None else min(end, last)
        items = {(row.gallery_id, row.media_id): row for row in rows if row.status != "rejected"}
        within = sorted(key for key in items.keys() | listing.items.keys() if end is None or key <= end)
        found = list(_compared(within, items, listing))
        found = await self._without_those_in_hand(found)
        last_key = None if end is None else behind(position_of(end))
        unknown = [key for key in listing.unknown if last_key is None or key < last_key]
        found += [Difference(kind="key_unknown", subject=key) for key in unknown]
        return Page(
            after=None if end is None else position_of(end),
            examined=len(within),
            differences=found,
        )

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        key = parse_key(difference.subject)
        if key is None:
            return False
        match difference.kind:
            case "original_missing":
                return await self._delete_item(key, difference.subject)
            case "rendition_missing":
                return await self._forget_rendition(key, difference.subject)
            case "folder_unnamed":
                return await self._purge_folder(key, difference.subject)
            case "object_unnamed":
                return await self._remove_object(key, difference.subject)
        return False

    async def _list(self, after: str) -> tuple[Listing, ItemKey | None]:
        """Returns the objects of whole items, and the last of these; None if the listing ended."""
        listing = Listing()
        page = await self._store.list_page(_PREFIX, after=behind(after), limit=PAGE)
        listing.add(each.key for each in page.objects)
        while page.next_token is not None and len(listing.items) < 2:
            page = await self._store.list_page(_PREFIX, token=page.next_token, limit=PAGE)
            listing.add(each.key for each in page.objects)
        return listing, None if page.next_token is None else listing.without_last()

    async def _without_those_in_hand(self, found: list[Difference]) -> list[Difference]:
        unnamed = {
            each: key
            for each in found
            if each.kind == "folder_unnamed" and (key := parse_key(each.subject)) is not None
        }
        named = await self._objects.named(
            {key.media_id for key in unnamed.values()},
            {key.gallery_id for key in unnamed.values()},
            since=self._clock() - IN_HAND_FOR,
        )
        return [
            each
            for each in found
            if each not in unnamed
            or (unnamed[each].media_id not in named[0] and unnamed[each].gallery_id not in named[1])
        ]

    async def _delete_item(self, key: FolderKey, original: str) -> bool:
        if not await self._is_missing(original) or not await self._objects.is_folder_of_item(
            key.gallery_id, key.media_id, key.folder
        ):
            return False
        now = self._clock()
        event = self._outbox.row(
            MediaDeleted(media_id=key.media_id, gallery_id=key.gallery_id, reason="requested", deleted_at=now)
        )
        deleted = await self._items.delete(
            MediaId(key.media_id), GalleryId(key.gallery_id), now=now, event=event
        )
        if deleted is None:
            return False
        self._outbox.wake()
        return True

    async def _forget_rendition(self, key: FolderKey, subject: str) -> bool:
        if not await self._is_missing(subject):
            return False
        if key.name == _SIDECAR:
            return await self._objects.forget_sidecar(key.media_id, key.gallery_id)
        rendition = _rendition_of(key.name)
        if rendition is None:
            return await self._objects.forget_copy(key.media_id)
        return await self._objects.forget_rendition(key.media_id, *rendition)

    async def _is_missing(self, key: str) -> bool:
        try:
            await self._store.head(key)
        except ObjectMissing:
            return True
        return False

    async def _purge_folder(self, key: FolderKey, prefix: str) -> bool:
        now = self._clock()
        if not await self._is_old(prefix):
            return False
        found = await self._without_those_in_hand([Difference(kind="folder_unnamed", subject=prefix)])
        asked = Named(items=(key.item,))
        if (
            not found
            or (await self._galleries.still_named(asked)).items
            or await self._objects.is_folder_of_item(key.gallery_id, key.media_id, key.folder)
        ):
            return False
        # No id and no folder is used twice, so nothing can name it before the janitor purges it.
        unused = ObjectsUnused(
            media_id=key.media_id, gallery_id=key.gallery_id, folder=key.folder, purge_after=now
        )
        async with self._outbox.begin() as unit:
            await unit.publish(unused, sequence=key.folder or FIRST_SEQUENCE_AFTER_COMPLETION)
        return True

    async def _remove_object(self, key: FolderKey, subject: str) -> bool:
        if not await self._is_old(subject) or await self._names(key):
            return False
        report = await self._store.delete_batch([subject])
        return not report.failed

    async def _names(self, key: FolderKey) -> bool:
        """Returns whether a row names an object of an item."""
        item = await self._objects.item(key.gallery_id, key.media_id)
        return item is not None and key.name in _named_objects(item) | _expected(item)

    async def _is_old(self, prefix: str) -> bool:
        """Returns whether there are objects under a prefix, all older than the longest upload."""
        objects = (await self._store.list_page(prefix, limit=PAGE)).objects
        before = self._clock() - self._longest_upload
        return bool(objects) and all(each.last_modified < before for each in objects)


def _compared(
    within: Sequence[ItemKey], items: dict[ItemKey, StoredItem], listing: Listing
) -> Iterator[Difference]:
    for key in within:
        item, folders = items.get(key), listing.items.get(key, {})
        for number in sorted(folders, key=lambda folder: -1 if folder is None else folder):
            if item is None or number != item.folder:
                yield Difference(kind="folder_unnamed", subject=folder_prefix(*key, number))
        if item is not None:
            yield from _compared_item(item, folders.get(item.folder, set()))


def _compared_item(item: StoredItem, stored: set[str]) -> Iterator[Difference]:
    place = folder_prefix(item.gallery_id, item.media_id, item.folder)
    if "original" not in stored:
        yield Difference(kind="original_missing", subject=f"{place}original")
        return
    named = _named_objects(item)
    for name in sorted(named - stored):
        yield Difference(kind="rendition_missing", subject=f"{place}{name}")
    for name in sorted(stored - named - _expected(item)):
        yield Difference(kind="object_unnamed", subject=f"{place}{name}")


def _named_objects(item: StoredItem) -> set[str]:
    """Returns the names, within its folder, of all objects that an item's rows name."""
    at = item.gallery_id, item.media_id
    keys = [original_key(*at)] + [rendition_key(*at, size, fmt) for size, fmt in item.renditions]
    if item.location_free:
        keys.append(gps_free_key(*at))
    if item.has_sidecar:
        keys.append(sidecar_key(*at))
    return {key.removeprefix(folder_prefix(*at)) for key in keys}


def _expected(item: StoredItem) -> set[str]:
    """Returns the names of objects that may be there: a sidecar that is declared, and the pieces of a film
    that is being made playable. A missing one is made again.
    """
    at = item.gallery_id, item.media_id
    place = playback_pieces_prefix(*at).removeprefix(folder_prefix(*at))
    pieces = {place + name for piece in item.pieces for name in (piece, small_piece(piece))}
    return pieces | ({_SIDECAR} if item.may_have_sidecar else set())


def _rendition_of(name: str) -> tuple[str, StoredFormat] | None:
    """Returns size and format of a rendition's object; None for another object."""
    if not name.startswith("renditions/"):
        return None
    size, _, extension = name.removeprefix("renditions/").rpartition(".")
    for fmt, output in STORED_FORMATS.items():
        if output.extension == extension:
            return size, fmt
    return None
