"""Uploads and items of contributors. Their indexes come in 0017."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("uploads", "items"):
        op.add_column(table, sa.Column("contributor_id", sa.Uuid(), nullable=True))
        op.add_column(table, sa.Column("contributor_name", sa.Text(), nullable=True))
    op.add_column(
        "contents",
        sa.Column("contributions_closed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_table(
        "removed_contributors",
        sa.Column("contributor_id", sa.Uuid(), nullable=False),
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("contributor_id", name=op.f("pk_removed_contributors")),
    )
    op.create_index(
        "ix_removed_contributors_gallery_id", "removed_contributors", ["gallery_id"], unique=False
    )


def downgrade() -> None:
    op.drop_table("removed_contributors")
    op.drop_column("contents", "contributions_closed")
    for table in ("items", "uploads"):
        op.drop_column(table, "contributor_name")
        op.drop_column(table, "contributor_id")
