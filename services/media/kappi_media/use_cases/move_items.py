"""Move items to another gallery of their owner (ADR-0025): a request, a copy of the objects, a switch.

An object's key begins with its gallery, because a gallery is removed by that prefix. So the objects are
copied to a folder in the new gallery, which no move used before, and the item is switched over in one
transaction. What it leaves is removed later: pages that were handed out still lead there.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox, OutboxRow, UnitOfWork
from kappi_chassis.storage import ObjectHead, ObjectMissing, ObjectStore, StorageRefused
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import MediaMoved, MediaMoveRequested, ObjectsUnused
from kappi_contracts.grants import Grant
from kappi_contracts.keys import location_free_key, original_key, rendition_key

from kappi_media import metrics
from kappi_media.domain import AccountId, GalleryId
from kappi_media.errors import GalleryNotFound, MediaNotFound, MediaNotReady, MoveFailed, TooManyMoves
from kappi_media.repository.bulk import HeldItem
from kappi_media.repository.lifecycle import publish_each
from kappi_media.repository.location_free import note_face
from kappi_media.repository.moves import (
    CopiedObjects,
    Leftovers,
    MoveQueries,
    PendingMove,
    RequestedMove,
    add_moves,
    end_moves,
    hold_pending,
    is_open_gallery_of,
    leftovers,
)
from kappi_media.repository.ownership import adopt
from kappi_media.schemas import BulkOutcome

KEPT_FOR: Final = timedelta(hours=6)
"""How long objects stay where an item was before: signed URLs, archives and renditions under way use them."""
STALE_AFTER: Final = timedelta(hours=1)
"""A request that is older is made anew when the owner asks again."""
GIVEN_UP_AFTER: Final = timedelta(days=1)
LEFT_PER_USED_BYTE: Final = 3
LEFT_BYTES: Final = 1 << 30
LEAST_BYTES: Final = 64 << 10
"""What a move counts at least: an item has several objects."""
MAX_PENDING: Final = 2_000
SWEEP_BATCH: Final = 500
COPIES_OF_ITEM: Final = 4
"""Objects of one item that are copied at once."""
WAIT_S: Final = 15.0
FIRST_POLL_S, LONGEST_POLL_S = 0.05, 0.5
MAX_WAITING: Final = 32
MAX_WAITING_OF_ACCOUNT: Final = 2

_log = get_logger(__name__)


class MoveTarget:
    """A gallery that items are to be moved to. It may be new, and hold nothing yet."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __call__(self, grant: Grant, *, owner_id: AccountId) -> GalleryId:
        """Know the gallery as its owner's from now on. Raises GalleryNotFound when it is not theirs."""
        if grant.owner_id != owner_id:
            raise GalleryNotFound
        gallery_id, face = GalleryId(grant.gallery_id), grant.gallery
        async with self._outbox.begin() as unit:
            if not await is_open_gallery_of(unit.connection, gallery_id, owner_id=owner_id):
                await adopt(unit.connection, gallery_id, owner_id=owner_id)
            # The links of an item come along, and bring no grant that would tell.
            await note_face(
                unit.connection, gallery_id, location_free=face.location_free, version=face.version
            )
        return gallery_id


class RequestMoves:
    """Within the transaction of the call that wants them."""

    def __init__(self, outbox: Outbox, *, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def __call__(
        self, unit: UnitOfWork, owner_id: AccountId, held: Sequence[HeldItem], gallery_id: GalleryId
    ) -> dict[UUID, BulkOutcome]:
        """The outcomes of those that are not in that gallery. A later request takes the place of an earlier
        one. Raises GalleryNotFound."""
        if not await is_open_gallery_of(unit.connection, gallery_id, owner_id=owner_id):
            raise GalleryNotFound
        now = self._clock()
        left = await leftovers(unit.connection, owner_id, since=now - KEPT_FOR, least_bytes=LEAST_BYTES)
        pending = await hold_pending(unit.connection, [item.id for item in held])
        ended: list[RequestedMove] = []
        wanted: list[HeldItem] = []
        outcomes: dict[UUID, BulkOutcome] = {}
        for item in held:
            earlier = pending.get(item.id)
            if item.gallery_id == gallery_id:
                ended += [earlier] if earlier is not None else []
            elif item.status != "ready":
                outcomes[item.id] = refused(item.id, MediaNotReady.code)
            else:
                outcomes[item.id] = BulkOutcome(id=item.id, status="pending")
                if earlier is None or not _goes_on(earlier, gallery_id, now=now):
                    wanted.append(item)
        allowed = wanted[: _number_within_bounds(wanted, left)]
        outcomes |= {item.id: refused(item.id, TooManyMoves.code) for item in wanted[len(allowed) :]}
        ended += [pending[item.id] for item in allowed if item.id in pending]
        await self._record(unit, ended, allowed, gallery_id=gallery_id, owner_id=owner_id, now=now)
        return outcomes

    async def _record(
        self,
        unit: UnitOfWork,
        ended: Sequence[RequestedMove],
        wanted: Sequence[HeldItem],
        *,
        gallery_id: GalleryId,
        owner_id: AccountId,
        now: datetime,
    ) -> None:
        events: list[tuple[OutboxRow, int]] = []
        if ended:
            await end_moves(unit.connection, [move.folder for move in ended], now=now)
            # A copy may be under way: nobody reads it, so it can stay as long as what a move leaves behind.
            unused = [unused_folder(move, purge_after=now + KEPT_FOR) for move in ended]
            events += [
                (self._outbox.row(event), move.folder) for event, move in zip(unused, ended, strict=True)
            ]
        if wanted:
            added = await add_moves(
                unit.connection, wanted, gallery_id=gallery_id, account_id=owner_id, now=now
            )
            events += [(self._outbox.row(_request_of(move, now)), move.folder) for move in added]
        if events:
            await publish_each(unit.connection, events)
            unit.published = True


class MoveItem:
    """Handles MediaMoveRequested. Needs no inbox: a move is done a single time, and copying twice is copying
    once."""

    def __init__(self, moves: MoveQueries, *, store: ObjectStore, outbox: Outbox, clock: Clock) -> None:
        self._moves = moves
        self._store = store
        self._outbox = outbox
        self._clock = clock

    async def __call__(self, envelope: Envelope[MediaMoveRequested]) -> bool:
        """False where there was nothing to do. Raises StorageUnavailable: the event is tried again."""
        folder = envelope.data.folder
        move = await self._moves.pending(folder)
        if move is None:
            return False
        copied = None
        if move.from_gallery_id is not None:
            try:
                copied = await self._copy(move, move.from_gallery_id, folder)
            except StorageRefused as error:
                _log.warning("move.refused", media_id=str(move.media_id), error=str(error))
        if copied is None or not await self._switch(move, folder, copied):
            now = self._clock()
            unused = unused_folder(envelope.data, purge_after=now)
            await self._moves.give_up(folder, unused=self._outbox.row(unused), now=now)
            metrics.MOVES.labels("given_up").inc()
        else:
            metrics.MOVES.labels("moved").inc()
        self._outbox.wake()
        return True

    async def _switch(self, move: PendingMove, folder: int, copied: CopiedObjects) -> bool:
        now = self._clock()
        assert move.from_gallery_id is not None
        assert move.size_bytes is not None
        moved = MediaMoved(
            media_id=move.media_id,
            gallery_id=move.gallery_id,
            from_gallery_id=move.from_gallery_id,
            size_bytes=move.size_bytes,
            moved_at=now,
        )
        unused = ObjectsUnused(
            media_id=move.media_id,
            gallery_id=move.from_gallery_id,
            folder=move.from_folder,
            purge_after=now + KEPT_FOR,
        )
        return await self._moves.switch(
            move, folder, copied, moved=self._outbox.row(moved), unused=self._outbox.row(unused), now=now
        )

    async def _copy(self, move: PendingMove, home: GalleryId, folder: int) -> CopiedObjects | None:
        """None where there is no original. What else is missing is made again when it is asked for."""
        slots = asyncio.Semaphore(COPIES_OF_ITEM)

        async def copy(source: str, target: str) -> ObjectHead | None:
            async with slots:
                try:
                    return await self._store.copy(source, target)
                except ObjectMissing:
                    return None

        keys = zip(
            _keys_of(move, home, move.from_folder), _keys_of(move, move.gallery_id, folder), strict=True
        )
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(copy(source, target)) for source, target in keys]
        except ExceptionGroup as failures:
            # A store that is away fails them all alike, and by itself it is known for what it is.
            raise failures.exceptions[0] from failures
        original, *others = [task.result() for task in tasks]
        if original is None:
            return None
        location_free = others.pop(0) if move.location_free else None
        return CopiedObjects(
            etag=original.etag,
            location_free_etag=location_free.etag if location_free is not None else None,
            renditions=[each for each, head in zip(move.renditions, others, strict=True) if head],
        )


class AwaitMoves:
    """Most moves take a moment: the call that wants them waits for them, for a while."""

    def __init__(self, moves: MoveQueries) -> None:
        self._moves = moves
        self._waiting: Counter[AccountId] = Counter()

    async def __call__(
        self, outcomes: Sequence[BulkOutcome], *, owner_id: AccountId, gallery_id: GalleryId
    ) -> list[BulkOutcome]:
        """The outcomes as they are once no move is pending, or 15 seconds later."""
        known = {outcome.id: outcome for outcome in outcomes}
        give_up_at, pause_s = time.monotonic() + WAIT_S, FIRST_POLL_S
        with self._place(owner_id) as waits:
            while pending := [id_ for id_, outcome in known.items() if outcome.status == "pending"]:
                known |= _settled(await self._moves.settled(pending), gallery_id)
                if not waits or time.monotonic() + pause_s > give_up_at:
                    break
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_POLL_S)
        return list(known.values())

    @contextmanager
    def _place(self, owner_id: AccountId) -> Iterator[bool]:
        """Whether this call may wait: each that does holds a place among the calls of all."""
        if self._waiting.total() >= MAX_WAITING or self._waiting[owner_id] >= MAX_WAITING_OF_ACCOUNT:
            yield False
            return
        self._waiting[owner_id] += 1
        try:
            yield True
        finally:
            self._waiting[owner_id] -= 1
            self._waiting += Counter()  # forgets those who wait no more


class SweepMoves:
    """Gives up moves whose request was lost, and forgets those that are long done."""

    def __init__(self, moves: MoveQueries, *, outbox: Outbox, clock: Clock) -> None:
        self._moves = moves
        self._outbox = outbox
        self._clock = clock

    async def __call__(self, as_of: datetime) -> None:
        """as_of: the tick's instant, not the wall clock."""
        before = as_of - GIVEN_UP_AFTER
        while stale := await self._moves.stale(before, limit=SWEEP_BATCH):
            for move in stale:
                unused = self._outbox.row(unused_folder(move, purge_after=as_of))
                await self._moves.give_up(move.folder, unused=unused, now=self._clock())
            metrics.MOVES.labels("lost").inc(len(stale))
            self._outbox.wake()
        while await self._moves.forget(before, limit=SWEEP_BATCH) == SWEEP_BATCH:
            pass


def refused(media_id: UUID, code: str) -> BulkOutcome:
    return BulkOutcome(id=media_id, status="refused", code=code)


def unused_folder(move: RequestedMove | MediaMoveRequested, *, purge_after: datetime) -> ObjectsUnused:
    return ObjectsUnused(
        media_id=move.media_id, gallery_id=move.gallery_id, folder=move.folder, purge_after=purge_after
    )


def _request_of(move: RequestedMove, now: datetime) -> MediaMoveRequested:
    return MediaMoveRequested(
        media_id=move.media_id, gallery_id=move.gallery_id, folder=move.folder, requested_at=now
    )


def _goes_on(earlier: RequestedMove, gallery_id: GalleryId, *, now: datetime) -> bool:
    """Whether an earlier request is all that is wanted now."""
    return earlier.gallery_id == gallery_id and now - earlier.requested_at < STALE_AFTER


def _number_within_bounds(wanted: Sequence[HeldItem], left: Leftovers) -> int:
    """How many of these, from the first on, the account may move now."""
    room_bytes = LEFT_BYTES + LEFT_PER_USED_BYTE * left.used_bytes - left.bytes
    most = min(len(wanted), max(0, MAX_PENDING - left.pending))
    for number, item in enumerate(wanted[:most]):
        room_bytes -= max(item.size_bytes, LEAST_BYTES)
        if room_bytes < 0:
            return number
    return most


def _keys_of(move: PendingMove, gallery_id: GalleryId, folder: int | None) -> list[str]:
    """The original first, then the copy without its place, then renditions."""
    keys = [original_key(gallery_id, move.media_id, folder)]
    if move.location_free:
        keys.append(location_free_key(gallery_id, move.media_id, folder))
    return keys + [
        rendition_key(gallery_id, move.media_id, size, fmt, folder=folder) for size, fmt in move.renditions
    ]


def _settled(found: Mapping[UUID, UUID | None], gallery_id: GalleryId) -> dict[UUID, BulkOutcome]:
    outcomes: dict[UUID, BulkOutcome] = {}
    for media_id, home in found.items():
        if home == gallery_id:
            outcomes[media_id] = BulkOutcome(id=media_id, status="done")
        else:
            outcomes[media_id] = refused(media_id, MediaNotFound.code if home is None else MoveFailed.code)
    return outcomes
