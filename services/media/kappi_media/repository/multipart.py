"""Records the store's multipart upload of each reserved upload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from kappi_chassis.db import Database

from kappi_media.domain.media import Upload, UploadId

# The id is compared with the one read before the store was asked: of several that begin one upload, one is
# kept.
_RECORD = """
UPDATE uploads u SET multipart_id = begun.made
FROM unnest($2::uuid[], $3::text[], $4::text[]) AS begun (id, made, before)
WHERE u.gallery_id = ANY($1) AND u.id = begun.id AND u.state = 'pending'
  AND u.multipart_id IS NOT DISTINCT FROM begun.before
RETURNING u.id
"""
_STANDING = """
SELECT id, multipart_id FROM uploads WHERE id = ANY($1) AND state = 'pending' AND multipart_id IS NOT NULL
"""
_JOINING = "UPDATE uploads SET joining_until = $2 WHERE id = $1 RETURNING true"
_JOINING_UNTIL = "SELECT joining_until FROM uploads WHERE id = $1"


class MultipartQueries:
    """Runs single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_begun(
        self, uploads: Sequence[Upload], made: Mapping[UploadId, str]
    ) -> dict[UploadId, str]:
        """Record the store's id of each upload, unless another one was recorded meanwhile. Returns the
        recorded ids.

        uploads: as they were read. Uploads that are no longer pending are left out of the answer.
        """
        ids = [upload.id for upload in uploads]
        rows = await self._database.hot.fetch(
            _RECORD,
            list({upload.gallery_id for upload in uploads}),
            ids,
            [made[each] for each in ids],
            [upload.multipart_id for upload in uploads],
        )
        standing = {UploadId(row["id"]): made[UploadId(row["id"])] for row in rows}
        others = [each for each in ids if each not in standing]
        if others:
            found = await self._database.hot.fetch(_STANDING, others)
            standing |= {UploadId(row["id"]): row["multipart_id"] for row in found}
        return standing

    async def record_joining(self, upload_id: UploadId, *, until: datetime) -> bool:
        """Record that the store is joining the parts, until an instant. Returns False when the upload is
        deleted.
        """
        return bool(await self._database.hot.fetchval(_JOINING, upload_id, until))

    async def joining_until(self, upload_id: UploadId) -> datetime | None:
        """Returns the last recorded instant; None when no join has begun, or the upload is deleted."""
        until: datetime | None = await self._database.hot.fetchval(_JOINING_UNTIL, upload_id)
        return until
