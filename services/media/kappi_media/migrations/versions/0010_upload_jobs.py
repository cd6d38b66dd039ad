"""Work on originals is leased in fair turns (ADR-0033)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("uploads", sa.Column("uploader_address", sa.BigInteger(), nullable=True))
    op.add_column(
        "rendition_claims",
        sa.Column("kills", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
    )
    op.create_table(
        "upload_jobs",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("gallery_id", sa.Uuid(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("anonymous", sa.Boolean(), nullable=False),
        sa.Column("address", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("failures", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("media_id", name=op.f("pk_upload_jobs")),
    )
    op.create_index(
        "ix_upload_jobs_address_tenant_media_id",
        "upload_jobs",
        ["address", "tenant", "media_id"],
        unique=False,
    )
    op.create_index(
        "ix_upload_jobs_leased_until",
        "upload_jobs",
        ["leased_until"],
        unique=False,
        postgresql_where=sa.text("leased_until IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("upload_jobs")
    op.drop_column("rendition_claims", "kills")
    op.drop_column("uploads", "uploader_address")
