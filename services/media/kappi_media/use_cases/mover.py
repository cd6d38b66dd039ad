"""Carries out requested moves (ADR-0025): lease the move, copy the objects, switch the item over.

An object's key begins with its gallery, because a gallery is removed by that prefix. So the objects are
copied to a folder in the new gallery that no earlier move used, and the item is switched over in one
transaction. The old objects are removed later, because pages served before still link to them.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.clock import Clock
from kappi_chassis.leased_work import LeasedWork
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.storage import ObjectHead, ObjectMissing, ObjectStore
from kappi_contracts.events import MediaMoved, ObjectsUnused
from kappi_contracts.keys import gps_free_key, original_key, rendition_key, sidecar_key

from kappi_media import metrics
from kappi_media.domain.media import GalleryId
from kappi_media.repository.moves import CopiedObjects, LeasedMove, MoveQueries, PendingMove, RequestedMove
from kappi_media.use_cases.lease import renewing
from kappi_media.use_cases.move_items import KEPT_FOR, unused_folder

AT_ONCE: Final = 8
OF_ACCOUNT: Final = 4
"""Moves of one account at the same time, over all processes, so that no account waits for all moves of
another.
"""
COPIES_OF_ITEM: Final = 2
"""Objects of one item that are copied at the same time."""
POLL: Final = timedelta(seconds=1)
LEASE: Final = timedelta(minutes=1)
RENEW_EVERY_S: Final = 20.0
FIRST_PAUSE: Final = timedelta(seconds=1)
ATTEMPTS: Final = 8
"""The number of attempts. With the pauses in between, they last some four minutes."""
REMEMBERED_FOR: Final = timedelta(days=1)
SWEEP_BATCH: Final = 500

_log = get_logger(__name__)


class Mover:
    """Carries out moves.

    Many replicas may run it: leases keep them apart, and copying twice has the effect of copying once.
    """

    def __init__(self, moves: MoveQueries, *, store: ObjectStore, outbox: Outbox, clock: Clock) -> None:
        self._moves = moves
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._work = LeasedWork("move", take=self._take, work=self._work_on, at_once=AT_ONCE, poll=POLL)

    def wake(self) -> None:
        """Wake the mover, because there may be a move to carry out. Call it after the commit; polling covers
        a missed call.
        """
        self._work.wake()

    async def run(self) -> None:
        """Run until cancelled. Another process continues what is under way once its lease is over."""
        await self._work.run()

    async def _take(self, limit: int) -> list[LeasedMove]:
        now = self._clock()
        return await self._moves.take(now=now, until=now + LEASE, of_account=OF_ACCOUNT, limit=limit)

    async def _work_on(self, lease: LeasedMove) -> None:
        try:
            async with renewing("move", lambda: self._renew(lease), every_s=RENEW_EVERY_S):
                await self._move(lease.folder)
        except Exception as error:  # noqa: BLE001 - one move that hits a bug must not stop the others
            await self._postpone(lease, error)

    async def _renew(self, lease: LeasedMove) -> bool:
        return await self._moves.lease(lease.folder, until=self._clock() + LEASE)

    async def _postpone(self, lease: LeasedMove, error: Exception) -> None:
        _log.warning(
            "move.failed",
            folder=lease.folder,
            attempt=lease.attempts,
            error=str(error),
            error_type=type(error).__name__,
        )
        try:
            if lease.attempts >= ATTEMPTS:
                move = await self._moves.pending(lease.folder)
                if move is not None:
                    await self._give_up(lease.folder, move)
                return
            pause = FIRST_PAUSE * 2 ** (lease.attempts - 1)
            await self._moves.lease(lease.folder, until=self._clock() + pause)
        except Exception as failure:
            if not is_transient(failure):
                raise
            _log.warning("mover.lost_database", error=str(failure))  # its lease expires by itself

    async def _move(self, folder: int) -> None:
        move = await self._moves.pending(folder)
        if move is None:
            return
        copied = None
        if move.from_gallery_id is not None:
            copied = await self._copy(move, move.from_gallery_id, folder)
        if copied is not None and await self._switch(move, folder, copied):
            metrics.MOVES.labels("moved").inc()
            self._outbox.wake()
        else:
            await self._give_up(folder, move)

    async def _give_up(self, folder: int, move: PendingMove) -> None:
        now = self._clock()
        requested = RequestedMove(folder, move.media_id, move.gallery_id)
        unused = self._outbox.row(unused_folder(requested, purge_after=now))
        if await self._moves.give_up(folder, unused=unused, now=now):
            metrics.MOVES.labels("given_up").inc()
            self._outbox.wake()

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
        """Returns None when there is no original. Other missing objects are made again when they are
        requested.
        """
        slots = asyncio.Semaphore(COPIES_OF_ITEM)

        async def copy(source: str, target: str) -> ObjectHead | None:
            async with slots:
                try:
                    return await self._store.copy(source, target)
                except ObjectMissing:
                    return None

        sources = _keys_of(move, home, move.from_folder)
        targets = _keys_of(move, move.gallery_id, folder)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(copy(source, target))
                    for source, target in zip(sources, targets, strict=True)
                ]
        except ExceptionGroup as failures:
            # An unavailable store fails all of them alike. A single error, outside a group, is recognised as
            # transient.
            raise failures.exceptions[0] from failures
        original, *others = [task.result() for task in tasks]
        if original is None:
            return None
        location_free = others.pop(0) if move.location_free else None
        sidecar = others.pop(0) if move.has_sidecar else None
        return CopiedObjects(
            etag=original.etag,
            location_free_etag=location_free.etag if location_free is not None else None,
            sidecar_etag=sidecar.etag if sidecar is not None else None,
            renditions=[each for each, head in zip(move.renditions, others, strict=True) if head],
        )


class SweepMoves:
    """Deletes the records of moves that were done more than a day ago."""

    def __init__(self, moves: MoveQueries) -> None:
        self._moves = moves

    async def __call__(self, as_of: datetime) -> None:
        """Delete what is due at `as_of`, the tick's instant, not the wall clock."""
        while await self._moves.forget(as_of - REMEMBERED_FOR, limit=SWEEP_BATCH) == SWEEP_BATCH:
            pass


def _keys_of(move: PendingMove, gallery_id: GalleryId, folder: int | None) -> list[str]:
    """Returns the keys of the original, then of the copy without its place, of the sidecar, and of the
    renditions.
    """
    keys = [original_key(gallery_id, move.media_id, folder)]
    if move.location_free:
        keys.append(gps_free_key(gallery_id, move.media_id, folder))
    if move.has_sidecar:
        keys.append(sidecar_key(gallery_id, move.media_id, folder))
    return keys + [
        rendition_key(gallery_id, move.media_id, size, fmt, folder=folder) for size, fmt in move.renditions
    ]
