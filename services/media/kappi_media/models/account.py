"""Accounts, their tiers, and the pictures of their posts."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from kappi_media.models.base import metadata

# The last event of a tier. The rules of a deleted tier stay for accounts that have not moved to another yet;
# its row distinguishes old events from new ones.
tiers = Table(
    "tiers",
    metadata,
    # The name in lower case: names that differ only in case are one tier.
    Column("key", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("rendition_sizes", ARRAY(Integer), nullable=False),
    Column("original_access", Boolean, nullable=False),
    Column("expiring_links", Boolean, nullable=False),
    Column("max_file_bytes", BigInteger, nullable=False),
    Column("quota_bytes", BigInteger),
    Column("sequence", BigInteger, nullable=False),
)

# An account's tier, as of the last event, and the bytes it is charged for. The row outlives the account.
accounts = Table(
    "accounts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tier", Text),
    # Of the last event applied; 0: none yet, an upload inserted the row.
    Column("sequence", BigInteger, nullable=False, server_default=text("0")),
    Column("deleted_at", DateTime(timezone=True)),
    # Declared sizes of pending uploads, and sizes of items that are not rejected; also of the pictures of
    # posts. What a gallery holds that the account is claiming is also reserved.
    Column("reserved_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("used_bytes", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("reserved_bytes >= 0", name="reserved_bytes_not_negative"),
    CheckConstraint("used_bytes >= 0", name="used_bytes_not_negative"),
)

# The picture of a post; the galleries service keeps the post. A deleted one leaves its id, so that a late
# picture is not kept.
post_pictures = Table(
    "post_pictures",
    metadata,
    Column("post_id", Uuid, primary_key=True),
    # The account that is charged.
    Column("account_id", Uuid),
    Column("state", Text, nullable=False),
    # What the account is charged: while pending, the largest possible size; then the original and the
    # picture.
    Column("size_bytes", BigInteger, nullable=False),
    # Of the JPEG that is shown.
    Column("picture_bytes", Integer),
    Column("etag", Text),
    CheckConstraint("state IN ('pending', 'stored', 'deleted')", name="state_known"),
    CheckConstraint("size_bytes >= 0", name="size_not_negative"),
    CheckConstraint("state <> 'stored' OR (picture_bytes > 0 AND etag IS NOT NULL)", name="stored_is_shown"),
    CheckConstraint("(state = 'deleted') = (account_id IS NULL)", name="tombstone_is_bare"),
)
