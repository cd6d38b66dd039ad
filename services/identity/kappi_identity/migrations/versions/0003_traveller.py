"""Add the tier of new accounts, which grants no less than a gallery without an account has."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A tier of this name that an administrator created is kept as it is.
    op.execute("""
        INSERT INTO tiers AS t (
          name, rendition_sizes, original_access, expiring_links, max_file_bytes, quota_bytes, announced)
        VALUES ('Traveller', '{200, 400, 2048}', true, false, 5368709120, 53687091200, false)
        ON CONFLICT (lower(name)) DO UPDATE SET deleted_at = NULL, version = t.version + 1, announced = false
        WHERE t.deleted_at IS NOT NULL
    """)


def downgrade() -> None:
    op.execute("UPDATE accounts SET tier = 'Basic' WHERE tier = 'Traveller'")
    op.execute("DELETE FROM tiers WHERE name = 'Traveller'")
