"""Records films that are made playable: the request, the lease of making one, its pieces and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from kappi_mediameta.probing import Probe
from kappi_mediameta.probing.facts import EmbeddedFilm

from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.domain.playlists import FilmStream
from kappi_media.domain.shares import Party, Share
from kappi_media.repository.renditions import kept_probe

_STATE = """
SELECT p.original, p.failure, p.due_at, p.ticks, p.media_id IS NOT NULL AS known, p.two_sizes,
  p.leased_until IS NOT NULL AS leased,
  EXISTS (SELECT FROM renditions r WHERE r.media_id = $1 AND r.size = 'playback' AND r.format = 'mp4') AS made
FROM (VALUES (1)) AS one LEFT JOIN playbacks p ON p.media_id = $1
"""
_SIZES = 2
_STREAMS = """
SELECT s.size, r.width, r.height, s.codecs, s.start, s.init_bytes, s.segment_bytes, s.segment_ticks
FROM film_streams s JOIN renditions r USING (media_id, size, format)
WHERE s.media_id = $1 ORDER BY s.size
"""
# Few rows, whatever the number of films: requests beyond the bounds are refused.
_REQUEST = """
WITH pending AS (
  SELECT count(*) AS in_all, count(*) FILTER (WHERE tenant = $3) AS of_tenant,
    count(*) FILTER (WHERE address = $5) AS of_address
  FROM playbacks WHERE failure IS NULL AND (two_sizes OR NOT original))
INSERT INTO playbacks AS p (
  media_id, gallery_id, tenant, anonymous, address, max_seconds, requested_at, due_at, folder,
  two_sizes)
SELECT i.id, i.gallery_id, $3, $4, $5, $6, $7, $7, i.folder, $10 FROM items i, pending
WHERE i.id = $1 AND i.gallery_id = $2 AND i.status = 'ready'
  AND in_all < $8 AND of_tenant < $9 AND of_address < $9
ON CONFLICT (media_id) DO UPDATE SET original = p.original AND $10, two_sizes = $10, failure = NULL,
  attempts = 0, failures = 0, tenant = $3, anonymous = $4, address = $5, max_seconds = $6, requested_at = $7,
  due_at = $7, leased_until = NULL
WHERE (p.original AND NOT p.two_sizes) OR (p.failure IS NOT NULL AND p.due_at <= $7)
RETURNING true
"""
_KEEP_ORIGINAL = """
INSERT INTO playbacks (
  media_id, gallery_id, original, tenant, anonymous, address, max_seconds, requested_at, due_at)
SELECT id, gallery_id, true, gallery_id, true, 0, 0, $2, $2 FROM items WHERE id = $1 AND status = 'ready'
ON CONFLICT DO NOTHING
"""
# Films of an owner with none under work come first, then those of the owner that used the processor least.
_TAKE = """
WITH busy AS (SELECT tenant FROM playbacks WHERE leased_until > $1),
chosen AS (
  SELECT p.media_id FROM playbacks p
  LEFT JOIN unnest($4::uuid[], $5::float8[]) AS t (tenant, seconds) ON t.tenant = p.tenant
  LEFT JOIN unnest($6::bigint[], $7::float8[]) AS a (address, seconds) ON a.address = p.address
  WHERE p.failure IS NULL AND (p.two_sizes OR NOT p.original) AND p.due_at <= $1
    AND (p.leased_until IS NULL OR p.leased_until <= $1)
  ORDER BY EXISTS (SELECT FROM busy WHERE busy.tenant = p.tenant),
    greatest(coalesce(t.seconds, 0), coalesce(a.seconds, 0)), p.requested_at, p.media_id
  LIMIT $2 FOR UPDATE OF p SKIP LOCKED)
UPDATE playbacks p SET leased_until = $3, lease_id = gen_random_uuid(), attempts = p.attempts + 1
FROM chosen WHERE p.media_id = chosen.media_id
RETURNING p.media_id, p.gallery_id, p.lease_id, p.tenant, p.anonymous, p.address, p.attempts, p.failures,
  p.max_seconds
"""
# The pieces of a folder that the item has left since are not used.
_BEGIN = """
UPDATE playbacks p SET folder = i.folder, gallery_id = i.gallery_id,
  pieces = CASE WHEN same THEN p.pieces ELSE '{}' END,
  ticks = CASE WHEN same THEN p.ticks ELSE 0 END,
  sound_packets = CASE WHEN same THEN p.sound_packets ELSE 0 END
FROM items i, LATERAL (
  SELECT q.folder IS NOT DISTINCT FROM i.folder AND q.gallery_id = i.gallery_id AS same
  FROM playbacks q WHERE q.media_id = i.id) AS at
WHERE p.media_id = $1 AND p.lease_id = $2 AND i.id = p.media_id AND i.status = 'ready'
RETURNING i.gallery_id, i.folder, i.kind, i.content_type, i.width, i.height, i.orientation, i.codec,
  i.duration_ms, i.size_bytes, i.details -> 'film' AS embedded, p.pieces, p.ticks, p.sound_packets,
  p.two_sizes
"""
_RECORD = """
UPDATE playbacks p SET pieces = array_append(p.pieces, $3), ticks = $4, sound_packets = $5,
  leased_until = $6, attempts = 0
FROM items i
WHERE p.media_id = $1 AND p.lease_id = $2 AND i.id = p.media_id AND i.gallery_id = p.gallery_id
  AND i.folder IS NOT DISTINCT FROM p.folder AND i.status = 'ready'
RETURNING EXISTS (
  SELECT FROM playbacks o WHERE o.media_id <> p.media_id AND o.failure IS NULL
    AND (o.two_sizes OR NOT o.original) AND o.due_at <= $7
    AND (o.leased_until IS NULL OR o.leased_until <= $7)) AS others_wait
"""
_RESTART = """
UPDATE playbacks SET pieces = '{}', ticks = 0, sound_packets = 0 WHERE media_id = $1 AND lease_id = $2
"""
_RENEW = "UPDATE playbacks SET leased_until = $3 WHERE media_id = $1 AND lease_id = $2 RETURNING true"
_POSTPONE = """
UPDATE playbacks SET leased_until = NULL, due_at = $3, attempts = attempts + $4, failures = failures + $5
WHERE media_id = $1 AND lease_id = $2
"""
_FAIL = """
UPDATE playbacks SET leased_until = NULL, failure = $3, due_at = $4, pieces = '{}', ticks = 0,
  sound_packets = 0
WHERE media_id = $1 AND lease_id = $2
"""
_KEEP = """
WITH home AS MATERIALIZED (
  SELECT gallery_id FROM contents WHERE gallery_id = $2 AND deleted_at IS NULL FOR UPDATE),
shown AS (
  SELECT i.id FROM items i JOIN home ON home.gallery_id = i.gallery_id
    JOIN playbacks p ON p.media_id = i.id AND p.lease_id = $8
  WHERE i.id = $1 AND i.folder IS NOT DISTINCT FROM $3::bigint AND i.status = 'ready' FOR UPDATE OF i, p)
INSERT INTO renditions AS r (media_id, size, format, width, height, size_bytes)
SELECT id, f.size, 'mp4', f.width, f.height, f.size_bytes
FROM shown, unnest($4::text[], $5::int[], $6::int[], $7::bigint[]) AS f (size, width, height, size_bytes)
ON CONFLICT (media_id, size, format) DO UPDATE SET width = excluded.width, height = excluded.height,
  size_bytes = excluded.size_bytes
RETURNING true
"""
_FORGET_STREAMS = "DELETE FROM film_streams WHERE media_id = $1"
_KEEP_STREAM = """
INSERT INTO film_streams (media_id, size, codecs, start, init_bytes, segment_bytes, segment_ticks)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
# That browsers play the original stays known.
_FORGET = """
WITH kept AS (
  UPDATE playbacks SET two_sizes = false, pieces = '{}', ticks = 0, sound_packets = 0, failure = NULL,
    leased_until = NULL, attempts = 0, failures = 0
  WHERE media_id = $1 AND lease_id = $2 AND original)
DELETE FROM playbacks WHERE media_id = $1 AND lease_id = $2 AND NOT original
"""
_WAITING = "SELECT count(*) FROM playbacks WHERE failure IS NULL AND (two_sizes OR NOT original)"


@dataclass(frozen=True, slots=True)
class PlaybackState:
    """The state of an item's film. known: it was requested, or looked at. original: browsers play it as it
    is. failure: why it cannot be made playable, until due_at. leased: it is being made. ticks: of 90,000 a
    second, that are made. two_sizes: it is to be made in two sizes.
    """

    made: bool
    known: bool
    original: bool
    failure: str | None
    due_at: datetime | None
    leased: bool
    ticks: int
    two_sizes: bool

    @property
    def is_queued(self) -> bool:
        """Whether it waits, or is being made."""
        return self.known and self.failure is None and (self.two_sizes or not self.original)


class LeasedPlayback(NamedTuple):
    """A film that this process makes. attempts: this one included."""

    media_id: MediaId
    gallery_id: GalleryId
    lease_id: UUID
    tenant: UUID
    anonymous: bool
    address: int
    attempts: int
    failures: int
    max_seconds: int

    @property
    def share(self) -> Share:
        return Share(self.tenant, self.address, self.anonymous)


@dataclass(frozen=True, slots=True)
class FilmSoFar:
    """The film to make, with the pieces that are stored: their names, and what they contain. embedded: where
    it is in the original of a motion photo.
    """

    gallery_id: GalleryId
    folder: int | None
    probe: Probe
    size_bytes: int
    embedded: EmbeddedFilm | None
    pieces: Sequence[str]
    ticks: int
    sound_packets: int
    two_sizes: bool


class StoredFilm(NamedTuple):
    """A made film in one size. stream: where its segments are, if it has some."""

    size: str
    width: int
    height: int
    size_bytes: int
    stream: FilmStream | None


class PlaybackQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self, media_id: MediaId) -> PlaybackState:
        row = await self._database.hot.fetchrow(_STATE, media_id)
        return PlaybackState(
            made=row["made"],
            known=row["known"],
            original=bool(row["original"]),
            failure=row["failure"],
            due_at=row["due_at"],
            leased=row["leased"],
            ticks=row["ticks"] or 0,
            two_sizes=bool(row["two_sizes"]),
        )

    async def streams(self, media_id: MediaId) -> list[FilmStream]:
        """Returns where the segments of a film are, of each size, the largest first; none of one that is not
        made in two sizes.
        """
        rows = await self._database.hot.fetch(_STREAMS, media_id)
        return [FilmStream(**row) for row in rows] if len(rows) == _SIZES else []

    async def request(
        self,
        media_id: MediaId,
        gallery_id: GalleryId,
        *,
        share: Share,
        max_seconds: int,
        now: datetime,
        in_all: int,
        of_one: int,
        two_sizes: bool,
    ) -> bool:
        """Queue a ready film. Returns False when too many wait, or it waits already. in_all, of_one: how many
        may wait, of all and of one owner or client.
        """
        return bool(
            await self._database.hot.fetchval(
                _REQUEST,
                *(media_id, gallery_id, share.tenant or gallery_id, share.anonymous, share.address or 0),
                *(max_seconds, now, in_all, of_one, two_sizes),
            )
        )

    async def keep_original(self, media_id: MediaId, *, now: datetime) -> None:
        """Record that browsers play the original."""
        await self._database.hot.execute(_KEEP_ORIGINAL, media_id, now)

    async def take(
        self, limit: int, *, now: datetime, until: datetime, spent: Mapping[Party, float]
    ) -> list[LeasedPlayback]:
        """Lease the films that are next. spent: seconds of the processor by tenant and address."""
        tenants = {party: seconds for party, seconds in spent.items() if isinstance(party, UUID)}
        addresses = {party: seconds for party, seconds in spent.items() if isinstance(party, int)}
        records = await self._database.hot.fetch(
            _TAKE,
            *(now, limit, until),
            *(list(tenants), list(tenants.values()), list(addresses), list(addresses.values())),
        )
        return [LeasedPlayback(*record) for record in records]

    async def begin(self, lease: LeasedPlayback) -> FilmSoFar | None:
        """Returns what is to be done; None when the item is gone."""
        row = await self._database.hot.fetchrow(_BEGIN, lease.media_id, lease.lease_id)
        if row is None:
            return None
        return FilmSoFar(
            gallery_id=row["gallery_id"],
            folder=row["folder"],
            probe=kept_probe(row),
            size_bytes=row["size_bytes"],
            embedded=EmbeddedFilm(**row["embedded"]) if row["embedded"] is not None else None,
            pieces=row["pieces"],
            ticks=row["ticks"],
            sound_packets=row["sound_packets"],
            two_sizes=row["two_sizes"],
        )

    async def record(
        self,
        lease: LeasedPlayback,
        piece: str,
        *,
        ticks: int,
        sound_packets: int,
        now: datetime,
        until: datetime,
    ) -> bool | None:
        """Record a stored piece. Returns whether other films wait; None when the item is gone or moved, or
        the lease is lost.
        """
        others_wait: bool | None = await self._database.hot.fetchval(
            _RECORD, lease.media_id, lease.lease_id, piece, ticks, sound_packets, until, now
        )
        return others_wait

    async def renew(self, lease: LeasedPlayback, *, until: datetime) -> bool:
        return bool(await self._database.hot.fetchval(_RENEW, lease.media_id, lease.lease_id, until))

    async def restart(self, lease: LeasedPlayback) -> None:
        """Forget the pieces."""
        await self._database.hot.execute(_RESTART, lease.media_id, lease.lease_id)

    async def postpone(
        self, lease: LeasedPlayback, *, due_at: datetime, attempts: int = 0, failures: int = 1
    ) -> None:
        """Release a film until an instant. attempts, failures: to be counted in addition."""
        await self._database.hot.execute(
            _POSTPONE, lease.media_id, lease.lease_id, due_at, attempts, failures
        )

    async def fail(self, lease: LeasedPlayback, failure: str, *, until: datetime) -> None:
        """Record why the film cannot be made playable. until: when it may be tried again."""
        await self._database.hot.execute(_FAIL, lease.media_id, lease.lease_id, failure, until)

    async def keep(self, lease: LeasedPlayback, film: FilmSoFar, stored: Sequence[StoredFilm]) -> bool:
        """Show a film that is stored. Returns False when its item is deleted or moved, or the lease lost."""
        columns = [list(column) for column in zip(*(each[:4] for each in stored), strict=True)]
        streams = [each.stream for each in stored if each.stream is not None]
        async with self._database.hot.acquire() as connection, connection.transaction():
            place = lease.media_id, film.gallery_id, film.folder
            if not await connection.fetchval(_KEEP, *place, *columns, lease.lease_id):
                return False
            await connection.execute(_FORGET_STREAMS, lease.media_id)
            for stream in streams:
                await connection.execute(
                    _KEEP_STREAM,
                    *(lease.media_id, stream.size, stream.codecs, stream.start, stream.init_bytes),
                    *(stream.segment_bytes, stream.segment_ticks),
                )
        return True

    async def forget(self, lease: LeasedPlayback) -> None:
        """Remove the request: its film is made, or its item is gone."""
        await self._database.hot.execute(_FORGET, lease.media_id, lease.lease_id)

    async def waiting(self) -> int:
        """Returns the number of films that wait or are being made."""
        return int(await self._database.hot.fetchval(_WAITING))
