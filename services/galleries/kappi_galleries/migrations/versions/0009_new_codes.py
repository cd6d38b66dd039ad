"""Which gallery was given another code, and when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("used_codes", sa.Column("gallery_id", sa.Uuid(), nullable=True))
    op.add_column("used_codes", sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_used_codes_gallery_id_taken_at",
        "used_codes",
        ["gallery_id", "taken_at"],
        postgresql_where=sa.text("gallery_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_used_codes_gallery_id_taken_at", table_name="used_codes")
    op.drop_column("used_codes", "taken_at")
    op.drop_column("used_codes", "gallery_id")
