"""Multipart uploads, placeholders, checksums, Live Photo pairs, rendition formats, location-free copies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FLAGS = (("uploads", "posted"), ("contents", "location_free"))


def upgrade() -> None:
    _change_uploads_and_contents()
    _change_items()
    _add_formats()
    _make_location_free_copies()


def _change_uploads_and_contents() -> None:
    op.add_column("uploads", sa.Column("part_size_bytes", sa.BigInteger(), nullable=True))
    op.add_column("uploads", sa.Column("multipart_id", sa.Text(), nullable=True))
    op.add_column("uploads", sa.Column("joining_until", sa.DateTime(timezone=True), nullable=True))
    for table, column in _FLAGS:
        op.add_column(table, sa.Column(column, sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(
        "contents", sa.Column("face_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_uploads_multipart_has_parts"), "uploads", "multipart_id IS NULL OR part_size_bytes > 0"
    )


def _change_items() -> None:
    op.add_column("items", sa.Column("taken_offset_minutes", sa.SmallInteger(), nullable=True))
    op.add_column("items", sa.Column("placeholder", sa.LargeBinary(), nullable=True))
    op.add_column("items", sa.Column("crc32", sa.BigInteger(), nullable=True))
    op.add_column("items", sa.Column("live_id", sa.Text(), nullable=True))
    op.add_column("items", sa.Column("live_partner_id", sa.Uuid(), nullable=True))
    op.add_column("items", sa.Column("tags_missed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_items_live_id",
        "items",
        ["gallery_id", "live_id"],
        unique=False,
        postgresql_where=sa.text("live_id IS NOT NULL"),
    )
    op.create_index(
        "ix_items_unprobed",
        "items",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'processing' AND width IS NULL"),
    )


def _add_formats() -> None:
    for table in ("renditions", "rendition_claims"):
        op.add_column(table, sa.Column("format", sa.Text(), server_default=sa.text("'jpeg'"), nullable=False))
        op.drop_constraint(op.f(f"pk_{table}"), table, type_="primary")
        op.create_primary_key(op.f(f"pk_{table}"), table, ["media_id", "size", "format"])
    op.create_check_constraint(
        op.f("ck_renditions_format_known"), "renditions", "format IN ('jpeg', 'webp', 'avif')"
    )


def _make_location_free_copies() -> None:
    op.create_table(
        "location_free_copies",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("crc32", sa.BigInteger(), nullable=True),
        sa.Column("unchanged", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["media_id"],
            ["items.id"],
            name=op.f("fk_location_free_copies_media_id_items"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("media_id", name=op.f("pk_location_free_copies")),
    )


def downgrade() -> None:
    op.drop_table("location_free_copies")
    op.drop_constraint(op.f("ck_renditions_format_known"), "renditions", type_="check")
    for table in ("renditions", "rendition_claims"):
        op.execute(f"DELETE FROM {table} WHERE format <> 'jpeg'")  # noqa: S608 - the two names above
        op.drop_constraint(op.f(f"pk_{table}"), table, type_="primary")
        op.create_primary_key(op.f(f"pk_{table}"), table, ["media_id", "size"])
        op.drop_column(table, "format")
    op.drop_index("ix_items_unprobed", table_name="items")
    op.drop_index("ix_items_live_id", table_name="items")
    for column in (
        "tags_missed_at",
        "live_partner_id",
        "live_id",
        "crc32",
        "placeholder",
        "taken_offset_minutes",
    ):
        op.drop_column("items", column)
    op.drop_constraint(op.f("ck_uploads_multipart_has_parts"), "uploads", type_="check")
    op.drop_column("contents", "face_version")
    for table, column in _FLAGS:
        op.drop_column(table, column)
    op.drop_column("uploads", "joining_until")
    op.drop_column("uploads", "multipart_id")
    op.drop_column("uploads", "part_size_bytes")
