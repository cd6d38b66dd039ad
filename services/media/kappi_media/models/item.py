"""Items, what is stored of them, their links and moves, and their tombstones."""

from __future__ import annotations

from kappi_contracts.rendition_formats import STORED_FORMATS
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from kappi_media.models.base import metadata

NAME_STEM = r"lower(regexp_replace(filename, '\.[^.]*$', ''))"
"""A file's name without its extension and without case, as an index of items has it."""

items = Table(
    "items",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("gallery_id", Uuid, nullable=False),
    Column("upload_id", Uuid, nullable=False),
    Column("filename", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("kind", Text),
    Column("status", Text, nullable=False, server_default=text("'processing'")),
    Column("rejection_reason", Text),
    Column("size_bytes", BigInteger, nullable=False),
    # Of its sidecar, from the reservation on, and what is charged for both.
    Column("sidecar_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("charged_bytes", BigInteger, Computed("size_bytes + sidecar_bytes", persisted=False)),
    # Once the sidecar is completed.
    Column("sidecar_filename", Text),
    Column("etag", Text, nullable=False),
    Column("sha256", LargeBinary),
    Column("width", Integer),
    Column("height", Integer),
    Column("orientation", SmallInteger),
    Column("duration_ms", BigInteger),
    Column("codec", Text),
    Column("taken_at", DateTime(timezone=True)),
    # East of UTC, if the device recorded it.
    Column("taken_offset_minutes", SmallInteger),
    Column("camera", JSONB),
    Column("gps", JSONB),
    # Facts that are shown and never queried: exposure, rating and others (`Details` of mediameta).
    Column("details", JSONB),
    Column("caption", Text),
    Column("tags", JSONB, nullable=False, server_default=text("'[]'")),
    # {caption, tags}: whether the caption, and which tags, were read from the file; NULL for most.
    Column("told_by_file", JSONB),
    Column("location", Text),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    # ThumbHash.
    Column("placeholder", LargeBinary),
    # Of the original, once the whole file has been read: an archive's directory needs it.
    Column("crc32", BigInteger),
    # The common id of a Live Photo's picture and film, and the other of the two.
    Column("live_id", Text),
    Column("live_partner_id", Uuid),
    # The camera RAW of the same shot, or the picture of a camera RAW.
    Column("raw_partner_id", Uuid),
    # When the store had no tags for it, so that not every view asks again.
    Column("tags_missed_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    # The folder of its objects, since it was moved here; NULL: they are where they were uploaded to.
    Column("folder", BigInteger),
    # Its sort key, since it was moved; NULL: its id is the key (see `domain.order`).
    Column("position", LargeBinary),
    # The contributor that added it, and its name; NULL: its manager.
    Column("contributor_id", Uuid),
    Column("contributor_name", Text),
    CheckConstraint("status IN ('processing', 'ready', 'rejected')", name="status_known"),
    CheckConstraint("kind IN ('image', 'video')", name="kind_known"),
    CheckConstraint(
        "status <> 'ready' OR (kind IS NOT NULL AND width > 0 AND height > 0)", name="ready_is_probed"
    ),
    # The order of a gallery's page, and the index of its keyset.
    Index("ix_items_gallery_id_position", "gallery_id", text("coalesce(position, uuid_send(id))")),
    Index("ix_items_gallery_id_id", "gallery_id", "id"),
    Index("ix_items_gallery_id_sha256", "gallery_id", "sha256", postgresql_where=text("sha256 IS NOT NULL")),
    Index(
        "ix_items_contributor",
        *("gallery_id", "contributor_id"),
        postgresql_where=text("contributor_id IS NOT NULL"),
    ),
    Index("ix_items_live_id", "gallery_id", "live_id", postgresql_where=text("live_id IS NOT NULL")),
    # Pictures that may be half of a pair of a camera RAW and a picture.
    Index(
        "ix_items_raw_partner",
        *("gallery_id", text(NAME_STEM), "content_type", "taken_at"),
        postgresql_where=text(
            "kind = 'image' AND status = 'ready' AND taken_at IS NOT NULL AND raw_partner_id IS NULL"
        ),
    ),
    # Few rows, whatever the number of items: every tick queries them.
    Index("ix_items_unprobed", "id", postgresql_where=text("status = 'processing' AND width IS NULL")),
)

renditions = Table(
    "renditions",
    metadata,
    Column("media_id", Uuid, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("size", Text, primary_key=True),
    Column("format", Text, primary_key=True, server_default=text("'jpeg'")),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    CheckConstraint(f"format IN {tuple(STORED_FORMATS)}", name="format_known"),
)

# Copies of originals without their place, for galleries that serve only those.
location_free_copies = Table(
    "location_free_copies",
    metadata,
    Column("media_id", Uuid, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    # As for the original, once known.
    Column("crc32", BigInteger),
    # The original contains no place: it is its own copy.
    Column("unchanged", Boolean, nullable=False, server_default=text("false")),
)

# The leases of making renditions: until when other processes wait; after a failure, its reason.
rendition_claims = Table(
    "rendition_claims",
    metadata,
    Column("media_id", Uuid, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("size", Text, primary_key=True),
    Column("format", Text, primary_key=True, server_default=text("'jpeg'")),
    Column("held_until", DateTime(timezone=True), nullable=False),
    Column("failure", Text),
    # Attempts that ended without a result, because the decoder or its process was killed.
    Column("kills", SmallInteger, nullable=False, server_default=text("0")),
)

links = Table(
    "links",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("media_id", Uuid, ForeignKey("items.id", ondelete="CASCADE"), nullable=False),
    Column("gallery_id", Uuid, nullable=False),
    # SHA-256 of a token of 192 random bits, which needs no slower hash.
    Column("token_hash", LargeBinary, nullable=False),
    Column("valid_for_s", Integer, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    # A link has no page, so following it is a view and a download: one count, which each cap limits.
    Column("max_views", Integer),
    Column("max_downloads", Integer),
    Column("follow_count", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("token_hash"),
    Index("ix_links_media_id_id", "media_id", "id"),
)

# The last sequence of a deleted item, so that a later event continues from there.
deleted_media = Table(
    "deleted_media",
    metadata,
    Column("media_id", Uuid, primary_key=True),
    Column("gallery_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("deleted_at", DateTime(timezone=True), nullable=False),
    Index("ix_deleted_media_gallery_id", "gallery_id"),
)

# Numbers the folders of moved items: none is used twice, so what is left behind in one can be removed later.
object_folders = Sequence("object_folders", metadata=metadata)

# Items that are to be moved to another gallery of their owner, and those moved recently (ADR-0025).
moves = Table(
    "moves",
    metadata,
    # The new folder.
    Column("folder", BigInteger, primary_key=True, autoincrement=False),
    Column("media_id", Uuid, nullable=False),
    Column("gallery_id", Uuid, nullable=False),
    Column("account_id", Uuid, nullable=False),
    # Of all its objects, when it was requested.
    Column("size_bytes", BigInteger, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    # Until then a process works on it, or it is not to be tried again.
    Column("leased_until", DateTime(timezone=True), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Set when it was moved, or is not to be moved any more.
    Column("done_at", DateTime(timezone=True)),
    Column("moved", Boolean, nullable=False, server_default=text("false")),
    Index("uq_moves_pending", "media_id", unique=True, postgresql_where=text("done_at IS NULL")),
    Index("ix_moves_pending", "account_id", "folder", postgresql_where=text("done_at IS NULL")),
    # For the last move of an item.
    Index("ix_moves_media_id", "media_id", "folder"),
    # For what an account's moves left in the store, and for the removal of old rows.
    Index("ix_moves_account_id", "account_id", "done_at"),
    Index("ix_moves_done_at", "done_at"),
)
