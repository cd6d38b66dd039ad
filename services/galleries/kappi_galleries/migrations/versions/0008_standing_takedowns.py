"""Each take-down of a gallery stands until it is lifted itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "standing_takedowns",
        sa.Column("takedown_id", sa.Uuid(), nullable=False),
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("takedown_id", name=op.f("pk_standing_takedowns")),
    )
    op.create_index("ix_standing_takedowns_gallery_id", "standing_takedowns", ["gallery_id"], unique=False)
    op.execute(
        "INSERT INTO standing_takedowns (takedown_id, gallery_id, reason) "
        "SELECT takedown_id, id, coalesce(takedown_reason, '') FROM galleries WHERE takedown_id IS NOT NULL"
    )
    op.drop_index("ix_galleries_takedown_id", table_name="galleries")


def downgrade() -> None:
    op.create_index(
        "ix_galleries_takedown_id",
        "galleries",
        ["takedown_id"],
        unique=False,
        postgresql_where=sa.text("takedown_id IS NOT NULL"),
    )
    op.drop_table("standing_takedowns")
