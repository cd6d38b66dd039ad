"""Caps on views and downloads, and what was counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for cap, used in (("max_views", "views_used"), ("max_downloads", "downloads_used")):
        op.add_column("galleries", sa.Column(cap, sa.Integer(), nullable=True))
        op.add_column("galleries", sa.Column(used, sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("galleries", sa.Column("used_up_at", sa.DateTime(timezone=True), nullable=True))
    # Validated in 0013: a scan of the table would keep its readers waiting for this transaction.
    op.create_check_constraint(
        "caps_positive", "galleries", "max_views > 0 AND max_downloads > 0", postgresql_not_valid=True
    )


def downgrade() -> None:
    op.drop_constraint("caps_positive", "galleries", type_="check")
    for column in ("used_up_at", "downloads_used", "max_downloads", "views_used", "max_views"):
        op.drop_column("galleries", column)
