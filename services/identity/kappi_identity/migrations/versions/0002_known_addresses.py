"""Create the addresses that an account logged in from, so that guesses from elsewhere do not lock it out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "known_addresses",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_known_addresses_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", "address_hash", name=op.f("pk_known_addresses")),
    )
    op.create_index("ix_known_addresses_seen_at", "known_addresses", ["seen_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_known_addresses_seen_at", table_name="known_addresses")
    op.drop_table("known_addresses")
