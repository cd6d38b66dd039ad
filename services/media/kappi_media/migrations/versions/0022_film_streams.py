"""Long films in two sizes, and the segments in which they are played (ADR-0079)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from kappi_chassis.db.migrations import create_index_concurrently
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_QUEUED = sa.text("failure IS NULL AND (two_sizes OR NOT original)")


def upgrade() -> None:
    two_sizes: sa.Column[bool] = sa.Column(
        "two_sizes", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("playbacks", two_sizes, if_not_exists=True)
    op.create_table(
        "film_streams",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("size", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), server_default=sa.text("'mp4'"), nullable=False),
        sa.Column("codecs", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("init_bytes", sa.Integer(), nullable=False),
        sa.Column("segment_bytes", ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("segment_ticks", ARRAY(sa.BigInteger()), nullable=False),
        sa.ForeignKeyConstraint(
            ["media_id", "size", "format"],
            ["renditions.media_id", "renditions.size", "renditions.format"],
            name=op.f("fk_film_streams_media_id_renditions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("media_id", "size", name=op.f("pk_film_streams")),
        if_not_exists=True,
    )
    create_index_concurrently("ix_playbacks_queued", "playbacks", ["requested_at"], where=_QUEUED)
    op.drop_index("ix_playbacks_pending", table_name="playbacks", if_exists=True)


def downgrade() -> None:
    op.create_index(
        "ix_playbacks_pending",
        "playbacks",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("failure IS NULL AND NOT original"),
    )
    op.drop_index("ix_playbacks_queued", table_name="playbacks")
    op.drop_table("film_streams")
    op.execute("DELETE FROM renditions WHERE size = 'playback-480'")
    op.drop_column("playbacks", "two_sizes")
