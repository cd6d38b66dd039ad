"""Room that is reserved for an anonymous gallery while an account claims it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contents", sa.Column("claimant_id", sa.Uuid(), nullable=True))
    op.add_column("contents", sa.Column("claim_bytes", sa.BigInteger(), nullable=True))
    op.add_column("contents", sa.Column("claim_until", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_contents_claim_is_whole"),
        "contents",
        "num_nulls(claimant_id, claim_bytes, claim_until) IN (0, 3)",
    )
    op.create_index(
        "ix_contents_claim_until",
        "contents",
        ["claim_until"],
        unique=False,
        postgresql_where=sa.text("claim_until IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_contents_claim_until", table_name="contents")
    op.drop_constraint(op.f("ck_contents_claim_is_whole"), "contents")
    op.drop_column("contents", "claim_until")
    op.drop_column("contents", "claim_bytes")
    op.drop_column("contents", "claimant_id")
