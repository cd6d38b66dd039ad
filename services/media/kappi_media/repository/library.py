"""An account's library: lists of items by time, and an index of the words of their texts (ADR-0023).

Every statement reads a bounded number of rows, however large the library is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database

from kappi_media.domain.library import ALWAYS, Filters, Order, Position, Span
from kappi_media.domain.media import AccountId, Item
from kappi_media.repository.item_columns import ITEM

MAX_PLACES: Final = 64
"""The number of places that a prefix may match for a search in their lists."""
TIMEOUT_S: Final = 2.0
"""The timeout of a search's statement. The caller may try again."""
ESTIMATE_TIMEOUT_S: Final = 0.5
"""The timeout of an estimate, which only chooses the faster way of a search."""
FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)
_NO_ID: Final = UUID(int=0)

_ASKED = """
WITH asked AS MATERIALIZED (
  SELECT library_fold($2::text) AS words, left(library_fold($3::text), 200) AS place,
    ARRAY(SELECT DISTINCT library_fold(tag) FROM unnest($4::text[]) AS t (tag)) AS tags)
SELECT words, place, tags,
  ARRAY(SELECT coalesce(n.item_count, 0) FROM unnest(tags) WITH ORDINALITY AS t (tag, nth)
    LEFT JOIN library_names n ON n.owner_id = $1 AND n.kind = 'tag' AND n.key = t.tag
    ORDER BY nth) AS tag_counts,
  found.places, found.place_count,
  (SELECT c.item_count FROM contents c WHERE c.gallery_id = $5 AND c.owner_id = $1) AS gallery_count
FROM asked, LATERAL (
  SELECT coalesce(array_agg(p.key), '{}') AS places, coalesce(sum(p.item_count), 0)::bigint AS place_count
  FROM (
    SELECT n.key, n.item_count FROM library_names n
    WHERE n.owner_id = $1 AND n.kind = 'place' AND n.key >= asked.place COLLATE "C"
      AND n.key < (asked.place || chr(1114111)) COLLATE "C"
    ORDER BY n.key LIMIT $6) AS p) AS found
"""
_COUNT = """
SELECT count(*) FROM unnest($2::text[]) AS names (name) CROSS JOIN LATERAL
  library_scan_created_at_up(library_term($1, names.name), $3, $4, $5, $6)
"""
# A level holds one item of 4, 16, 64 and so on. The smallest level with enough items is read.
_SAMPLE = """
WITH sizes AS MATERIALIZED (
  SELECT level, ARRAY(SELECT s.item_id FROM
    library_scan_created_at_up(library_term($1, 'sample:' || level), $3, $4, $5, 1200) AS s) AS ids
  FROM generate_series(1, 8) AS levels (level)),
chosen AS MATERIALIZED (
  SELECT level, ids FROM sizes WHERE cardinality(ids) >= 300 ORDER BY level DESC LIMIT 1),
texts AS MATERIALIZED (
  SELECT l.words FROM chosen, unnest(chosen.ids) AS t (id) CROSS JOIN LATERAL (
    SELECT words FROM library WHERE item_id = t.id OFFSET 0) AS l),
hits AS (
  SELECT gram, (SELECT count(*) FROM texts WHERE strpos(texts.words, gram) > 0) AS found
  FROM unnest($2::text[]) AS grams (gram))
SELECT (SELECT min(found) FROM hits) << (2 * level) AS rarest,
  (SELECT count(*) FROM texts WHERE NOT EXISTS (
    SELECT FROM unnest($6::text[]) AS asked (word) WHERE strpos(texts.words, word) = 0)) << (2 * level)
  AS matching
FROM chosen
"""
_BOUNDS = """
SELECT (SELECT at FROM library_scan_{column}_up(library_term($1, 'all'), $2, $3, $4, 1)),
  (SELECT at FROM library_scan_{column}_down(library_term($1, 'all'), $4, $3, $2, 1))
"""
_WITHIN = """
SELECT s.item_id FROM unnest($2::text[]) AS names (name) CROSS JOIN LATERAL
  library_scan_{column}_up(library_term($1, names.name), $3, $4, $5, $6) AS s
LIMIT $6
"""
_MATCH = """
l.owner_id = $1
  AND ($2::uuid IS NULL OR l.gallery_id = $2)
  AND ($3::text IS NULL OR l.kind = $3)
  AND l.tags @> $4::text[]
  AND ($5::text IS NULL OR starts_with(l.place, $5))
  AND l.taken_at >= $6 AND l.taken_at < $7 AND l.created_at >= $8 AND l.created_at < $9
  AND NOT EXISTS (SELECT FROM unnest($10::text[]) AS asked (word) WHERE strpos(l.words, word) = 0)
  AND ($11::float8 IS NULL OR (l.latitude BETWEEN $12 AND $14 AND CASE WHEN $11 <= $13
    THEN l.longitude BETWEEN $11 AND $13 ELSE l.longitude >= $11 OR l.longitude <= $13 END))
  AND ($15::float8 IS NULL OR 12742.0176 * asin(sqrt(least(1,
    sin(radians(l.latitude - $15) / 2) ^ 2 + cos(radians($15)) * cos(radians(l.latitude))
    * sin(radians(l.longitude - $16) / 2) ^ 2))) <= $17)
"""
# Lists that begin after the position at which the first list continues are not read, but no item after the
# beginnings of such lists is returned either. So successive months are read one by one, and squares of the
# map side by side.
_WINDOW = """
WITH heads AS MATERIALIZED (
  SELECT lists.term, s.at, s.item_id
  FROM (SELECT library_term($1, name) AS term FROM unnest($18::text[]) AS names (name)) AS lists
  CROSS JOIN LATERAL library_scan_{column}_{direction}(lists.term, $19, $20, $21, 1) AS s),
near AS MATERIALIZED (
  SELECT s.at, s.item_id
  FROM (SELECT term FROM heads ORDER BY at {order}, item_id {order} LIMIT 1) AS first
  CROSS JOIN LATERAL library_scan_{column}_{direction}(first.term, $19, $20, $21, $24)
    WITH ORDINALITY AS s (item_id, at, nth)
  ORDER BY nth DESC LIMIT 1),
active AS MATERIALIZED (
  SELECT term FROM heads, near WHERE NOT (heads.at, heads.item_id) {past} (near.at, near.item_id)),
each AS MATERIALIZED (
  SELECT greatest($24::integer, $22::integer / greatest(1, count(*))::integer) AS most FROM active),
scanned AS MATERIALIZED (
  SELECT s.item_id, s.at, s.nth = each.most AS goes_on FROM active, each CROSS JOIN LATERAL
    library_scan_{column}_{direction}(active.term, $19, $20, $21, each.most)
      WITH ORDINALITY AS s (item_id, at, nth)
  UNION ALL SELECT heads.item_id, heads.at, true FROM heads WHERE term NOT IN (SELECT term FROM active)),
horizon AS MATERIALIZED (
  SELECT at, item_id FROM scanned WHERE goes_on ORDER BY at {order}, item_id {order} LIMIT 1),
hits AS (
  SELECT s.item_id, s.at FROM scanned s CROSS JOIN LATERAL (
    SELECT FROM library l WHERE l.item_id = s.item_id AND {match} OFFSET 0) AS matching
  WHERE NOT EXISTS (SELECT FROM horizon h WHERE (s.at, s.item_id) {past} (h.at, h.item_id))
  ORDER BY s.at {order}, s.item_id {order} LIMIT $23)
SELECT at, item_id, false AS is_horizon FROM hits UNION ALL SELECT at, item_id, true FROM horizon
"""
# Candidates come from the index of word parts, each with whether it matches, so that its row is read once.
_WITH_GRAMS = """
WITH candidates AS MATERIALIZED (
  SELECT l.item_id, l.{column} AS at, ({match}) AS matches FROM library l
  WHERE l.grams @> ARRAY(SELECT hashtext($1::uuid::text || gram) FROM unnest($18::text[]) AS grams (gram))
  LIMIT $22)
(SELECT at, item_id, (SELECT count(*) FROM candidates) AS candidates FROM candidates
  WHERE matches AND (at, item_id) {past} ($19, $20) ORDER BY at {order}, item_id {order} LIMIT $21)
UNION ALL SELECT NULL, NULL, count(*) FROM candidates
"""
_AMONG = """
SELECT found.at, found.item_id FROM unnest($18::uuid[]) AS c (id) CROSS JOIN LATERAL (
  SELECT l.{column} AS at, l.item_id FROM library l WHERE l.item_id = c.id AND {match} OFFSET 0) AS found
WHERE (found.at, found.item_id) {past} ($19, $20)
ORDER BY found.at {order}, found.item_id {order} LIMIT $21
"""
_ITEMS = f"""
SELECT {ITEM} FROM items i WHERE i.id = ANY($1) AND i.status <> 'rejected'
  AND NOT EXISTS (SELECT FROM contents c WHERE c.gallery_id = i.gallery_id AND c.closed)
"""  # noqa: S608 - column names
_MOST_USED = """
(SELECT key, shown, item_count FROM library_names
  WHERE owner_id = $1 AND kind = $2 AND item_count = $3 AND key > $4 ORDER BY key LIMIT $5)
UNION ALL
(SELECT key, shown, item_count FROM library_names
  WHERE owner_id = $1 AND kind = $2 AND item_count < $3 AND item_count > 0
  ORDER BY item_count DESC, key LIMIT $5)
LIMIT $5
"""
_BEGINNING = """
SELECT key, shown, item_count FROM library_names,
  left(library_fold($3), CASE $2 WHEN 'place' THEN 200 ELSE 4000 END) AS prefix
WHERE owner_id = $1 AND kind = $2 AND key > $4 AND key >= prefix COLLATE "C"
  AND key < (prefix || chr(1114111)) COLLATE "C" AND item_count > 0
ORDER BY key LIMIT $5
"""


class Asked(NamedTuple):
    """The filters in the form in which they are compared, and how many items of the library have each.

    words: each once. places: those with the requested prefix, at most MAX_PLACES + 1.
    """

    words: list[str]
    place: str | None
    tags: list[str]
    tag_counts: list[int]
    places: list[str]
    place_count: int
    gallery_count: int | None


class Estimate(NamedTuple):
    """The approximate number of items that have the rarest part in their words, and that have every word."""

    rarest: int
    matching: int


class Name(NamedTuple):
    """A tag or a place. key: folded."""

    key: str
    shown: str
    item_count: int


class Window(NamedTuple):
    """The matches, in order, and the position up to which the lists were read; None for their end."""

    found: list[Position]
    horizon: Position | None


def _by_order(statement: str) -> dict[Order, str]:
    return {
        order: statement.format(
            column=order.column,
            direction="down" if order.descends else "up",
            order="DESC" if order.descends else "ASC",
            past="<" if order.descends else ">",
            match=_MATCH,
        )
        for order in Order
    }


class LibraryQueries:
    """Runs single statements, which raise TimeoutError. Lists are named as by `library_terms_of`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._window = _by_order(_WINDOW)
        # The next positions of an order are those past a position in the order's direction.
        self._among = _by_order(_AMONG)
        self._with_grams = _by_order(_WITH_GRAMS)

    async def _fetch(self, statement: str, *values: Any) -> list[Any]:
        return list(await self._database.hot.fetch(statement, *values, timeout=TIMEOUT_S))

    async def _fetchrow(self, statement: str, *values: Any) -> Any:
        return await self._database.hot.fetchrow(statement, *values, timeout=TIMEOUT_S)

    async def asked(self, filters: Filters) -> Asked:
        record = await self._fetchrow(
            _ASKED,
            filters.owner_id,
            filters.text,
            filters.place,
            list(filters.tags),
            filters.gallery_id,
            MAX_PLACES + 1,
        )
        asked = Asked._make(record)
        return asked._replace(words=list(dict.fromkeys((record["words"] or "").split())))

    async def count(self, owner_id: AccountId, lists: Sequence[str], *, most: int) -> int:
        """Returns the number of items in the lists, counting at most `most` of each."""
        record = await self._fetchrow(_COUNT, owner_id, list(lists), FIRST, _NO_ID, LAST, most)
        return int(record[0])

    async def estimate(
        self, owner_id: AccountId, grams: Sequence[str], *, words: Sequence[str]
    ) -> Estimate | None:
        """Returns an estimate from a sample; None when the library is too small for one."""
        record = await self._database.hot.fetchrow(
            _SAMPLE, owner_id, list(grams), FIRST, _NO_ID, LAST, list(words), timeout=ESTIMATE_TIMEOUT_S
        )
        return Estimate._make(record) if record is not None else None

    async def bounds(self, owner_id: AccountId, column: str) -> Span:
        """Returns the first and the last instant of the column; None in an empty library."""
        record = await self._fetchrow(_BOUNDS.format(column=column), owner_id, FIRST, _NO_ID, LAST)
        return Span(*record)

    async def within(
        self, owner_id: AccountId, lists: Sequence[str], *, column: str, span: Span, most: int
    ) -> list[UUID]:
        """Returns the items of the lists in a span of time, in no particular order."""
        statement = _WITHIN.format(column=column)
        records = await self._fetch(
            statement, owner_id, list(lists), span.start or FIRST, _NO_ID, span.end or LAST, most
        )
        return [record[0] for record in records]

    async def window(
        self,
        filters: Filters,
        asked: Asked,
        *,
        order: Order,
        lists: Sequence[str],
        after: Position | None,
        size: int,
        least: int,
        limit: int,
    ) -> Window:
        """Read the next items of the lists: about `size` in all, and at least `least` of each list that is
        read.

        limit: the largest number of matches.
        """
        span = filters.span_of(order.column)
        begin, until = _ends(order, span, after)
        records = await self._fetch(
            self._window[order], *_match(filters, asked), list(lists), *begin, until, size, limit, least
        )
        found = [Position(at, item_id) for at, item_id, is_horizon in records if not is_horizon]
        horizon = [Position(at, item_id) for at, item_id, is_horizon in records if is_horizon]
        return Window(sorted(found, reverse=order.descends), horizon[0] if horizon else None)

    async def among(
        self,
        filters: Filters,
        asked: Asked,
        *,
        order: Order,
        ids: Sequence[UUID],
        after: Position | None,
        limit: int,
    ) -> list[Position]:
        """Returns those of these items that match, in order."""
        begin, _ = _ends(order, ALWAYS, after)
        records = await self._fetch(self._among[order], *_match(filters, asked), list(ids), *begin, limit)
        return [Position(at, item_id) for at, item_id in records]

    async def with_grams(
        self,
        filters: Filters,
        asked: Asked,
        *,
        order: Order,
        grams: Sequence[str],
        after: Position | None,
        limit: int,
        most: int,
    ) -> list[Position] | None:
        """Returns the items with all of these parts in their words that match, in order; None when more than
        `most` have the parts.
        """
        begin, _ = _ends(order, ALWAYS, after)
        records = await self._fetch(
            self._with_grams[order], *_match(filters, asked), list(grams), *begin, limit, most + 1
        )
        if records[-1]["candidates"] > most:
            return None
        return [Position(record["at"], record["item_id"]) for record in records[:-1]]

    async def items(self, positions: Sequence[Position]) -> list[Item]:
        """Returns the items in the given order; those deleted since are left out."""
        ids = [position.item_id for position in positions]
        found = {item[0]: Item._make(item) for item in await self._fetch(_ITEMS, ids)}
        return [found[item_id] for item_id in ids if item_id in found]

    async def most_used(
        self, owner_id: AccountId, kind: str, *, after: tuple[int, str] | None, limit: int
    ) -> list[Name]:
        """Returns names, those with most items first. kind: `tag` or `place`."""
        count, key = after or (2**62, "")
        records = await self._fetch(_MOST_USED, owner_id, kind, count, key, limit)
        return [Name._make(record) for record in records]

    async def beginning(
        self, owner_id: AccountId, kind: str, *, prefix: str, after: str, limit: int
    ) -> list[Name]:
        """Returns the names with a prefix, in alphabetical order."""
        records = await self._fetch(_BEGINNING, owner_id, kind, prefix, after, limit)
        return [Name._make(record) for record in records]


def _ends(order: Order, span: Span, after: Position | None) -> tuple[Position, datetime]:
    """Returns the position after which to read, and the instant up to which."""
    if order.descends:
        begin, until = Position(span.end or LAST, _NO_ID), span.start or FIRST
        return (min(begin, after) if after else begin), until
    begin, until = Position(span.start or FIRST, _NO_ID), span.end or LAST
    return (max(begin, after) if after else begin), until


def _match(filters: Filters, asked: Asked) -> tuple[Any, ...]:
    return (
        filters.owner_id,
        filters.gallery_id,
        filters.kind,
        asked.tags,
        asked.place,
        filters.taken.start or FIRST,
        filters.taken.end or LAST,
        filters.uploaded.start or FIRST,
        filters.uploaded.end or LAST,
        asked.words,
        *(filters.box or (None,) * 4),
        *(filters.circle or (None,) * 3),
    )
