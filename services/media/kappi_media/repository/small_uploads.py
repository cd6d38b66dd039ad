"""Settles posted files: replaces what was reserved by what really arrived."""

from __future__ import annotations

import msgspec
from kappi_chassis.db import driver_of
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import DeclaredUpload

# Locks are in the order of `ownership`. The reservation is never smaller than the file, so no quota is
# checked.
_SETTLE = """
WITH home AS MATERIALIZED (
  SELECT gallery_id, owner_id FROM contents WHERE gallery_id = $2 AND deleted_at IS NULL FOR SHARE),
was AS MATERIALIZED (
  SELECT u.id, u.size_bytes, u.gallery_id, u.address_id
  FROM uploads u JOIN home ON home.gallery_id = u.gallery_id
  WHERE u.id = $1 AND u.state = 'pending' FOR UPDATE OF u),
settled AS (
  UPDATE uploads u SET filename = $3, content_type = $4, size_bytes = $5, sha256 = $6,
    description = $7::text::jsonb, posted = false
  FROM was WHERE u.id = was.id
  RETURNING was.size_bytes - u.size_bytes AS spare, was.gallery_id, was.address_id),
released AS (
  INSERT INTO accounts AS a (id) SELECT home.owner_id FROM home, settled WHERE home.owner_id IS NOT NULL
  ON CONFLICT (id) DO UPDATE SET reserved_bytes = a.reserved_bytes - (SELECT spare FROM settled))
SELECT true, CASE WHEN address_id IS NOT NULL THEN
  free_promise_budgets(ARRAY[address_id, gallery_id], ARRAY[0, 0], ARRAY[spare, spare]) END
FROM settled
"""


async def settle(connection: AsyncConnection, declared: DeclaredUpload) -> bool:
    """Rewrite a pending upload and release what it reserved in excess. Returns False when it is no longer
    pending, or its gallery is deleted.
    """
    upload, description, *_ = declared
    driver = await driver_of(connection)
    settled = await driver.fetchval(
        _SETTLE,
        upload.id,
        upload.gallery_id,
        upload.filename,
        upload.content_type,
        upload.size_bytes,
        upload.sha256,
        None if description.is_empty else msgspec.json.encode(description).decode(),
    )
    return bool(settled)
