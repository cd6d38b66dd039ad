"""The tables of the galleries database."""

from __future__ import annotations

from typing import Final

from kappi_chassis.db import (
    idempotency_table,
    inbox_table,
    naming_convention,
    outbox_table,
    reconciliations_table,
)
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

metadata = MetaData(naming_convention=naming_convention)

galleries = Table(
    "galleries",
    metadata,
    Column("id", Uuid, primary_key=True),
    # The tombstone keeps the code, so that an old link never opens another gallery.
    Column("code", Text),
    Column("owner_id", Uuid),
    Column("visibility", Text, nullable=False),
    Column("title", Text),
    Column("access_key_hash", LargeBinary),
    Column("password_hash", Text),
    Column("expires_at", DateTime(timezone=True)),
    # The item that its manager named as cover.
    Column("cover_media_id", Uuid),
    # Viewers get copies of originals that do not hold where they were taken.
    Column("location_free", Boolean, nullable=False, server_default=text("false")),
    # The newest standing decision by which an administrator took the gallery down, and the reason that its
    # manager is shown.
    Column("takedown_id", Uuid),
    Column("takedown_reason", Text),
    Column("owner_suspended", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("deleted_at", DateTime(timezone=True)),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    Column("item_count", BigInteger, nullable=False, server_default=text("0")),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
    # The caps on views and downloads, NULL for none, and what was counted since they were set.
    Column("max_views", Integer),
    Column("views_used", Integer, nullable=False, server_default=text("0")),
    Column("max_downloads", Integer),
    Column("downloads_used", Integer, nullable=False, server_default=text("0")),
    # When a cap was reached; NULL while none is.
    Column("used_up_at", DateTime(timezone=True)),
    # Whether holders of the code may add items.
    Column("contributions", Text, nullable=False, server_default=text("'closed'")),
    UniqueConstraint("code"),
    UniqueConstraint("access_key_hash"),
    CheckConstraint("visibility IN ('shared', 'private')", name="visibility_known"),
    CheckConstraint("owner_id IS NOT NULL OR access_key_hash IS NOT NULL", name="somebody_manages_it"),
    CheckConstraint("item_count >= 0 AND size_bytes >= 0", name="counters_not_negative"),
    CheckConstraint("max_views > 0 AND max_downloads > 0", name="caps_positive"),
    CheckConstraint("contributions IN ('closed', 'open', 'drop')", name="contributions_known"),
    CheckConstraint(
        "deleted_at IS NULL"
        " OR (title IS NULL AND password_hash IS NULL AND item_count = 0 AND size_bytes = 0)",
        name="tombstone_is_bare",
    ),
    CheckConstraint(
        "owner_id IS NULL OR (expires_at IS NULL AND access_key_hash IS NULL)",
        name="accounts_alone_manage_theirs",
    ),
    CheckConstraint(
        "owner_id IS NOT NULL OR (visibility = 'shared' AND password_hash IS NULL)",
        name="anonymous_is_open",
    ),
    Index("ix_galleries_owner_id", "owner_id", "id", postgresql_where=text("deleted_at IS NULL")),
)

contributors = Table(
    "contributors",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("gallery_id", Uuid, ForeignKey("galleries.id"), nullable=False),
    Column("name", Text),
    Column("key_hash", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False),
    # The row of a removed contributor stays, so that its items can be deleted later.
    Column("removed_at", DateTime(timezone=True)),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    UniqueConstraint("key_hash"),
    CheckConstraint(
        "(removed_at IS NULL) = (key_hash IS NOT NULL) AND (removed_at IS NULL OR name IS NULL)",
        name="removed_is_bare",
    ),
    Index("ix_contributors_gallery_id_id", "gallery_id", "id"),
)

standing_takedowns = Table(
    "standing_takedowns",
    metadata,
    # Each decision is lifted separately. A gallery is down while it has a row here.
    Column("takedown_id", Uuid, primary_key=True),
    Column("gallery_id", Uuid, nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_standing_takedowns_gallery_id", "gallery_id"),
)

used_codes = Table(
    "used_codes",
    metadata,
    # Every code that was ever assigned, replaced ones included, so that an old link never opens another
    # gallery.
    Column("code", Text, primary_key=True),
    # Set for a code that replaced another one. A gallery gets a limited number of these in a day.
    Column("gallery_id", Uuid),
    Column("taken_at", DateTime(timezone=True)),
    Index(
        "ix_used_codes_gallery_id_taken_at",
        "gallery_id",
        "taken_at",
        postgresql_where=text("gallery_id IS NOT NULL"),
    ),
)

gallery_items = Table(
    "gallery_items",
    metadata,
    Column("media_id", Uuid, primary_key=True),
    Column("gallery_id", Uuid, ForeignKey("galleries.id"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # An event about the item named another gallery, too. The row is kept after the deletion of its gallery,
    # because a late event would otherwise count the item again.
    Column("moved", Boolean, nullable=False, server_default=text("false")),
    # The contributor that added it.
    Column("contributor_id", Uuid),
    CheckConstraint("state IN ('ready', 'deleted')", name="state_known"),
    Index("ix_gallery_items_gallery_id", "gallery_id"),
    Index(
        "ix_gallery_items_contributor_id",
        "contributor_id",
        postgresql_where=text("contributor_id IS NOT NULL"),
    ),
)

deleted_accounts = Table(
    "deleted_accounts",
    metadata,
    # An access token outlives its account by minutes. The row stops it from creating galleries in that time.
    Column("account_id", Uuid, primary_key=True),
    Column("deleted_at", DateTime(timezone=True), nullable=False),
)

suspended_accounts = Table(
    "suspended_accounts",
    metadata,
    # The state in the newest event. The row is kept after a suspension ends, so that an older event changes
    # nothing.
    Column("account_id", Uuid, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("suspended", Boolean, nullable=False),
)

authors = Table(
    "authors",
    metadata,
    # Accounts that posted or commented, with the name in their latest access token. A deleted account stays
    # as a tombstone, because its token outlives it by minutes.
    Column("account_id", Uuid, primary_key=True),
    Column("display_name", Text),
    # When the token that holds the name was issued.
    Column("named_at", DateTime(timezone=True), nullable=False),
    Column("deleted_at", DateTime(timezone=True)),
    CheckConstraint("deleted_at IS NULL OR display_name IS NULL", name="tombstone_is_bare"),
)

posts = Table(
    "posts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("author_id", Uuid, nullable=False),
    # draft: the picture is being stored, and the post is not visible. deleted: the comments are being
    # removed.
    Column("state", Text, nullable=False),
    Column("caption", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("comment_count", BigInteger, nullable=False, server_default=text("0")),
    # The largest count that the post fell from within a day, the time of its last fall, and the transaction
    # that caused it. A reader of the list is not shown again a post that fell behind the place where it was
    # shown before (ADR-0022).
    Column("dropped_from", BigInteger),
    Column("dropped_at", DateTime(timezone=True)),
    Column("dropped_xid", BigInteger),
    CheckConstraint("state IN ('draft', 'live', 'deleted')", name="state_known"),
    CheckConstraint("comment_count >= 0", name="comment_count_not_negative"),
    CheckConstraint("state = 'live' OR (caption IS NULL AND comment_count = 0)", name="only_live_tell"),
    Index(
        "ix_posts_by_comments",
        text("comment_count DESC"),
        text("id DESC"),
        postgresql_where=text("state = 'live'"),
    ),
    Index("ix_posts_author_id_id", "author_id", "id"),
    Index("ix_posts_drafts", "created_at", postgresql_where=text("state = 'draft'")),
)

comments = Table(
    "comments",
    metadata,
    # UUIDv7, which gives the order of a post's comments.
    Column("id", Uuid, primary_key=True),
    Column("post_id", Uuid, ForeignKey("posts.id"), nullable=False),
    Column("author_id", Uuid, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("ix_comments_post_id_id", "post_id", "id"),
    Index("ix_comments_author_id_id", "author_id", "id"),
)

password_attempts = Table(
    "password_attempts",
    metadata,
    # A keyed hash of gallery and client, so that no address is stored.
    Column("subject_hash", LargeBinary, primary_key=True),
    Column("spent_until", DateTime(timezone=True), nullable=False),
    Index("ix_password_attempts_spent_until", "spent_until"),
)

# The accesses to a gallery on a UTC day (ADR-0024), by kind, by item and by viewer trait. They are three
# tables because these counts are not crossed.
access_days = Table(
    "access_days",
    metadata,
    Column("gallery_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Index("ix_access_days_day", "day"),
)

access_item_days = Table(
    "access_item_days",
    metadata,
    Column("gallery_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("media_id", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Index("ix_access_item_days_day", "day"),
    Index("ix_access_item_days_media_id", "media_id"),
)

access_trait_days = Table(
    "access_trait_days",
    metadata,
    Column("gallery_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("trait", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Index("ix_access_trait_days_day", "day"),
)

# The sums over all galleries, deleted ones included; no gallery is named. trait: may also be `kind`.
access_total_days = Table(
    "access_total_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("trait", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# Deleted galleries that still have many counters, which the next tick removes.
buried_statistics = Table(
    "buried_statistics",
    metadata,
    Column("gallery_id", Uuid, primary_key=True),
)

outbox = outbox_table(metadata)
inbox = inbox_table(metadata)
idempotency = idempotency_table(metadata)
reconciliations = reconciliations_table(metadata)

VERSIONS: Final = (galleries.c.version, contributors.c.version, posts.c.version)
"""The columns from which the sequences of published events are taken."""
