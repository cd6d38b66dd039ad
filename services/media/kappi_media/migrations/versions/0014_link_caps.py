"""Caps on expiring links, and how often a capped one was followed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("max_views", sa.Integer(), nullable=True))
    op.add_column("links", sa.Column("max_downloads", sa.Integer(), nullable=True))
    op.add_column(
        "links", sa.Column("follow_count", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )


def downgrade() -> None:
    for column in ("follow_count", "max_downloads", "max_views"):
        op.drop_column("links", column)
