"""Applies administrators' decisions against misuse to galleries."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.inbox import record
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import AccountSuspensionChanged, GalleryTakedownChanged

from kappi_galleries.domain.credentials import read_code
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.repository.accounts import AccountRows
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.repository.takedowns import TakedownRows
from kappi_galleries.use_cases.store_change import store_change

PAGE = 100

_log = get_logger(__name__)


class ApplyTakedown:
    """The effect of `GalleryTakedownChanged`."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def __call__(self, unit: UnitOfWork, envelope: Envelope[GalleryTakedownChanged]) -> None:
        """Take the named gallery down, or lift this decision from the gallery that it took down.

        The gallery stays down while another decision stands.
        """
        order = envelope.data
        rows, takedowns = GalleryRows(unit.connection), TakedownRows(unit.connection)
        if order.lifted:
            gallery = await rows.lock_by_takedown(order.takedown_id)
        else:
            gallery = await _named(rows, order.gallery)
        if gallery is None or gallery.deleted_at is not None:
            _log.info("takedown.no_gallery", takedown_id=str(order.takedown_id))
            return
        if order.lifted:
            await takedowns.remove(order.takedown_id)
        else:
            await takedowns.add(order.takedown_id, gallery.id, reason=order.reason)
        by, reason = await takedowns.newest_of(gallery.id)
        changed = replace(gallery, takedown_id=by, takedown_reason=reason)
        await store_change(unit, changed, now=self._clock())
        event = "gallery.opened" if by is None else "gallery.taken_down"
        _log.info(event, gallery_id=str(gallery.id), takedown_id=str(order.takedown_id))


class ApplySuspension:
    """The handler of `AccountSuspensionChanged`.

    It uses a transaction for each page, as `DeleteAccountContent` does.
    """

    def __init__(self, *, outbox: Outbox, clock: Clock, consumer: str, page: int = PAGE) -> None:
        """consumer: the name under which events are recorded. page: galleries per transaction."""
        self._outbox = outbox
        self._clock = clock
        self._consumer = consumer
        self._page = page

    async def __call__(self, envelope: Envelope[AccountSuspensionChanged]) -> bool:
        """Returns False for a duplicate."""
        change = envelope.data
        async with self._outbox.begin() as unit:
            # Committed first, so that a suspended account gets no gallery from then on.
            is_newest = await AccountRows(unit.connection).note_suspension(
                change.account_id, suspended=change.suspended, sequence=envelope.sequence
            )
        while True:
            async with self._outbox.begin() as unit:
                changed = await self._change_page(unit, change) if is_newest else 0
                is_last = changed < self._page
                is_new = is_last and await record(
                    unit.connection, consumer=self._consumer, event_id=envelope.id
                )
            if is_last:
                return is_new

    async def _change_page(self, unit: UnitOfWork, change: AccountSuspensionChanged) -> int:
        found = await GalleryRows(unit.connection).lock_some_to_change(
            change.account_id, suspended=change.suspended, limit=self._page
        )
        for gallery in found:
            changed = replace(gallery, owner_suspended=change.suspended)
            await store_change(unit, changed, now=self._clock())
        return len(found)


async def _named(rows: GalleryRows, text: str) -> Gallery | None:
    """Returns the gallery with this id or code, locked."""
    try:
        return await rows.lock(UUID(text))
    except ValueError:
        return await rows.lock_by_code(read_code(text))
