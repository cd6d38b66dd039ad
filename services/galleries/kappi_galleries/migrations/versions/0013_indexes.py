"""The checks of caps and contributions, and the index of contributed items, while their tables are read and
written.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from kappi_chassis.db.migrations import create_index_concurrently, validate_check

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    validate_check("ck_galleries_caps_positive", "galleries")
    validate_check("ck_galleries_contributions_known", "galleries")
    create_index_concurrently(
        "ix_gallery_items_contributor_id",
        "gallery_items",
        ["contributor_id"],
        where=sa.text("contributor_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_gallery_items_contributor_id", table_name="gallery_items")
