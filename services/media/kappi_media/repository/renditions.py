"""Renditions made on request: who makes one, and that it is there.

A claim keeps other replicas from making the same one. It is a lease, because its holder may die; after a
failure it stays a while, so that nobody tries the same hopeless thing at every request.

Until when it is held says whose it is, too: it passes on only once that instant is over, to a later one.
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
    """How things stand with a rendition of a ready item.

    mine: the caller holds the claim and is to make it. kills: earlier attempts that ended without a result,
    because the decoder or its maker was killed. failure: why it could not be made, lately. None of the three:
    another is making it.
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
        """Take the making of a rendition on, unless it is there or taken. None: no such ready item."""
        hot = self._database.hot
        kills = await hot.fetchval(_CLAIM, *wanted, now, until)
        mine = kills is not None
        # Read after the claim: whoever held it before us may have stored the rendition just then.
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
        """Hold the claim for longer; False when it is somebody else's by now.

        held: here and below, the instants the caller's claim may be held until.
        """
        key = wanted.media_id, wanted.size, wanted.fmt
        return bool(await self._database.hot.fetchval(_RENEW, *key, held, until))

    async def release(self, wanted: WantedRendition, *, held: Sequence[datetime]) -> None:
        """Let somebody else try."""
        await self._database.hot.execute(_RELEASE, wanted.media_id, wanted.size, wanted.fmt, held)

    async def failed(
        self, wanted: WantedRendition, *, held: Sequence[datetime], failure: str, until: datetime
    ) -> None:
        """Remember that it cannot be made."""
        key = wanted.media_id, wanted.size, wanted.fmt
        await self._database.hot.execute(_FAILED, *key, held, failure, until)

    async def keep(
        self, wanted: WantedRendition, *, held: Sequence[datetime], rendition: KeptRendition
    ) -> bool:
        """Show a rendition that lies in the store; False when its item is gone, or moved."""
        _, width, height, size_bytes = rendition
        kept = await self._database.hot.fetchval(_KEEP, *wanted, width, height, size_bytes, held)
        return kept is not None


def kept_probe(record: Any) -> Probe:
    """As much of it as an item's row has kept: what decoding needs."""
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
