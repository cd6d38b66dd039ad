"""Budgets of what is promised to anonymous galleries and not completed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Rows are locked in the order of their holders. A statement of a function sees what was committed before it:
# the sums are those after waiting for the rows. A batch beyond a budget leaves no trace.
_TAKE = """
CREATE FUNCTION take_promise_budget(
  address uuid, gallery uuid, added_files bigint, added_bytes bigint,
  address_files bigint, address_bytes bigint, gallery_files bigint, gallery_bytes bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  beyond boolean;
BEGIN
  WITH taken AS (
    INSERT INTO promise_budgets AS b (holder, files, bytes)
    VALUES (least(address, gallery), added_files, added_bytes),
      (greatest(address, gallery), added_files, added_bytes)
    ON CONFLICT (holder) DO UPDATE SET files = b.files + excluded.files, bytes = b.bytes + excluded.bytes
    RETURNING holder, files, bytes)
  SELECT bool_or(CASE WHEN holder = address THEN files > address_files OR bytes > address_bytes
    ELSE files > gallery_files OR bytes > gallery_bytes END)
  INTO beyond FROM taken;
  IF beyond THEN
    PERFORM free_promise_budgets(ARRAY[address, gallery], ARRAY[added_files, added_files],
      ARRAY[added_bytes, added_bytes]);
  END IF;
  RETURN NOT beyond;
END
$$
"""
# One row after the other, in order: two that free the same budgets never wait for each other.
_FREE = """
CREATE FUNCTION free_promise_budgets(holders uuid[], freed_files bigint[], freed_bytes bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  freed record;
BEGIN
  FOR freed IN
    SELECT f.holder, sum(f.files)::bigint AS files, sum(f.bytes)::bigint AS bytes
    FROM unnest(holders, freed_files, freed_bytes) AS f (holder, files, bytes) GROUP BY 1 ORDER BY 1
  LOOP
    UPDATE promise_budgets b SET files = b.files - freed.files, bytes = b.bytes - freed.bytes
    WHERE b.holder = freed.holder;
  END LOOP;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "promise_budgets",
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("files >= 0 AND bytes >= 0", name=op.f("ck_promise_budgets_not_negative")),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_promise_budgets")),
    )
    op.create_table(
        "ended_promises",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ended_promises")),
    )
    for column in ("address_id", "gallery_id", "ended_at"):
        op.create_index(f"ix_ended_promises_{column}", "ended_promises", [column], unique=False)
    # Uploads that are pending already have none: they count for no budget.
    op.add_column("uploads", sa.Column("address_id", sa.Uuid(), nullable=True))
    op.execute(_FREE)
    op.execute(_TAKE)


def downgrade() -> None:
    op.execute("DROP FUNCTION take_promise_budget")
    op.execute("DROP FUNCTION free_promise_budgets")
    op.drop_column("uploads", "address_id")
    op.drop_table("ended_promises")
    op.drop_table("promise_budgets")
