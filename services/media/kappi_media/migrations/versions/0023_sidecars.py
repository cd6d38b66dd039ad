"""XMP sidecars that belong to pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_CHARGED_TABLES = ("uploads", "items")


def upgrade() -> None:
    for table in _CHARGED_TABLES:
        sidecar_bytes: sa.Column[int] = sa.Column(
            "sidecar_bytes", sa.BigInteger(), nullable=False, server_default=sa.text("0")
        )
        op.add_column(table, sidecar_bytes, if_not_exists=True)
        charged: sa.Column[int] = sa.Column(
            "charged_bytes",
            sa.BigInteger(),
            sa.Computed("size_bytes + sidecar_bytes", persisted=False),
            nullable=True,
        )
        op.add_column(table, charged, if_not_exists=True)
    op.add_column("items", sa.Column("sidecar_filename", sa.Text(), nullable=True), if_not_exists=True)
    op.create_table(
        "sidecars",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column(
            "media_id", sa.Uuid(), sa.ForeignKey("uploads.media_id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False, server_default=sa.text("'pending'")),
        sa.Column("rejection_reason", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("crc32", sa.BigInteger(), nullable=True),
        sa.Column("words", JSONB(), nullable=True),
        sa.UniqueConstraint("media_id"),
        sa.CheckConstraint(
            "state IN ('pending', 'completed', 'rejected', 'aborted')", name=op.f("ck_sidecars_state_known")
        ),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_sidecars_size_positive")),
    )
    op.create_index(
        "ix_sidecars_pending", "sidecars", ["expires_at"], postgresql_where=sa.text("state = 'pending'")
    )


def downgrade() -> None:
    op.drop_table("sidecars")
    op.drop_column("items", "sidecar_filename")
    for table in _CHARGED_TABLES:
        op.drop_column(table, "charged_bytes")
        op.drop_column(table, "sidecar_bytes")
