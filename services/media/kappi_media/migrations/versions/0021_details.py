"""More facts of items, and the RAW and the picture of one shot."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from kappi_chassis.db.migrations import create_index_concurrently
from sqlalchemy.dialects.postgresql import JSONB

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("details", JSONB(), nullable=True), if_not_exists=True)
    op.add_column("items", sa.Column("raw_partner_id", sa.Uuid(), nullable=True), if_not_exists=True)
    has_raw: sa.Column[bool] = sa.Column(
        "has_camera_raw", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("contents", has_raw, if_not_exists=True)
    alone = sa.text("kind = 'image' AND status = 'ready' AND taken_at IS NOT NULL AND raw_partner_id IS NULL")
    stem = sa.text(r"lower(regexp_replace(filename, '\.[^.]*$', ''))")
    columns: list[str | sa.TextClause] = ["gallery_id", stem, "content_type", "taken_at"]
    create_index_concurrently("ix_items_raw_partner", "items", columns, where=alone)


def downgrade() -> None:
    op.drop_index("ix_items_raw_partner", table_name="items")
    op.drop_column("contents", "has_camera_raw")
    op.drop_column("items", "raw_partner_id")
    op.drop_column("items", "details")
