"""Which of an item's words were read in its file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("told_by_file", JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("items", "told_by_file")
