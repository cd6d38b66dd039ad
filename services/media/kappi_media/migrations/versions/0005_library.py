"""The library: what an account's search looks at, kept exact by triggers on items (ADR-0023)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Letters lose their accents and their case. Marks of scripts that need them (U+0900 and on) stay.
_FOLD = r"""
CREATE FUNCTION library_fold(written text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
SELECT CASE WHEN $1 ~ '^[!-~]*$' THEN lower($1 COLLATE pg_unicode_fast) ELSE
  btrim(regexp_replace(
    translate(
      casefold(
        normalize(
          regexp_replace(
            normalize($1, NFKD),
            '[\u0300-\u036F\u1AB0-\u1AFF\u1DC0-\u1DFF\u20D0-\u20FF\uFE20-\uFE2F]', '', 'g'),
          NFKC)
        COLLATE pg_unicode_fast),
      'øłđħŧı', 'oldhti'),
    '[\u0001-\u0020\u007F-\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]+', ' ', 'g'))
END
$$
"""
# The same in every version of PostgreSQL; names that share a list cannot be found on purpose.
_TERM = r"""
CREATE FUNCTION library_term(owner_id uuid, name text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
SELECT substr(sha256(replace($1::text || $2, '\', '\\')::bytea), 1, 8)::bigint
$$
"""
# One, two and three characters in a row: what a search of any length can be looked up by.
_GRAMS = """
CREATE FUNCTION library_grams(owner_id uuid, words text) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
WITH characters AS (
  SELECT c, lead(c) OVER (ORDER BY n) AS c2, lead(c, 2) OVER (ORDER BY n) AS c3
  FROM unnest(string_to_array($2, NULL)) WITH ORDINALITY AS t (c, n)),
grams AS (
  SELECT c AS gram FROM characters
  UNION SELECT c || c2 FROM characters WHERE c2 IS NOT NULL
  UNION SELECT c || c2 || c3 FROM characters WHERE c3 IS NOT NULL)
SELECT coalesce(array_agg(DISTINCT hashtext($1::text || gram)), '{}') FROM grams
$$
"""
# Squares of 2.8, 0.35 and 0.044 degrees: powers of two, so that every machine draws the same borders.
_CELLS = """
CREATE FUNCTION library_cells(latitude double precision, longitude double precision) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN $1 IS NULL THEN '{}'::text[] ELSE ARRAY(
  SELECT format('cell:%s:%s:%s', level, floor(($1 + 90) / size)::integer,
    floor(($2 + 180) / size)::integer % (360 / size)::integer)
  FROM (VALUES (1, 2.8125::double precision), (2, 0.3515625), (3, 0.0439453125)) AS levels (level, size))
  || 'placed'::text END
$$
"""
# Counted from the year 0, in UTC.
_MONTH = """
CREATE FUNCTION library_month(at timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
SELECT (extract(year FROM $1 AT TIME ZONE 'UTC') * 12 + extract(month FROM $1 AT TIME ZONE 'UTC'))::integer
$$
"""
_TERMS = """
CREATE FUNCTION library_terms_of(entry library) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT array_agg(library_term($1.owner_id, name)) FROM (
  SELECT 'all' AS name
  UNION ALL SELECT 'gallery:' || $1.gallery_id
  UNION ALL SELECT 'kind:' || $1.kind WHERE $1.kind IS NOT NULL
  UNION ALL SELECT 'place:' || $1.place WHERE $1.place IS NOT NULL
  UNION ALL SELECT 'tag:' || tag FROM unnest($1.tags) AS t (tag)
  UNION ALL SELECT unnest(library_cells($1.latitude, $1.longitude))
  UNION ALL SELECT 'created_at:' || library_month($1.created_at)
  UNION ALL SELECT 'taken_at:' || library_month($1.taken_at)
  UNION ALL SELECT 'sample:' || level FROM generate_series(1, 8) AS t (level)
    WHERE hashtextextended($1.item_id::text, 0) & ((1 << (2 * level)) - 1) = 0
) AS names
$$
"""
# Of what a person writes, as much is searched as a statement can enter for all items that it changes.
_ENTRY = """
CREATE FUNCTION library_entry(owner_id uuid, item items) RETURNS library
LANGUAGE plpgsql STABLE AS $$
DECLARE
  entry library;
BEGIN
  entry.item_id := item.id;
  entry.owner_id := owner_id;
  entry.gallery_id := item.gallery_id;
  entry.kind := item.kind;
  entry.created_at := item.created_at;
  entry.taken_at := coalesce(item.taken_at, item.created_at);
  entry.place := nullif(left(library_fold(item.location), 200), '');
  entry.tags := ARRAY(SELECT DISTINCT library_fold(tag) FROM jsonb_array_elements_text(item.tags) AS t (tag)
    WHERE library_fold(tag) <> '');
  IF (item.gps->>'latitude')::double precision BETWEEN -90 AND 90
      AND (item.gps->>'longitude')::double precision BETWEEN -180 AND 180 THEN
    entry.latitude := item.gps->>'latitude';
    entry.longitude := item.gps->>'longitude';
  END IF;
  entry.words := concat_ws(chr(31), nullif(left(library_fold(item.filename), 255), ''),
    nullif(left(library_fold(item.caption), 1000), ''),
    nullif(left(array_to_string(entry.tags, chr(31)), 1000), ''));
  entry.grams := library_grams(owner_id, entry.words);
  entry.terms := library_terms_of(entry);
  RETURN entry;
END
$$
"""
# Few items are looked up in large tables, whatever the statistics of a plan that is kept say.
_FORGET = """
CREATE FUNCTION library_forget(ids uuid[]) RETURNS void
LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  owners uuid[] := ARRAY(SELECT DISTINCT owner_id FROM library WHERE item_id = ANY(ids));
BEGIN
  IF cardinality(owners) = 0 THEN
    RETURN;
  END IF;
  WITH gone AS MATERIALIZED (DELETE FROM library WHERE item_id = ANY(ids) RETURNING *),
  unposted AS (
    DELETE FROM library_terms t USING gone g, unnest(g.terms) AS one (term)
    WHERE t.term = one.term AND t.created_at = g.created_at AND t.item_id = g.item_id),
  fewer AS (
    SELECT owner_id, kind, key, count(*) AS items FROM (
      SELECT owner_id, 'tag' AS kind, unnest(tags) AS key FROM gone
      UNION ALL SELECT owner_id, 'place', place FROM gone WHERE place IS NOT NULL) AS every
    GROUP BY owner_id, kind, key)
  UPDATE library_names n SET item_count = n.item_count - fewer.items FROM fewer
  WHERE n.owner_id = fewer.owner_id AND n.kind = fewer.kind AND n.key = fewer.key;
  DELETE FROM library_names
  WHERE owner_id = ANY(owners) AND kind IN ('tag', 'place') AND item_count <= 0;
END
$$
"""
_NOTE = """
CREATE FUNCTION library_note(ids uuid[]) RETURNS void
LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  INSERT INTO library
  SELECT e.* FROM items i JOIN contents c ON c.gallery_id = i.gallery_id,
    LATERAL library_entry(c.owner_id, i) AS e
  WHERE i.id = ANY(ids) AND i.status <> 'rejected' AND c.owner_id IS NOT NULL AND c.deleted_at IS NULL;
  INSERT INTO library_terms (term, created_at, item_id, taken_at)
  SELECT one.term, l.created_at, l.item_id, l.taken_at
  FROM library l, unnest(l.terms) AS one (term) WHERE l.item_id = ANY(ids);
  INSERT INTO library_names AS n (owner_id, kind, key, shown, item_count)
  SELECT l.owner_id, every.kind, every.key, max(every.shown COLLATE "C"), count(*)
  FROM library l JOIN items i ON i.id = l.item_id, LATERAL (
    SELECT 'tag' AS kind, library_fold(tag) AS key, max(tag COLLATE "C") AS shown
    FROM jsonb_array_elements_text(i.tags) AS t (tag) WHERE library_fold(tag) <> '' GROUP BY 2
    UNION ALL SELECT 'place', l.place, i.location WHERE l.place IS NOT NULL) AS every
  WHERE l.item_id = ANY(ids)
  GROUP BY l.owner_id, every.kind, every.key
  ON CONFLICT (owner_id, kind, key) DO UPDATE SET item_count = n.item_count + excluded.item_count;
END
$$
"""
# The account's row comes first, as in every statement that charges it: names of one owner are then counted
# by one transaction at a time, in whatever order that does it.
_REFRESH = """
CREATE FUNCTION library_refresh(ids uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM accounts WHERE id IN (
    SELECT l.owner_id FROM library l WHERE l.item_id = ANY(ids)
    UNION SELECT c.owner_id FROM items i JOIN contents c ON c.gallery_id = i.gallery_id
    WHERE i.id = ANY(ids))
  ORDER BY id FOR NO KEY UPDATE;
  PERFORM library_forget(ids);
  PERFORM library_note(ids);
END
$$
"""
# True: all are entered; NULL: another process has the gallery, or finished it.
_CATCH_UP = """
CREATE FUNCTION library_catch_up(gallery uuid, most integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  after uuid;
  ids uuid[];
BEGIN
  SELECT library_after INTO after FROM contents
  WHERE gallery_id = gallery AND library_after IS NOT NULL FOR UPDATE SKIP LOCKED;
  IF after IS NULL THEN
    RETURN NULL;
  END IF;
  ids := ARRAY(SELECT id FROM items WHERE gallery_id = gallery AND id > after ORDER BY id LIMIT most);
  PERFORM library_refresh(ids);
  UPDATE contents SET library_after = CASE WHEN cardinality(ids) < most THEN NULL ELSE ids[most] END
  WHERE gallery_id = gallery;
  RETURN cardinality(ids) < most;
END
$$
"""
_ON_INSERT = """
CREATE FUNCTION library_on_insert() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  ids uuid[];
BEGIN
  ids := ARRAY(SELECT a.id FROM after a JOIN contents c ON c.gallery_id = a.gallery_id
    WHERE c.owner_id IS NOT NULL);
  IF cardinality(ids) > 0 THEN
    PERFORM library_refresh(ids);
  END IF;
  RETURN NULL;
END
$$
"""
_ON_UPDATE = """
CREATE FUNCTION library_on_update() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  ids uuid[];
BEGIN
  ids := ARRAY(
    SELECT a.id FROM after a JOIN before b ON b.id = a.id JOIN contents c ON c.gallery_id = a.gallery_id
    WHERE c.owner_id IS NOT NULL
      AND (a.gallery_id, a.filename, a.kind, a.status = 'rejected', a.taken_at, a.gps, a.caption, a.tags,
        a.location) IS DISTINCT FROM (b.gallery_id, b.filename, b.kind, b.status = 'rejected', b.taken_at,
        b.gps, b.caption, b.tags, b.location));
  IF cardinality(ids) > 0 THEN
    PERFORM library_refresh(ids);
  END IF;
  RETURN NULL;
END
$$
"""
_ON_DELETE = """
CREATE FUNCTION library_on_delete() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  ids uuid[];
BEGIN
  ids := ARRAY(SELECT id FROM before);
  IF cardinality(ids) > 0 THEN
    PERFORM library_refresh(ids);
  END IF;
  RETURN NULL;
END
$$
"""
# A gallery that gets an owner, from any version of the service: its items are still to be entered.
_ON_OWNER = """
CREATE FUNCTION library_on_owner() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  NEW.library_after := '00000000-0000-0000-0000-000000000000';
  RETURN NEW;
END
$$
"""
# The planner knows neither how long a list is nor that only its beginning is wanted. Read in the order of
# its index, a list costs what is read of it; any other way it costs what it holds.
_SCAN = """
CREATE FUNCTION library_scan_{by}_{name}(
  wanted bigint, from_at timestamptz, from_id uuid, until timestamptz, most integer)
RETURNS TABLE (item_id uuid, at timestamptz)
LANGUAGE plpgsql STABLE ROWS 200
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
  RETURN QUERY SELECT t.item_id, t.{by} FROM library_terms t
  WHERE t.term = wanted AND (t.{by}, t.item_id) {past} (from_at, from_id) AND t.{by} {within} until
  ORDER BY t.{by} {order}, t.item_id {order} LIMIT most;
END
$$
"""
_FUNCTIONS = (
    *(_FOLD, _TERM, _GRAMS, _CELLS, _MONTH, _TERMS, _ENTRY, _FORGET, _NOTE, _REFRESH, _CATCH_UP),
    *(_ON_INSERT, _ON_UPDATE, _ON_DELETE, _ON_OWNER),
)
_DIRECTIONS = (("up", "ASC", ">", "<"), ("down", "DESC", "<", ">="))
_TRIGGERS = (
    ("insert", "INSERT", "NEW TABLE AS after"),
    ("update", "UPDATE", "OLD TABLE AS before NEW TABLE AS after"),
    ("delete", "DELETE", "OLD TABLE AS before"),
)


def upgrade() -> None:
    _mark_galleries()
    _make_library()
    _make_terms()
    _make_names()
    for statement in _FUNCTIONS:
        op.execute(statement)
    for by in ("created_at", "taken_at"):
        for name, order, past, within in _DIRECTIONS:
            op.execute(_SCAN.format(by=by, name=name, order=order, past=past, within=within))
    for name, event, tables in _TRIGGERS:
        op.execute(
            f"CREATE TRIGGER library_on_{name} AFTER {event} ON items REFERENCING {tables} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION library_on_{name}()"
        )
    op.execute(
        "CREATE TRIGGER library_on_owner BEFORE UPDATE OF owner_id ON contents FOR EACH ROW "
        "WHEN (OLD.owner_id IS NULL AND NEW.owner_id IS NOT NULL) EXECUTE FUNCTION library_on_owner()"
    )


def _mark_galleries() -> None:
    # No row is rewritten. The running service enters the items of owned galleries and removes the marks.
    mark = sa.text("'00000000-0000-0000-0000-000000000000'")
    op.add_column("contents", sa.Column("library_after", sa.Uuid(), server_default=mark, nullable=True))
    op.alter_column("contents", "library_after", server_default=None)
    op.create_index(
        "ix_contents_library_after",
        "contents",
        ["gallery_id"],
        postgresql_where=sa.text("library_after IS NOT NULL"),
    )


def _make_library() -> None:
    op.create_table(
        "library",
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("latitude", sa.Double(), nullable=True),
        sa.Column("longitude", sa.Double(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("grams", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("terms", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_library")),
    )
    op.create_index(
        "ix_library_grams",
        "library",
        ["grams"],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )


def _make_terms() -> None:
    op.create_table(
        "library_terms",
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("term", "created_at", "item_id", name=op.f("pk_library_terms")),
    )
    op.create_index(
        "ix_library_terms_term_taken_at_item_id", "library_terms", ["term", "taken_at", "item_id"]
    )


def _make_names() -> None:
    op.create_table(
        "library_names",
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("item_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "kind", "key", name=op.f("pk_library_names")),
    )
    op.create_index(
        "ix_library_names_owner_id_kind_item_count_key",
        "library_names",
        ["owner_id", "kind", sa.text("item_count DESC"), "key"],
    )


def downgrade() -> None:
    for name, _, _ in _TRIGGERS:
        op.execute(f"DROP TRIGGER library_on_{name} ON items")
        op.execute(f"DROP FUNCTION library_on_{name}()")
    op.execute("DROP TRIGGER library_on_owner ON contents")
    op.execute("DROP FUNCTION library_on_owner()")
    for by in ("created_at", "taken_at"):
        for name, *_ in _DIRECTIONS:
            op.execute(f"DROP FUNCTION library_scan_{by}_{name}")
    for function in ("catch_up", "refresh", "note", "forget", "entry", "terms_of"):
        op.execute(f"DROP FUNCTION library_{function}")
    for table in ("library_names", "library_terms", "library"):
        op.drop_table(table)
    for function in ("month", "cells", "grams", "term", "fold"):
        op.execute(f"DROP FUNCTION library_{function}")
    op.drop_index("ix_contents_library_after", table_name="contents")
    op.drop_column("contents", "library_after")
