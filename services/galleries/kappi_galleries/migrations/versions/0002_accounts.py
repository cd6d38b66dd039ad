"""Let accounts own galleries; add used codes, account tombstones and password attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "used_codes",
        sa.Column("code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_used_codes")),
    )
    op.execute("INSERT INTO used_codes (code) SELECT code FROM galleries WHERE code IS NOT NULL")
    op.create_table(
        "deleted_accounts",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_deleted_accounts")),
    )
    op.create_table(
        "password_attempts",
        sa.Column("subject_hash", sa.LargeBinary(), nullable=False),
        sa.Column("spent_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject_hash", name=op.f("pk_password_attempts")),
    )
    op.create_index("ix_password_attempts_spent_until", "password_attempts", ["spent_until"], unique=False)
    op.create_index(
        "ix_galleries_owner_id",
        "galleries",
        ["owner_id", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_check_constraint(
        op.f("ck_galleries_accounts_alone_manage_theirs"),
        "galleries",
        "owner_id IS NULL OR (expires_at IS NULL AND access_key_hash IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_galleries_anonymous_is_open"),
        "galleries",
        "owner_id IS NOT NULL OR (visibility = 'shared' AND password_hash IS NULL)",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_galleries_anonymous_is_open"), "galleries", type_="check")
    op.drop_constraint(op.f("ck_galleries_accounts_alone_manage_theirs"), "galleries", type_="check")
    op.drop_index(
        "ix_galleries_owner_id", table_name="galleries", postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.drop_index("ix_password_attempts_spent_until", table_name="password_attempts")
    op.drop_table("password_attempts")
    op.drop_table("deleted_accounts")
    op.drop_table("used_codes")
