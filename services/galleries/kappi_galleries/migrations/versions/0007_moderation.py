"""Add takedowns of galleries and suspended accounts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("galleries", sa.Column("takedown_id", sa.Uuid(), nullable=True))
    op.add_column("galleries", sa.Column("takedown_reason", sa.Text(), nullable=True))
    op.add_column(
        "galleries",
        sa.Column("owner_suspended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_index(
        "ix_galleries_takedown_id",
        "galleries",
        ["takedown_id"],
        unique=False,
        postgresql_where=sa.text("takedown_id IS NOT NULL"),
    )
    op.create_table(
        "suspended_accounts",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_suspended_accounts")),
    )


def downgrade() -> None:
    op.drop_table("suspended_accounts")
    op.drop_index("ix_galleries_takedown_id", table_name="galleries")
    op.drop_column("galleries", "owner_suspended")
    op.drop_column("galleries", "takedown_reason")
    op.drop_column("galleries", "takedown_id")
