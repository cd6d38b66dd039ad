"""Films that are made playable in browsers (ADR-0077)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_FORMAT_CHECK = "ck_renditions_format_known"


def upgrade() -> None:
    op.drop_constraint(op.f(_FORMAT_CHECK), "renditions", type_="check")
    op.create_check_constraint(op.f(_FORMAT_CHECK), "renditions", "format IN ('jpeg', 'webp', 'avif', 'mp4')")
    op.create_table(
        "playbacks",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("folder", sa.BigInteger(), nullable=True),
        sa.Column("original", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("anonymous", sa.Boolean(), nullable=False),
        sa.Column("address", sa.BigInteger(), nullable=False),
        sa.Column("max_seconds", sa.Integer(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("pieces", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("ticks", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sound_packets", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["media_id"], ["items.id"], name=op.f("fk_playbacks_media_id_items"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("media_id", name=op.f("pk_playbacks")),
    )
    op.create_index(
        "ix_playbacks_pending",
        "playbacks",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("failure IS NULL AND NOT original"),
    )


def downgrade() -> None:
    op.drop_table("playbacks")
    op.execute("DELETE FROM renditions WHERE format = 'mp4'")
    op.drop_constraint(op.f(_FORMAT_CHECK), "renditions", type_="check")
    op.create_check_constraint(op.f(_FORMAT_CHECK), "renditions", "format IN ('jpeg', 'webp', 'avif')")
