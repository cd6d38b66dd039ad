"""Record uploads before their bytes come, charged to the account that owns the gallery."""

from __future__ import annotations

from kappi_chassis.outbox import Outbox

from kappi_media.errors import GalleryKeyWrong, GalleryNotFound, QuotaExceeded
from kappi_media.repository.ownership import adopt
from kappi_media.repository.uploads import PromisedFiles, Refusal, UploadQueries


class Promising:
    def __init__(self, uploads: UploadQueries, *, outbox: Outbox) -> None:
        self._uploads = uploads
        self._outbox = outbox

    async def __call__(self, files: PromisedFiles) -> None:
        """All of them or none. Raises GalleryNotFound (deleted), GalleryKeyWrong (it has another owner by
        now), QuotaExceeded."""
        refusal = await self._uploads.promise(files)
        if refusal is Refusal.OWNER_UNKNOWN and files.owner_id is not None:
            # The news of a claim, or of the account, may come later than its first upload.
            async with self._outbox.begin() as unit:
                gallery_id = files.declared[0].upload.gallery_id
                await adopt(unit.connection, gallery_id, owner_id=files.owner_id)
            refusal = await self._uploads.promise(files)
        if refusal is Refusal.OTHER_OWNER:
            raise GalleryKeyWrong("The gallery belongs to an account now.")
        if refusal is Refusal.OVER_QUOTA:
            raise QuotaExceeded(f"It may hold {files.quota_bytes} bytes, pending uploads included.")
        if refusal is not None:
            raise GalleryNotFound
