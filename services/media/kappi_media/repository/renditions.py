"""Records renditions made on request: the lease of making one, and the finished rendition.

A lease, which is a row of `rendition_claims`, keeps other replicas from making the same rendition. It ends by
itself, because its holder may die. After a failure it is kept for a while, so that an impossible rendition is
not tried at every request. The instant until which it is held also identifies its holder: the lease passes on
only after that instant, and then to a later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kappi_chassis.db import Database
from kappi_mediameta.probing import Probe

from kappi_media.stored_renditions import KeptRendition, WantedRendition

_CLAIM = """
WITH found AS MATERIALIZED (
  SELECT id FROM items WHERE id = $1 AND gallery_id = $2 AND status = 'ready'
    AND folder IS NOT DISTINCT FROM $5::bigint FOR KEY SHARE)
INSERT INTO rendition_claims AS c (media_id, size, format, held_until)
SELECT id, $3, $4, $7 FROM found
ON CONFLICT (media_id, size, format) DO UPDATE SET
  held_until = $7, failure = NULL, kills = c.kills + (c.failure IS NULL)::int
WHERE c.held_until <= $6
RETURNING kills
"""
_STATE = """
SELECT i.kind, i.content_type, i.width, i.height, i.orientation, i.codec, i.duration_ms, i.size_bytes,
  EXISTS (SELECT 1 FROM renditions r WHERE r.media_id = i.id AND r.size = $3 AND r.format = $4) AS stored,
  (SELECT c.failure FROM rendition_claims c WHERE c.media_id = i.id AND c.size = $3 AND c.format = $4)
    AS failure
FROM items i
WHERE i.id = $1 AND i.gallery_id = $2 AND i.folder IS NOT DISTINCT FROM $5::bigint AND i.status = 'ready'
"""
_STORED = "SELECT EXISTS (SELECT 1 FROM renditions WHERE media_id = $1 AND size = $2 AND format = $3)"
_RELEASE = """
DELETE FROM rendition_claims WHERE media_id = $1 AND size = $2 AND format = $3 AND held_until = ANY($4)
"""
_RENEW = """
UPDATE rendition_claims SET held_until = $5
WHERE media_id = $1 AND size = $2 AND format = $3 AND held_until = ANY($4)
RETURNING true
"""
_FAILED = """
UPDATE rendition_claims SET failure = $5, held_until = $6
WHERE media_id = $1 AND size = $2 AND format = $3 AND held_until = ANY($4)
"""
# Pages list JPEG only: another format changes no version.
_KEEP = """
WITH home AS MATERIALIZED (
  SELECT gallery_id FROM contents WHERE gallery_id = $2 AND deleted_at IS NULL FOR UPDATE),
shown AS (
  UPDATE items i SET version = i.version + CASE WHEN $4 = 'jpeg' THEN 1 ELSE 0 END FROM home
  WHERE i.id = $1 AND i.gallery_id = home.gallery_id AND i.folder IS NOT DISTINCT FROM $5::bigint
    AND i.status = 'ready'
  RETURNING i.id, i.gallery_id),
kept AS (
  INSERT INTO renditions (media_id, size, format, width, height, size_bytes)
  SELECT id, $3, $4, $6, $7, $8 FROM shown ON CONFLICT DO NOTHING),
released AS (
  DELETE FROM rendition_claims
  WHERE media_id = $1 AND size = $3 AND format = $4 AND held_until = ANY($9)),
bumped AS (
  UPDATE contents c SET version = c.version + 1
  FROM shown WHERE c.gallery_id = shown.gallery_id AND $4 = 'jpeg')
SELECT id FROM shown
"""


@dataclass(frozen=True, slots=True)
class RenditionState:
    """The state of a rendition of a ready item.

    mine: the caller holds the lease and is to make the rendition. kills: earlier attempts that ended without
    a result, because the decoder or the process was killed. failure: why a recent attempt failed. None of the
    three: another process is making it.
    """

    probe: Probe
    size_bytes: int
    stored: bool
    mine: bool
    kills: int
    failure: str | None


class RenditionQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def stored(self, wanted: WantedRendition) -> bool:
        return bool(await self._database.hot.fetchval(_STORED, wanted.media_id, wanted.size, wanted.fmt))

    async def lease(
        self, wanted: WantedRendition, *, now: datetime, until: datetime
    ) -> RenditionState | None:
        """Lease the making of a rendition, unless it exists or is leased. Returns None when there is no such
        ready item.
        """
        hot = self._database.hot
        kills = await hot.fetchval(_CLAIM, *wanted, now, until)
        mine = kills is not None
        # Read after the lease: its last holder may have stored the rendition just before.
        record = await hot.fetchrow(_STATE, *wanted)
        if record is None:
            return None
        stored = bool(record["stored"])
        if mine and stored:
            await self.release(wanted, held=[until])
        return RenditionState(
            probe=kept_probe(record),
            size_bytes=record["size_bytes"],
            stored=stored,
            mine=mine and not stored,
            kills=kills or 0,
            failure=record["failure"],
        )

    async def renew(self, wanted: WantedRendition, *, held: Sequence[datetime], until: datetime) -> bool:
        """Extend the lease. Returns False when another process holds it by now.

        held: here and below, the instants until which the caller's lease may be held.
        """
        key = wanted.media_id, wanted.size, wanted.fmt
        return bool(await self._database.hot.fetchval(_RENEW, *key, held, until))

    async def release(self, wanted: WantedRendition, *, held: Sequence[datetime]) -> None:
        """End the lease, so that another process may try."""
        await self._database.hot.execute(_RELEASE, wanted.media_id, wanted.size, wanted.fmt, held)

    async def failed(
        self, wanted: WantedRendition, *, held: Sequence[datetime], failure: str, until: datetime
    ) -> None:
        """Record that the rendition cannot be made."""
        key = wanted.media_id, wanted.size, wanted.fmt
        await self._database.hot.execute(_FAILED, *key, held, failure, until)

    async def keep(
        self, wanted: WantedRendition, *, held: Sequence[datetime], rendition: KeptRendition
    ) -> bool:
        """Show a rendition that is stored. Returns False when its item is deleted or moved."""
        _, width, height, size_bytes = rendition
        kept = await self._database.hot.fetchval(_KEEP, *wanted, width, height, size_bytes, held)
        return kept is not None


def kept_probe(record: Any) -> Probe:
    """Returns the part of a probe that an item's row has kept: what decoding needs."""
    return Probe(
        kind=record["kind"],
        content_type=record["content_type"],
        width=record["width"],
        height=record["height"],
        orientation=record["orientation"],
        codec=record["codec"],
        animated=False,
        duration_ms=record["duration_ms"],
        taken_at=None,
        taken_offset_known=False,
        camera=None,
        location=None,
    )
