"""Uploads are recorded before their bytes come, charged to the account that owns the gallery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from kappi_chassis.outbox import Outbox

from kappi_media.domain import AccountId
from kappi_media.errors import GalleryKeyWrong, GalleryNotFound, QuotaExceeded
from kappi_media.repository.ownership import adopt
from kappi_media.repository.uploads import PromisedFiles, Refusal

T = TypeVar("T")


class OwnerUnknown(Exception):
    """It is not settled here yet whose gallery it is; `of_its_owner` settles it."""

    def __init__(self, owner_id: AccountId) -> None:
        super().__init__(owner_id)
        self.owner_id = owner_id


def check_promised(files: PromisedFiles, refusal: Refusal | None) -> None:
    """Raises what stood in the way, if anything did: GalleryNotFound (deleted), GalleryKeyWrong (it has
    another owner by now), QuotaExceeded, OwnerUnknown."""
    if refusal is Refusal.GALLERY_DELETED:
        raise GalleryNotFound
    if refusal is Refusal.OTHER_OWNER:
        raise GalleryKeyWrong("The gallery belongs to an account now.")
    if refusal is Refusal.OVER_QUOTA:
        raise QuotaExceeded(f"It may hold {files.quota_bytes} bytes, pending uploads included.")
    if refusal is Refusal.OWNER_UNKNOWN and files.owner_id is not None:
        raise OwnerUnknown(files.owner_id)


async def of_its_owner(outbox: Outbox, files: PromisedFiles, promise: Callable[[], Awaitable[T]]) -> T:
    """What `promise` answers, after settling whose gallery it is where that is not known yet: the news of a
    claim, or of the account, may come later than its first upload."""
    try:
        return await promise()
    except OwnerUnknown as unknown:
        async with outbox.begin() as unit:
            gallery_id = files.declared[0].upload.gallery_id
            await adopt(unit.connection, gallery_id, owner_id=unknown.owner_id)
        return await promise()
