"""Purges of an item with all its folders, and of one of them; stricter about what a prefix is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FOLDERS = "^(galleries/[^/]+/([^/]+/)?|posts/[^/]+/)$"
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ITEMS_AND_FOLDERS = f"^(galleries/{_UUID}/({_UUID}(/|[.][0-9]+/)?)?|posts/{_UUID}/)$"


def upgrade() -> None:
    op.drop_constraint(op.f("ck_purges_prefix_is_a_folder"), "purges", type_="check")
    op.create_check_constraint(
        op.f("ck_purges_prefix_may_be_purged"), "purges", f"prefix ~ '{_ITEMS_AND_FOLDERS}'"
    )
    op.create_index(
        "ix_purges_media_id",
        "purges",
        ["media_id"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_purges_media_id", table_name="purges")
    op.drop_constraint(op.f("ck_purges_prefix_may_be_purged"), "purges", type_="check")
    # A purge of an item becomes one of the folder it was uploaded to, unless there is one already.
    op.execute(
        "UPDATE purges AS p SET prefix = p.prefix || '/' WHERE p.prefix !~ '/$'"
        " AND NOT EXISTS (SELECT FROM purges q WHERE q.prefix = p.prefix || '/')"
    )
    op.execute("DELETE FROM purges WHERE prefix !~ '/$'")
    op.create_check_constraint(op.f("ck_purges_prefix_is_a_folder"), "purges", f"prefix ~ '{_FOLDERS}'")
