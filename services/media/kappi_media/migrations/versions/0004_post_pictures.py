"""Pictures of posts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "post_pictures",
        sa.Column("post_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("picture_bytes", sa.Integer(), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'stored', 'deleted')", name=op.f("ck_post_pictures_state_known")
        ),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_post_pictures_size_not_negative")),
        sa.CheckConstraint(
            "state <> 'stored' OR (picture_bytes > 0 AND etag IS NOT NULL)",
            name=op.f("ck_post_pictures_stored_is_shown"),
        ),
        sa.CheckConstraint(
            "(state = 'deleted') = (account_id IS NULL)", name=op.f("ck_post_pictures_tombstone_is_bare")
        ),
        sa.PrimaryKeyConstraint("post_id", name=op.f("pk_post_pictures")),
    )


def downgrade() -> None:
    op.drop_table("post_pictures")
