"""The sort keys of items that were moved in their gallery."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("position", sa.LargeBinary(), nullable=True))
    op.create_index(
        "ix_items_gallery_id_position",
        "items",
        ["gallery_id", sa.text("coalesce(position, uuid_send(id))")],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("ix_items_gallery_id_position", table_name="items")
    op.drop_column("items", "position")
