"""The item that stands for a gallery."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("galleries", sa.Column("cover_media_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("galleries", "cover_media_id")
