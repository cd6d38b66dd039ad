"""Contributors of galleries, and the items that they added. The index of these comes in 0013."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "galleries",
        sa.Column("contributions", sa.Text(), server_default=sa.text("'closed'"), nullable=False),
    )
    op.create_check_constraint(
        "contributions_known",
        "galleries",
        "contributions IN ('closed', 'open', 'drop')",
        postgresql_not_valid=True,
    )
    op.create_table(
        "contributors",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("key_hash", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(removed_at IS NULL) = (key_hash IS NOT NULL) AND (removed_at IS NULL OR name IS NULL)",
            name=op.f("ck_contributors_removed_is_bare"),
        ),
        sa.ForeignKeyConstraint(
            ["gallery_id"], ["galleries.id"], name=op.f("fk_contributors_gallery_id_galleries")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contributors")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_contributors_key_hash")),
    )
    op.create_index("ix_contributors_gallery_id_id", "contributors", ["gallery_id", "id"], unique=False)
    op.add_column("gallery_items", sa.Column("contributor_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("gallery_items", "contributor_id")
    op.drop_table("contributors")
    op.drop_constraint("contributions_known", "galleries", type_="check")
    op.drop_column("galleries", "contributions")
