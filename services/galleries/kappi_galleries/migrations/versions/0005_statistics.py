"""Create daily counters of accesses to galleries (ADR-0024)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_access_days()
    _create_access_item_days()
    _create_access_trait_days()
    _create_access_total_days()
    _create_buried_statistics()


def _create_access_days() -> None:
    op.create_table(
        "access_days",
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", "day", "kind", name=op.f("pk_access_days")),
    )
    op.create_index("ix_access_days_day", "access_days", ["day"], unique=False)


def _create_access_item_days() -> None:
    op.create_table(
        "access_item_days",
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", "day", "media_id", "kind", name=op.f("pk_access_item_days")),
    )
    op.create_index("ix_access_item_days_day", "access_item_days", ["day"], unique=False)
    op.create_index("ix_access_item_days_media_id", "access_item_days", ["media_id"], unique=False)


def _create_access_trait_days() -> None:
    op.create_table(
        "access_trait_days",
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("trait", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", "day", "trait", "value", name=op.f("pk_access_trait_days")),
    )
    op.create_index("ix_access_trait_days_day", "access_trait_days", ["day"], unique=False)


def _create_access_total_days() -> None:
    op.create_table(
        "access_total_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("trait", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "trait", "value", name=op.f("pk_access_total_days")),
    )


def _create_buried_statistics() -> None:
    op.create_table(
        "buried_statistics",
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", name=op.f("pk_buried_statistics")),
    )


def downgrade() -> None:
    for table in (
        "buried_statistics",
        "access_total_days",
        "access_trait_days",
        "access_item_days",
        "access_days",
    ):
        op.drop_table(table)
