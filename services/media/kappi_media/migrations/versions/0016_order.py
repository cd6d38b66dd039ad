"""The sort keys of items that were moved in their gallery. Their index comes in 0017."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("position", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("items", "position")
