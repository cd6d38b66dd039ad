"""Changes many items of an account's library: one transaction per ten items, one outcome per item."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.events import MediaDeleted
from msgspec.json import decode, encode

from kappi_media.domain.bulk import BulkOutcome
from kappi_media.domain.declarations import MAX_TAGS
from kappi_media.domain.media import AccountId, GalleryId
from kappi_media.errors import MediaNotFound, TooManyTags
from kappi_media.repository.bulk import HeldItem, add_tags, delete_held, hold_items, take_tags
from kappi_media.repository.lifecycle import publish_each
from kappi_media.use_cases.move_items import RequestMoves, refused

CHUNK: Final = 10
"""The number of items per transaction: few enough that the longest texts are entered in the library within
the statement timeout, also under load.
"""
OK: Final = 200

CallOfChunk = Callable[[int], IdempotentCall]
"""Maps the number of a chunk to its idempotent call. A retry repeats the answers of the chunks that are done
and does the others.
"""


@dataclass(frozen=True, slots=True)
class AddTags:
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TakeTags:
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes the items at once, for every viewer."""


@dataclass(frozen=True, slots=True)
class Move:
    """Moves the items to another gallery of the account. The move is requested here and carried out soon
    after.
    """

    gallery_id: GalleryId


Change = AddTags | TakeTags | Delete | Move


class ChangeMany:
    def __init__(self, outbox: Outbox, *, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._request_moves = RequestMoves(outbox, clock=clock)

    async def __call__(
        self,
        owner_id: AccountId,
        media_ids: Sequence[UUID],
        change: Change,
        *,
        call_of: CallOfChunk | None = None,
    ) -> list[BulkOutcome]:
        """Returns one outcome per id, in the order in which the ids are first named.

        A failure half-way leaves whole chunks done. call_of: given when the client sent an Idempotency-Key.
        Raises IdempotencyKeyReused, GalleryNotFound (it is not the account's, or deleted).
        """
        ids = list(dict.fromkeys(media_ids))
        outcomes: list[BulkOutcome] = []
        for number, start in enumerate(range(0, len(ids), CHUNK)):
            call = call_of(number) if call_of is not None else None
            outcomes += await self._chunk(owner_id, ids[start : start + CHUNK], change, call)
        return outcomes

    async def _chunk(
        self, owner_id: AccountId, ids: list[UUID], change: Change, call: IdempotentCall | None
    ) -> list[BulkOutcome]:
        async def act(unit: UnitOfWork) -> StoredAnswer:
            others = await self._carry_out(unit, owner_id, ids, change)
            outcomes = [others.get(media_id) or BulkOutcome(id=media_id, status="done") for media_id in ids]
            return StoredAnswer(OK, encode(outcomes))

        answer = await answer_once(self._outbox, call, act)
        return decode(answer.body, type=list[BulkOutcome])

    async def _carry_out(
        self, unit: UnitOfWork, owner_id: AccountId, ids: list[UUID], change: Change
    ) -> dict[UUID, BulkOutcome]:
        """Returns the outcomes of the items that are not done."""
        held = await hold_items(unit.connection, ids, owner_id=owner_id)
        if not isinstance(change, Delete):
            held = [item for item in held if item.status != "rejected"]
        found = {item.id for item in held}
        others = {
            media_id: refused(media_id, MediaNotFound.code) for media_id in ids if media_id not in found
        }
        if held:
            others |= await self._apply(unit, owner_id, held, change)
        return others

    def _apply(
        self, unit: UnitOfWork, owner_id: AccountId, held: list[HeldItem], change: Change
    ) -> Coroutine[Any, Any, dict[UUID, BulkOutcome]]:
        match change:
            case AddTags(tags):
                return self._add_tags(unit, held, tags)
            case TakeTags(tags):
                return self._take_tags(unit, held, tags)
            case Delete():
                return self._delete(unit, owner_id, held)
            case Move(gallery_id):
                return self._request_moves(unit, owner_id, held, gallery_id)

    async def _add_tags(
        self, unit: UnitOfWork, held: list[HeldItem], tags: tuple[str, ...]
    ) -> dict[UUID, BulkOutcome]:
        full = await add_tags(unit.connection, held, tags=tags, most=MAX_TAGS)
        return {media_id: refused(media_id, TooManyTags.code) for media_id in full}

    async def _take_tags(
        self, unit: UnitOfWork, held: list[HeldItem], tags: tuple[str, ...]
    ) -> dict[UUID, BulkOutcome]:
        await take_tags(unit.connection, held, tags=tags)
        return {}

    async def _delete(
        self, unit: UnitOfWork, owner_id: AccountId, held: list[HeldItem]
    ) -> dict[UUID, BulkOutcome]:
        now = self._clock()
        homes = {item.id: item.gallery_id for item in held}
        tombstones = await delete_held(unit.connection, held, owner_id=owner_id, now=now)
        rows = [
            (
                self._outbox.row(
                    MediaDeleted(
                        media_id=media_id,
                        gallery_id=homes[media_id],
                        reason="requested",
                        deleted_at=now,
                        owner_id=owner_id,
                    ),
                    traceparent=tombstone.traceparent,
                ),
                tombstone.sequence,
            )
            for media_id, tombstone in tombstones.items()
        ]
        await publish_each(unit.connection, rows)
        unit.published = True
        return {}
