"""Reserves uploads before their bytes arrive, and charges them to the account that owns the gallery.

Uploads for an anonymous gallery count against a budget of the client's address and one of the gallery, from
the reservation to the item. A reservation that ends otherwise counts until its signed URL has expired and the
janitor has removed bytes that arrived late.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox

from kappi_media import metrics
from kappi_media.domain.contributions import ContributionLimitReached
from kappi_media.domain.media import AccountId
from kappi_media.errors import (
    ClaimInProgress,
    GalleryKeyWrong,
    GalleryNotFound,
    QuotaExceeded,
    ReservationBudgetExceeded,
)
from kappi_media.repository.contributions import NotTaken
from kappi_media.repository.ownership import adopt
from kappi_media.repository.reservations import forget_unused, free_ended, free_ended_of
from kappi_media.repository.uploads import BudgetSpent, FilesToReserve, Refusal, Reserved, SameFiles
from kappi_media.use_cases.contributions import contribution_refusal

T = TypeVar("T")
URL_LIVES_COUNTED: Final = 2
"""The time a reservation counts after its end, in lifetimes of a signed URL. The janitor looks once more
within it.
"""
RETRY_AFTER_S: Final = 60


class OwnerUnknown(Exception):
    """The owner of the gallery is not recorded here yet; `QuotaReservation` records it."""

    def __init__(self, owner_id: AccountId) -> None:
        super().__init__(owner_id)
        self.owner_id = owner_id


def check_reserved(files: FilesToReserve, answer: Reserved) -> SameFiles:
    """Returns the same files that the gallery has already, or raises the refusal: GalleryNotFound (deleted),
    GalleryKeyWrong (it has another owner by now), ClaimInProgress, QuotaExceeded, ReservationBudgetExceeded,
    OwnerUnknown, and those of `contribution_refusal`.
    """
    if isinstance(answer, dict):
        return answer
    if isinstance(answer, NotTaken | ContributionLimitReached):
        raise contribution_refusal(answer)
    if isinstance(answer, BudgetSpent):
        raise _too_much(files, answer)
    if answer is Refusal.BEING_CLAIMED:
        raise ClaimInProgress("Try again in a moment.", retry_after_s=1)
    if answer is Refusal.OTHER_OWNER:
        raise GalleryKeyWrong("The gallery belongs to an account now.")
    if answer is Refusal.OVER_QUOTA:
        raise QuotaExceeded(f"It may hold {files.quota_bytes} bytes, pending uploads included.")
    if answer is Refusal.OWNER_UNKNOWN and files.owner_id is not None:
        raise OwnerUnknown(files.owner_id)
    raise GalleryNotFound


class QuotaReservation:
    """Removes what prevents a reservation, and tries it again. url_lifetime: of a signed upload."""

    def __init__(self, outbox: Outbox, *, url_lifetime: timedelta, clock: Clock) -> None:
        self._outbox = outbox
        self._counted_for = URL_LIVES_COUNTED * url_lifetime
        self._clock = clock

    async def __call__(self, files: FilesToReserve, reserve: Callable[[], Awaitable[T]]) -> T:
        """Returns the answer of `reserve`.

        It is tried a second time after recording the gallery's owner, because the event of a claim, or of the
        account, may arrive later than its first upload; and after releasing reservations that counted long
        enough.
        """
        try:
            return await reserve()
        except OwnerUnknown as unknown:
            await self._adopt(files, unknown.owner_id)
        except ReservationBudgetExceeded:
            if not await self._free_ended(files):
                raise
        return await reserve()

    async def _adopt(self, files: FilesToReserve, owner_id: AccountId) -> None:
        async with self._outbox.begin() as unit:
            await adopt(unit.connection, files.declared[0].upload.gallery_id, owner_id=owner_id)

    async def _free_ended(self, files: FilesToReserve) -> bool:
        if files.budgets is None:
            return False
        async with self._outbox.begin() as unit:
            return await free_ended_of(
                unit.connection,
                files.address_id,
                files.declared[0].upload.gallery_id,
                ended_by=self._clock() - self._counted_for,
            )


class SweepReservations:
    """Releases reservations that counted against budgets long enough, and removes unused budgets."""

    def __init__(self, outbox: Outbox, *, url_lifetime: timedelta) -> None:
        self._outbox = outbox
        self._counted_for = URL_LIVES_COUNTED * url_lifetime

    async def __call__(self, as_of: datetime) -> None:
        """Release what was due at `as_of`, the tick's instant, not the wall clock."""
        while await self._batch(as_of):
            pass
        async with self._outbox.begin() as unit:
            await forget_unused(unit.connection)

    async def _batch(self, as_of: datetime) -> int:
        async with self._outbox.begin() as unit:
            return await free_ended(unit.connection, ended_by=as_of - self._counted_for)


def _too_much(files: FilesToReserve, spent: BudgetSpent) -> ReservationBudgetExceeded:
    metrics.PROMISES_REFUSED.labels(spent.whose).inc()
    whose = "this address, in all anonymous galleries" if spent.whose == "address" else "this gallery"
    number, size_bytes, limit = len(files.declared), files.size_bytes, spent.limit
    allowed = f"at most {limit.files} files of {limit.bytes} bytes may be open at once for {whose}"
    if number > limit.files or size_bytes > limit.bytes:
        return ReservationBudgetExceeded(
            f"The batch has {number} files of {size_bytes} bytes; {allowed}. Declare fewer at once."
        )
    return ReservationBudgetExceeded(
        f"Open are {spent.open.files} files of {spent.open.bytes} bytes; {allowed}. Complete open uploads, "
        "which frees their room at once, or abort them, which frees it once their signed URLs have expired "
        "and late bytes are removed. Other uploads expire.",
        retry_after_s=RETRY_AFTER_S,
    )
