"""Moving items between galleries of their owner (ADR-0025)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("folder", sa.BigInteger(), nullable=True))
    op.execute("CREATE SEQUENCE object_folders")
    op.create_table(
        "moves",
        sa.Column("folder", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("moved", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.PrimaryKeyConstraint("folder", name=op.f("pk_moves")),
    )
    op.create_index(
        "uq_moves_pending", "moves", ["media_id"], unique=True, postgresql_where=sa.text("done_at IS NULL")
    )
    op.create_index(
        "ix_moves_pending",
        "moves",
        ["account_id", "folder"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_index("ix_moves_media_id", "moves", ["media_id", "folder"], unique=False)
    op.create_index("ix_moves_account_id", "moves", ["account_id", "done_at"], unique=False)
    op.create_index("ix_moves_done_at", "moves", ["done_at"], unique=False)


def downgrade() -> None:
    op.drop_table("moves")
    op.execute("DROP SEQUENCE object_folders")
    op.drop_column("items", "folder")
