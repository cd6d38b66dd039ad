"""Changes the order in which a gallery shows its items."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kappi_chassis.clock import Clock
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.events import ItemsReordered
from msgspec.json import decode, encode

from kappi_media import metrics
from kappi_media.domain.media import GalleryId
from kappi_media.domain.order import OrderTooFine, Placement, Reordered, Sorting, keys_between
from kappi_media.errors import GalleryNotFound, MediaNotFound, OrderExhausted, SortBusy, TooManyToSort
from kappi_media.repository.order import OrderRows

OK: Final = 200
BUSY_RETRY_AFTER_S: Final = 1


class ReorderItems:
    """Puts items elsewhere in their gallery, or sorts all of them once.

    sorted_items: items of the largest gallery that is sorted. sorts_at_once: of this process.
    """

    def __init__(self, outbox: Outbox, *, clock: Clock, sorted_items: int, sorts_at_once: int) -> None:
        self._outbox = outbox
        self._clock = clock
        self._sorted_items = sorted_items
        self._sorts_at_once = sorts_at_once
        self._sorts = 0

    async def __call__(
        self, gallery_id: GalleryId, wanted: Placement | Sorting, *, call: IdempotentCall | None
    ) -> Reordered:
        """Returns what was moved. Nothing is written or published when nothing changes.

        Raises GalleryNotFound, MediaNotFound, OrderExhausted, TooManyToSort, SortBusy, IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            return StoredAnswer(OK, encode(await self._reorder(unit, gallery_id, wanted)))

        if isinstance(wanted, Placement):
            answer = await answer_once(self._outbox, call, act)
        else:
            with self._sort_slot():
                answer = await answer_once(self._outbox, call, act)
        return decode(answer.body, type=Reordered)

    async def _reorder(
        self, unit: UnitOfWork, gallery_id: GalleryId, wanted: Placement | Sorting
    ) -> Reordered:
        rows = OrderRows(unit.connection, gallery_id)
        held = await rows.hold()
        if held is not None and held.deleted:
            raise GalleryNotFound
        if isinstance(wanted, Placement):
            answer, changed = await self._move(rows, wanted)
        else:
            if held is not None and held.item_count > self._sorted_items:
                raise TooManyToSort(f"A gallery of at most {self._sorted_items} items can be sorted.")
            answer, changed = Reordered(), await rows.sort(wanted)
        outcome = "moved" if isinstance(wanted, Placement) else "sorted"
        metrics.REORDERS.labels(outcome if changed else "unchanged").inc()
        if changed:
            event = ItemsReordered(gallery_id=gallery_id, reordered_at=self._clock())
            await unit.publish(event, sequence=await rows.bump())
        return answer

    async def _move(self, rows: OrderRows, wanted: Placement) -> tuple[Reordered, bool]:
        """Returns the answer, and whether anything changed."""
        asked = tuple(dict.fromkeys(wanted.media_ids))
        visible = await rows.visible(asked)
        moved = tuple(media_id for media_id in asked if media_id in visible)
        if not moved:
            raise MediaNotFound
        high = None
        if wanted.before is not None:
            high = await rows.sort_key_of(wanted.before)
            if high is None:
                raise MediaNotFound("There is no such item to put them before.")
        answer = Reordered(moved, tuple(media_id for media_id in asked if media_id not in visible))
        # At most all moved items are among these, so the one before them is found, too.
        neighbours = await rows.last_before(high, limit=len(moved) + 1)
        if [neighbour.id for neighbour in neighbours[: len(moved)]] == [*reversed(moved)]:
            return answer, False
        low = next((key for media_id, key in neighbours if media_id not in visible), None)
        try:
            keys = keys_between(low, high, len(moved))
        except OrderTooFine as too_fine:
            raise OrderExhausted("Put all items in their order by fewer calls.") from too_fine
        await rows.put(dict(zip(moved, keys, strict=True)))
        return answer, True

    @contextmanager
    def _sort_slot(self) -> Iterator[None]:
        if self._sorts >= self._sorts_at_once:
            metrics.REORDERS.labels("busy").inc()
            raise SortBusy("Try again in a moment.", retry_after_s=BUSY_RETRY_AFTER_S)
        self._sorts += 1
        try:
            yield
        finally:
            self._sorts -= 1
