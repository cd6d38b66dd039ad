"""Add tiers, accounts and what they store, the owner of a gallery, expiring links, claims of renditions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contents", sa.Column("owner_id", sa.Uuid(), nullable=True))
    _make_tiers()
    _make_accounts()
    _make_rendition_claims()
    _make_links()


def _make_tiers() -> None:
    op.create_table(
        "tiers",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rendition_sizes", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("original_access", sa.Boolean(), nullable=False),
        sa.Column("expiring_links", sa.Boolean(), nullable=False),
        sa.Column("max_file_bytes", sa.BigInteger(), nullable=False),
        sa.Column("quota_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_tiers")),
    )


def _make_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reserved_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("reserved_bytes >= 0", name=op.f("ck_accounts_reserved_bytes_not_negative")),
        sa.CheckConstraint("used_bytes >= 0", name=op.f("ck_accounts_used_bytes_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )


def _make_rendition_claims() -> None:
    op.create_table(
        "rendition_claims",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("size", sa.Text(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["media_id"], ["items.id"], name=op.f("fk_rendition_claims_media_id_items"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("media_id", "size", name=op.f("pk_rendition_claims")),
    )


def _make_links() -> None:
    op.create_table(
        "links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("valid_for_s", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["media_id"], ["items.id"], name=op.f("fk_links_media_id_items"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_links")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_links_token_hash")),
    )
    op.create_index("ix_links_media_id_id", "links", ["media_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_links_media_id_id", table_name="links")
    op.drop_table("links")
    op.drop_table("rendition_claims")
    op.drop_table("accounts")
    op.drop_table("tiers")
    op.drop_column("contents", "owner_id")
