"""Loads a library of any size by COPY: 100 galleries of one account, with common and rare values of every
kind.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

GALLERIES: Final = 100
_WORDS: Final = 2_000
_TAGS: Final = 500
_PLACES: Final = 300
_CHUNK: Final = 20_000
_FIRST: Final = datetime(2016, 1, 1, tzinfo=UTC)
_SPAN_S: Final = 10 * 365 * 86_400
_ITEM_COLUMNS: Final = (
    *("id", "gallery_id", "upload_id", "filename", "content_type", "kind", "status", "size_bytes", "etag"),
    *("width", "height", "taken_at", "gps", "caption", "tags", "location", "created_at"),
)
_INDEXES: Final = (
    "CREATE INDEX ix_library_grams ON library USING gin (grams) WITH (fastupdate = off)",
    "ALTER TABLE library_terms ADD CONSTRAINT pk_library_terms PRIMARY KEY (term, created_at, item_id)",
    "CREATE INDEX ix_library_terms_term_taken_at_item_id ON library_terms (term, taken_at, item_id)",
)


def word(number: int) -> str:
    """Returns one of many texts that look like words."""
    letters = "bcdfghjklmnpqrstvwxz"
    vowels = "aeiou"
    return "".join(
        letters[number // 5**place % 20] + vowels[number // 20**place % 5] for place in range(3)
    ) + str(number % 7)


async def load(database_url: str, owner_id: UUID, *, items: int) -> list[UUID]:
    """Fills the media database and returns the galleries. The account must have no data."""
    chooser = random.Random(owner_id.int)
    galleries = [_id(chooser, _FIRST) for _ in range(GALLERIES)]
    pool = await asyncpg.create_pool(
        database_url,
        min_size=2,
        max_size=2,
        command_timeout=3_600,
        init=_set_codecs,
        server_settings={"synchronous_commit": "off", "maintenance_work_mem": "512MB"},
    )
    try:
        await pool.execute("INSERT INTO accounts (id) VALUES ($1) ON CONFLICT DO NOTHING", owner_id)
        await pool.executemany(
            "INSERT INTO contents (gallery_id, owner_id, item_count) VALUES ($1, $2, $3)",
            [(gallery, owner_id, items // GALLERIES) for gallery in galleries],
        )
        await pool.execute("ALTER TABLE items DISABLE TRIGGER USER")
        await pool.copy_records_to_table(
            "items", records=_rows(chooser, galleries, items), columns=_ITEM_COLUMNS
        )
        await pool.execute("ALTER TABLE items ENABLE TRIGGER USER")
        await _enter(pool, galleries)
    finally:
        await pool.close()
    return galleries


async def _enter(pool: Any, galleries: list[UUID]) -> None:
    """Writes what the triggers would write, in chunks, and creates the indexes afterwards; both are faster in
    bulk.
    """
    await pool.execute("DROP INDEX ix_library_grams, ix_library_terms_term_taken_at_item_id")
    await pool.execute("ALTER TABLE library_terms DROP CONSTRAINT pk_library_terms")
    rows = await pool.fetch("SELECT id FROM items WHERE gallery_id = ANY($1) ORDER BY id", galleries)
    ids = [row["id"] for row in rows]
    chunks = iter([ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)])

    async def work() -> None:
        for chunk in chunks:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "INSERT INTO library SELECT e.* FROM items i JOIN contents c USING (gallery_id),"
                    " LATERAL library_entry(c.owner_id, i) AS e WHERE i.id = ANY($1)",
                    chunk,
                )
                await connection.execute(
                    "INSERT INTO library_terms (term, created_at, item_id, taken_at)"
                    " SELECT one.term, l.created_at, l.item_id, l.taken_at"
                    " FROM library l, unnest(l.terms) AS one (term) WHERE l.item_id = ANY($1)",
                    chunk,
                )

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(work())
    await asyncio.gather(*map(pool.execute, _INDEXES[:2]))
    await pool.execute(_INDEXES[2])
    await pool.execute(
        "INSERT INTO library_names (owner_id, kind, key, shown, item_count)"
        " SELECT owner_id, kind, key, key, count(*) FROM ("
        "  SELECT owner_id, 'tag' AS kind, unnest(tags) AS key FROM library"
        "  UNION ALL SELECT owner_id, 'place', place FROM library WHERE place IS NOT NULL) AS every"
        " GROUP BY owner_id, kind, key ON CONFLICT DO NOTHING"
    )
    for table in ("items", "library", "library_terms", "library_names"):
        await pool.execute(f"VACUUM (ANALYZE) {table}")


def _rows(chooser: random.Random, galleries: list[UUID], items: int) -> Iterator[tuple[Any, ...]]:
    centres = [(chooser.uniform(-60, 70), chooser.uniform(-180, 180)) for _ in range(_PLACES)]
    for number in range(items):
        created_at = _FIRST + timedelta(seconds=number * _SPAN_S / items)
        place = _often_small(chooser, _PLACES)
        tags = {f"tag-{_often_small(chooser, _TAGS)}", f"tag-{_often_small(chooser, _TAGS)}"}
        # Each of the two tags covers one half of the library, and no item has both.
        tags.add("half-even" if number % 2 == 0 else "half-odd")
        if number % 100_000 == 7:
            tags.add("rare")
        taken_at = created_at - timedelta(days=chooser.expovariate(1 / 20)) if number % 10 else None
        gps = None
        if number % 10 < 7:
            latitude, longitude = centres[place]
            gps = {
                "latitude": latitude + chooser.gauss(0, 0.05),
                "longitude": min(179.9, max(-179.9, longitude + chooser.gauss(0, 0.05))),
            }
        caption = " ".join(word(_often_small(chooser, _WORDS)) for _ in range(5)) if number % 2 else None
        is_film = number % 12 == 0
        yield (
            _id(chooser, created_at),
            galleries[number * GALLERIES // items],
            _id(chooser, created_at),
            f"{'VID' if is_film else 'IMG'}_{number % 10_000:04}.{'mp4' if is_film else 'jpg'}",
            "video/mp4" if is_film else "image/jpeg",
            "video" if is_film else "image",
            *("ready", 4_000_000, "etag", 4000, 3000),
            taken_at,
            gps,
            caption,
            sorted(tags),
            f"Place {place}" if number % 200_000 != 11 else "Ultima Thule",
            created_at,
        )


def _often_small(chooser: random.Random, below: int) -> int:
    """Returns a number below the limit; small numbers are common, large ones rare."""
    return int(below * chooser.random() ** 3)


def _id(chooser: random.Random, at: datetime) -> UUID:
    """Returns a UUIDv7 of that instant."""
    random_bits = chooser.getrandbits(74)
    value = int(at.timestamp() * 1000) << 80 | 0x7 << 76 | (random_bits >> 62) << 64
    return UUID(int=value | 0b10 << 62 | random_bits & (1 << 62) - 1)


async def _set_codecs(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
    )
