"""Reads the files of a gallery's archive, and saves the checksums that archives compute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.db import Database
from kappi_contracts.keys import gps_free_key, original_key, sidecar_key

from kappi_media.archive.checksums import Checksum
from kappi_media.archive.layout import ArchiveFile, StoredFile
from kappi_media.archive.times import entry_time
from kappi_media.domain.contributions import ContributorId
from kappi_media.domain.media import GalleryId, Kind
from kappi_media.repository.item_columns import SORT_KEY

_FILES = f"""
SELECT i.id, i.filename, i.kind, i.taken_at, i.taken_offset_minutes, i.created_at, i.size_bytes, i.etag,
       i.crc32, i.folder, i.sidecar_filename, i.sidecar_bytes, s.etag, s.crc32
FROM contents c JOIN items i ON i.gallery_id = c.gallery_id AND i.status = 'ready'
LEFT JOIN sidecars s ON s.media_id = i.id AND i.sidecar_filename IS NOT NULL
WHERE c.gallery_id = $1 AND c.deleted_at IS NULL AND ($2::uuid IS NULL OR i.contributor_id = $2)
ORDER BY {SORT_KEY}
"""  # noqa: S608 - column names
_LOCATION_FREE_FILES = f"""
SELECT i.id, i.filename, i.kind, i.taken_at, i.taken_offset_minutes, i.created_at, l.size_bytes, l.etag,
       COALESCE(l.crc32, CASE WHEN l.unchanged THEN i.crc32 END), i.folder, l.unchanged
FROM contents c JOIN items i ON i.gallery_id = c.gallery_id AND i.status = 'ready'
JOIN location_free_copies l ON l.media_id = i.id
WHERE c.gallery_id = $1 AND c.deleted_at IS NULL AND ($2::uuid IS NULL OR i.contributor_id = $2)
ORDER BY {SORT_KEY}
"""  # noqa: S608 - column names
# Rows locked by another transaction are skipped: their checksum is computed again another time. The item's
# version stays, because the change is not visible.
_SAVE = """
WITH told AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS t (media_id, etag, crc32)),
free AS (
  SELECT i.id, told.crc32 FROM items i JOIN told ON told.media_id = i.id AND told.etag = i.etag
  WHERE i.crc32 IS NULL FOR NO KEY UPDATE OF i SKIP LOCKED),
free_copies AS (
  SELECT c.media_id, told.crc32 FROM location_free_copies c
  JOIN told ON told.media_id = c.media_id AND told.etag = c.etag
  WHERE c.crc32 IS NULL FOR NO KEY UPDATE OF c SKIP LOCKED),
copies AS (
  UPDATE location_free_copies c SET crc32 = free_copies.crc32 FROM free_copies
  WHERE c.media_id = free_copies.media_id)
UPDATE items i SET crc32 = free.crc32 FROM free WHERE i.id = free.id
"""


class ArchiveQueries:
    """Runs single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def files(self, gallery_id: GalleryId, only_of: ContributorId | None) -> list[ArchiveFile]:
        """Returns the originals of the gallery's ready items, as of one instant, in the order of its page,
        each followed by its sidecar. only_of: the contributor whose items alone are wanted; None for all.

        Other items are left out: their content is not checked yet.
        """
        records: list[Any] = await self._database.hot.fetch(_FILES, gallery_id, only_of)
        files = []
        for *fields, name, size_bytes, etag, crc32 in records:
            files.append(_file(gallery_id, *fields))
            if name is not None:
                key = sidecar_key(gallery_id, fields[0], fields[-1])
                stored = StoredFile(fields[0], key, size_bytes, etag, crc32)
                files.append(ArchiveFile(name, files[-1].time, stored, is_sidecar=True))
        return files

    async def location_free_files(
        self, gallery_id: GalleryId, only_of: ContributorId | None
    ) -> list[ArchiveFile]:
        """As `files`, of the copies without a place that exist. Sidecars may name the place, so they are left
        out.
        """
        records: list[Any] = await self._database.hot.fetch(_LOCATION_FREE_FILES, gallery_id, only_of)
        return [
            _file(gallery_id, *fields) if unchanged else _copy(gallery_id, *fields)
            for *fields, unchanged in records
        ]

    async def save(self, checksums: Sequence[Checksum]) -> None:
        """Save checksums for the objects they were computed from; objects replaced or deleted meanwhile are
        skipped.
        """
        media_ids, etags, crc32s = zip(*checksums, strict=True)
        await self._database.hot.execute(_SAVE, media_ids, etags, crc32s)


def _file(
    gallery_id: GalleryId,
    media_id: UUID,
    filename: str,
    kind: Kind | None,
    taken_at: datetime | None,
    offset_minutes: int | None,
    created_at: datetime,
    size_bytes: int,
    etag: str,
    crc32: int | None,
    folder: int | None,
) -> ArchiveFile:
    return ArchiveFile(
        filename,
        entry_time(taken_at=taken_at, offset_minutes=offset_minutes, kind=kind, created_at=created_at),
        StoredFile(media_id, original_key(gallery_id, media_id, folder), size_bytes, etag, crc32),
    )


def _copy(gallery_id: GalleryId, *fields: Any) -> ArchiveFile:
    file = _file(gallery_id, *fields)
    key = gps_free_key(gallery_id, file.stored.media_id, fields[-1])
    return file._replace(stored=file.stored._replace(key=key))
