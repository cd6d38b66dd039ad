"""Purges of the pictures of posts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_GALLERIES = "^galleries/[^/]+/([^/]+/)?$"
_GALLERIES_AND_POSTS = "^(galleries/[^/]+/([^/]+/)?|posts/[^/]+/)$"


def upgrade() -> None:
    op.add_column("purges", sa.Column("post_id", sa.Uuid(), nullable=True))
    op.add_column(
        "purges", sa.Column("published", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.alter_column("purges", "gallery_id", existing_type=sa.Uuid(), nullable=True)
    op.create_check_constraint(
        op.f("ck_purges_of_gallery_or_post"), "purges", "(gallery_id IS NULL) <> (post_id IS NULL)"
    )
    _allow(_GALLERIES_AND_POSTS)


def downgrade() -> None:
    op.execute("DELETE FROM purges WHERE post_id IS NOT NULL")
    _allow(_GALLERIES)
    op.drop_constraint(op.f("ck_purges_of_gallery_or_post"), "purges", type_="check")
    op.alter_column("purges", "gallery_id", existing_type=sa.Uuid(), nullable=False)
    op.drop_column("purges", "published")
    op.drop_column("purges", "post_id")


def _allow(prefixes: str) -> None:
    op.drop_constraint(op.f("ck_purges_prefix_is_a_folder"), "purges", type_="check")
    op.create_check_constraint(op.f("ck_purges_prefix_is_a_folder"), "purges", f"prefix ~ '{prefixes}'")
