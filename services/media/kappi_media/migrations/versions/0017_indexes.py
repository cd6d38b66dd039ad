"""The indexes of contributions and of the order, built while their tables are read and written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from kappi_chassis.db.migrations import create_index_concurrently

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pending = sa.text("contributor_id IS NOT NULL AND state = 'pending'")
    contributed = sa.text("contributor_id IS NOT NULL")
    of_contributor = ["gallery_id", "contributor_id"]
    order: list[str | sa.TextClause] = ["gallery_id", sa.text("coalesce(position, uuid_send(id))")]
    create_index_concurrently("ix_uploads_contributed", "uploads", of_contributor, where=pending)
    create_index_concurrently(
        "ix_uploads_contributed_address", "uploads", ["uploader_address"], where=pending
    )
    create_index_concurrently("ix_items_contributor", "items", of_contributor, where=contributed)
    create_index_concurrently("ix_items_gallery_id_position", "items", order)


def downgrade() -> None:
    op.drop_index("ix_items_gallery_id_position", table_name="items")
    op.drop_index("ix_items_contributor", table_name="items")
    op.drop_index("ix_uploads_contributed_address", table_name="uploads")
    op.drop_index("ix_uploads_contributed", table_name="uploads")
