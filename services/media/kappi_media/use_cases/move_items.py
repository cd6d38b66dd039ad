"""Requests the move of items to another gallery of their owner, and waits for it (ADR-0025)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.events import ObjectsUnused
from kappi_contracts.grants import Grant

from kappi_media.domain.bulk import BulkOutcome
from kappi_media.domain.media import AccountId, GalleryId
from kappi_media.errors import GalleryNotFound, MediaNotFound, MediaNotReady, MoveFailed, TooManyMoves
from kappi_media.repository.bulk import HeldItem
from kappi_media.repository.gps_free import note_granted
from kappi_media.repository.lifecycle import publish_each
from kappi_media.repository.moves import (
    Leftovers,
    MoveQueries,
    RequestedMove,
    SettledMove,
    add_moves,
    end_moves,
    hold_pending,
    is_open_gallery_of,
    leftovers,
    stored_bytes,
)
from kappi_media.repository.ownership import adopt

KEPT_FOR: Final = timedelta(hours=6)
"""The time that objects stay where an item was before: signed URLs, archives and renditions under way use
them.
"""
LEFT_PER_USED_BYTE: Final = 3
LEFT_BYTES: Final = 1 << 30
LEAST_BYTES: Final = 64 << 10
"""The least size that is counted for a move, because an item has several objects."""
MAX_PENDING: Final = 2_000
WAIT_S: Final = 15.0
FIRST_POLL_S, LONGEST_POLL_S = 0.05, 0.5
MAX_WAITING: Final = 32
MAX_WAITING_OF_ACCOUNT: Final = 2


class MoveTarget:
    """A gallery that items are to be moved to. It may be new and empty."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __call__(self, grant: Grant, *, owner_id: AccountId) -> None:
        """Record the gallery as its owner's. Raises GalleryNotFound when it is not the owner's."""
        if grant.owner_id != owner_id:
            raise GalleryNotFound
        gallery_id, face = GalleryId(grant.gallery_id), grant.gallery
        async with self._outbox.begin() as unit:
            if not await is_open_gallery_of(unit.connection, gallery_id, owner_id=owner_id):
                await adopt(unit.connection, gallery_id, owner_id=owner_id)
            # The links of an item move with it, and a request that follows a link brings no grant with these
            # facts.
            await note_granted(unit.connection, gallery_id, face)


class RequestMoves:
    """Records requested moves within the transaction of the call that requests them."""

    def __init__(self, outbox: Outbox, *, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def __call__(
        self, unit: UnitOfWork, owner_id: AccountId, held: Sequence[HeldItem], gallery_id: GalleryId
    ) -> dict[UUID, BulkOutcome]:
        """Returns the outcomes of the items that are not in that gallery. A later request replaces an earlier
        one. Raises GalleryNotFound.
        """
        if not await is_open_gallery_of(unit.connection, gallery_id, owner_id=owner_id):
            raise GalleryNotFound
        now = self._clock()
        left = await leftovers(unit.connection, owner_id, since=now - KEPT_FOR, least_bytes=LEAST_BYTES)
        pending = await hold_pending(unit.connection, [item.id for item in held])
        ended: list[RequestedMove] = []
        wanted: list[UUID] = []
        outcomes: dict[UUID, BulkOutcome] = {}
        for item in held:
            earlier = pending.get(item.id)
            if item.gallery_id == gallery_id:
                ended += [earlier] if earlier is not None else []
            elif item.status != "ready":
                outcomes[item.id] = refused(item.id, MediaNotReady.code)
            else:
                outcomes[item.id] = BulkOutcome(id=item.id, status="pending")
                if earlier is None or earlier.gallery_id != gallery_id:
                    wanted.append(item.id)
        sizes = await stored_bytes(unit.connection, wanted)
        allowed = wanted[: _number_within_bounds([sizes[id_] for id_ in wanted], left)]
        outcomes |= {id_: refused(id_, TooManyMoves.code) for id_ in wanted[len(allowed) :]}
        ended += [pending[id_] for id_ in allowed if id_ in pending]
        if ended:
            await self._end(unit, ended, now=now)
        if allowed:
            await add_moves(
                unit.connection,
                {id_: sizes[id_] for id_ in allowed},
                gallery_id=gallery_id,
                account_id=owner_id,
                now=now,
            )
        return outcomes

    async def _end(self, unit: UnitOfWork, moves: Sequence[RequestedMove], *, now: datetime) -> None:
        await end_moves(unit.connection, [move.folder for move in moves], now=now)
        # One of them may be being copied, so its objects stay as long as what a move leaves behind.
        events = [unused_folder(move, purge_after=now + KEPT_FOR) for move in moves]
        rows = [(self._outbox.row(event), move.folder) for event, move in zip(events, moves, strict=True)]
        await publish_each(unit.connection, rows)
        unit.published = True


class AwaitMoves:
    """Waits for requested moves: most take less than a second, so the call that requests them waits a while.

    wake: wakes the mover of this process, if there is one.
    """

    def __init__(self, moves: MoveQueries, *, wake: Callable[[], None]) -> None:
        self._moves = moves
        self._wake = wake
        self._waiting: Counter[AccountId] = Counter()

    async def __call__(
        self, outcomes: Sequence[BulkOutcome], *, owner_id: AccountId, gallery_id: GalleryId
    ) -> list[BulkOutcome]:
        """Returns the outcomes as they are once no move is pending, or after 15 seconds."""
        self._wake()
        known = {outcome.id: outcome for outcome in outcomes}
        give_up_at, pause_s = time.monotonic() + WAIT_S, FIRST_POLL_S
        with self._place(owner_id) as waits:
            while pending := [id_ for id_, outcome in known.items() if outcome.status == "pending"]:
                settled = await self._moves.settled(pending, gallery_id)
                known |= {id_: _outcome_of(id_, move, gallery_id) for id_, move in settled.items()}
                if not waits or time.monotonic() + pause_s > give_up_at:
                    break
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_POLL_S)
        return list(known.values())

    @contextmanager
    def _place(self, owner_id: AccountId) -> Iterator[bool]:
        """Yields whether this call may wait. Each waiting call holds one of a limited number of places."""
        if self._waiting.total() >= MAX_WAITING or self._waiting[owner_id] >= MAX_WAITING_OF_ACCOUNT:
            yield False
            return
        self._waiting[owner_id] += 1
        try:
            yield True
        finally:
            self._waiting[owner_id] -= 1
            self._waiting += Counter()  # removes accounts without a waiting call


def refused(media_id: UUID, code: str) -> BulkOutcome:
    return BulkOutcome(id=media_id, status="refused", code=code)


def unused_folder(move: RequestedMove, *, purge_after: datetime) -> ObjectsUnused:
    return ObjectsUnused(
        media_id=move.media_id, gallery_id=move.gallery_id, folder=move.folder, purge_after=purge_after
    )


def _number_within_bounds(sizes: Sequence[int], left: Leftovers) -> int:
    """Returns how many moves of these sizes, from the first on, the account may request now."""
    room_bytes = LEFT_BYTES + LEFT_PER_USED_BYTE * left.used_bytes - left.bytes
    most = min(len(sizes), max(0, MAX_PENDING - left.pending))
    for number, size_bytes in enumerate(sizes[:most]):
        room_bytes -= max(size_bytes, LEAST_BYTES)
        if room_bytes < 0:
            return number
    return most


def _outcome_of(media_id: UUID, move: SettledMove, gallery_id: GalleryId) -> BulkOutcome:
    if move.moved or move.gallery_id == gallery_id:
        return BulkOutcome(id=media_id, status="done")
    return refused(media_id, MediaNotFound.code if move.gallery_id is None else MoveFailed.code)
