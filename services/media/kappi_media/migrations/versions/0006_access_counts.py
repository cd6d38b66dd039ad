"""What accounts use, by day and type, and the access log of galleries (ADR-0024)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_DAY = "(created_at AT TIME ZONE 'UTC')::date"

# A gallery that is behind is counted whole by the running service, which holds its `contents` row meanwhile.
_BEHIND = """
CREATE FUNCTION usage_is_behind(gallery uuid) RETURNS boolean LANGUAGE sql AS $$
  SELECT EXISTS (SELECT FROM contents WHERE gallery_id = gallery AND usage_behind)
$$
"""
_COUNT_ADDED = f"""
CREATE FUNCTION count_added_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO usage_days AS u (gallery_id, day, content_type, item_count, size_bytes)
  SELECT gallery_id, {_DAY}, content_type, count(*), sum(size_bytes)
  FROM added a WHERE status <> 'rejected'
    AND NOT EXISTS (SELECT FROM contents c WHERE c.gallery_id = a.gallery_id AND c.usage_behind)
  GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
  ON CONFLICT (gallery_id, day, content_type) DO UPDATE
  SET item_count = u.item_count + excluded.item_count, size_bytes = u.size_bytes + excluded.size_bytes;
  RETURN NULL;
END $$
"""  # noqa: S608 - the expression above
_COUNT_REMOVED = f"""
CREATE FUNCTION count_removed_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  WITH gone AS (
    SELECT gallery_id, {_DAY} AS day, content_type, count(*) AS item_count, sum(size_bytes) AS size_bytes
    FROM removed r WHERE status <> 'rejected'
      AND NOT EXISTS (SELECT FROM contents c WHERE c.gallery_id = r.gallery_id AND c.usage_behind)
    GROUP BY 1, 2, 3
  ), left_over AS (
    UPDATE usage_days u
    SET item_count = u.item_count - gone.item_count, size_bytes = u.size_bytes - gone.size_bytes
    FROM gone
    WHERE u.gallery_id = gone.gallery_id AND u.day = gone.day AND u.content_type = gone.content_type
      AND u.item_count <> gone.item_count
  )
  DELETE FROM usage_days u USING gone
  WHERE u.gallery_id = gone.gallery_id AND u.day = gone.day AND u.content_type = gone.content_type
    AND u.item_count = gone.item_count;
  RETURN NULL;
END $$
"""  # noqa: S608 - the expression above
_COUNT_CHANGED = """
CREATE FUNCTION count_changed_item() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  old_day date := (OLD.created_at AT TIME ZONE 'UTC')::date;
  new_day date := (NEW.created_at AT TIME ZONE 'UTC')::date;
BEGIN
  IF OLD.status <> 'rejected' AND NOT usage_is_behind(OLD.gallery_id) THEN
    UPDATE usage_days u SET item_count = u.item_count - 1, size_bytes = u.size_bytes - OLD.size_bytes
    WHERE u.gallery_id = OLD.gallery_id AND u.day = old_day AND u.content_type = OLD.content_type;
    DELETE FROM usage_days u
    WHERE u.gallery_id = OLD.gallery_id AND u.day = old_day AND u.content_type = OLD.content_type
      AND u.item_count = 0;
  END IF;
  IF NEW.status <> 'rejected' AND NOT usage_is_behind(NEW.gallery_id) THEN
    INSERT INTO usage_days AS u (gallery_id, day, content_type, item_count, size_bytes)
    VALUES (NEW.gallery_id, new_day, NEW.content_type, 1, NEW.size_bytes)
    ON CONFLICT (gallery_id, day, content_type) DO UPDATE
    SET item_count = u.item_count + 1, size_bytes = u.size_bytes + excluded.size_bytes;
  END IF;
  RETURN NULL;
END $$
"""
_TRIGGERS = (
    (
        "CREATE TRIGGER items_added AFTER INSERT ON items REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION count_added_items()"
    ),
    (
        "CREATE TRIGGER items_removed AFTER DELETE ON items REFERENCING OLD TABLE AS removed "
        "FOR EACH STATEMENT EXECUTE FUNCTION count_removed_items()"
    ),
    # What every other change of an item costs is this comparison.
    (
        "CREATE TRIGGER item_changed AFTER UPDATE ON items FOR EACH ROW "
        "WHEN ((OLD.gallery_id, OLD.content_type, OLD.size_bytes, OLD.status = 'rejected') IS DISTINCT FROM "
        "(NEW.gallery_id, NEW.content_type, NEW.size_bytes, NEW.status = 'rejected')) "
        "EXECUTE FUNCTION count_changed_item()"
    ),
)


def upgrade() -> None:
    _make_usage_days()
    _mark_galleries()
    for statement in (_BEHIND, _COUNT_ADDED, _COUNT_REMOVED, _COUNT_CHANGED, *_TRIGGERS):
        op.execute(statement)
    _make_access_log()


def _make_usage_days() -> None:
    op.create_table(
        "usage_days",
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("item_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("item_count >= 0 AND size_bytes >= 0", name=op.f("ck_usage_days_not_negative")),
        sa.PrimaryKeyConstraint("gallery_id", "day", "content_type", name=op.f("pk_usage_days")),
    )
    op.create_index(
        "ix_contents_owner_id",
        "contents",
        ["owner_id"],
        unique=False,
        postgresql_where=sa.text("owner_id IS NOT NULL"),
    )


def _mark_galleries() -> None:
    # What is there already is counted by the running service, gallery by gallery: no row is written here.
    op.add_column(
        "contents", sa.Column("usage_behind", sa.Boolean(), nullable=False, server_default=sa.text("true"))
    )
    op.alter_column("contents", "usage_behind", server_default=sa.text("false"))
    op.create_index(
        "ix_contents_usage_behind",
        "contents",
        ["gallery_id"],
        unique=False,
        postgresql_where=sa.text("usage_behind"),
    )


def _make_access_log() -> None:
    op.create_table(
        "access_log",
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("count > 0", name=op.f("ck_access_log_count_positive")),
        sa.PrimaryKeyConstraint("gallery_id", "hour", "id", name=op.f("pk_access_log")),
        sa.UniqueConstraint(
            "gallery_id", "hour", "kind", "network", name=op.f("uq_access_log_gallery_id_hour_kind_network")
        ),
    )
    op.create_index("ix_access_log_hour", "access_log", ["hour"], unique=False)
    op.execute("CREATE SEQUENCE access_flushes")


def downgrade() -> None:
    op.execute("DROP SEQUENCE access_flushes")
    op.drop_table("access_log")
    for trigger, function in (
        ("items_added", "count_added_items"),
        ("items_removed", "count_removed_items"),
        ("item_changed", "count_changed_item"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON items")
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP FUNCTION usage_is_behind")
    op.drop_index("ix_contents_usage_behind", table_name="contents")
    op.drop_column("contents", "usage_behind")
    op.drop_index("ix_contents_owner_id", table_name="contents")
    op.drop_table("usage_days")
