"""Create the due dates of expiring links."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "due_links",
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("sequence >= 0", name=op.f("ck_due_links_sequence_not_negative")),
        sa.PrimaryKeyConstraint("link_id", name=op.f("pk_due_links")),
    )
    op.create_index(
        "ix_due_links_claimed_at",
        "due_links",
        ["claimed_at"],
        unique=False,
        postgresql_where=sa.text("claimed_at IS NOT NULL"),
    )
    op.create_index(
        "ix_due_links_expires_at",
        "due_links",
        ["expires_at", "link_id"],
        unique=False,
        postgresql_where=sa.text("claimed_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_due_links_expires_at", table_name="due_links", postgresql_where=sa.text("claimed_at IS NULL")
    )
    op.drop_index(
        "ix_due_links_claimed_at", table_name="due_links", postgresql_where=sa.text("claimed_at IS NOT NULL")
    )
    op.drop_table("due_links")
