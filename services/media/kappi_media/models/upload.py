"""Uploads, from the reservation to the queue of the worker."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from kappi_media.models.base import metadata

_CONTRIBUTED = text("contributor_id IS NOT NULL AND state = 'pending'")

uploads = Table(
    "uploads",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("media_id", Uuid, nullable=False),
    Column("gallery_id", Uuid, nullable=False),
    Column("filename", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Of its sidecar, and what is charged for both.
    Column("sidecar_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("charged_bytes", BigInteger, Computed("size_bytes + sidecar_bytes", persisted=False)),
    Column("sha256", LargeBinary),
    # Caption, tags, location and attributes, until the item exists; NULL for most.
    Column("description", JSONB),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("rejection_reason", Text),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    # NULL: one PUT. The store's own id of the multipart upload is recorded after the reservation, because it
    # needs a call to the store.
    Column("part_size_bytes", BigInteger),
    Column("multipart_id", Text),
    # Until then, a store that shows neither the parts nor the object may be joining the parts.
    Column("joining_until", DateTime(timezone=True)),
    # Its bytes are sent through the API, which alone completes it; until then its size is the largest
    # possible one.
    Column("posted", Boolean, nullable=False, server_default=text("false")),
    # A keyed hash of the client's address, in an anonymous gallery: the budget that a pending upload counts
    # against.
    Column("address_id", Uuid),
    # A number derived from it, in every gallery, by which the worker shares its time fairly; NULL once the
    # job is queued.
    Column("uploader_address", BigInteger),
    # The contributor that added it, and its name; NULL: its manager.
    Column("contributor_id", Uuid),
    Column("contributor_name", Text),
    # Of the request that declared it: what happens to the item later belongs to the same trace.
    Column("traceparent", Text),
    UniqueConstraint("media_id"),
    CheckConstraint("multipart_id IS NULL OR part_size_bytes > 0", name="multipart_has_parts"),
    CheckConstraint("state IN ('pending', 'completed', 'rejected', 'aborted')", name="state_known"),
    CheckConstraint("size_bytes > 0", name="size_positive"),
    Index("ix_uploads_gallery_id", "gallery_id"),
    # Pending uploads of contributors alone: they are summed up while the gallery's row is locked.
    Index("ix_uploads_contributed", "gallery_id", "contributor_id", postgresql_where=_CONTRIBUTED),
    Index("ix_uploads_contributed_address", "uploader_address", postgresql_where=_CONTRIBUTED),
    Index("ix_uploads_unfinished", "expires_at", postgresql_where=text("state <> 'completed'")),
)

# Sidecars of uploads' pictures, from the reservation on. They are charged with their pictures.
sidecars = Table(
    "sidecars",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("media_id", Uuid, ForeignKey("uploads.media_id", ondelete="CASCADE"), nullable=False),
    Column("filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", LargeBinary),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("rejection_reason", Text),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    # Once it is completed: of its content, and what was read from it.
    Column("etag", Text),
    Column("crc32", BigInteger),
    Column("words", JSONB),
    UniqueConstraint("media_id"),
    CheckConstraint("state IN ('pending', 'completed', 'rejected', 'aborted')", name="state_known"),
    CheckConstraint("size_bytes > 0", name="size_positive"),
    Index("ix_sidecars_pending", "expires_at", postgresql_where=text("state = 'pending'")),
)

# What is reserved and not completed for one address, or one anonymous gallery (the functions of migration
# 0008 change it). holder: the hash of the address, or the gallery's id.
promise_budgets = Table(
    "promise_budgets",
    metadata,
    Column("holder", Uuid, primary_key=True),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    CheckConstraint("files >= 0 AND bytes >= 0", name="not_negative"),
)

# Reservations that ended without an item, and still count, because their signed URLs may be valid.
ended_promises = Table(
    "ended_promises",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("address_id", Uuid, nullable=False),
    Column("gallery_id", Uuid, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("ended_at", DateTime(timezone=True), nullable=False),
    Index("ix_ended_promises_address_id", "address_id"),
    Index("ix_ended_promises_gallery_id", "gallery_id"),
    Index("ix_ended_promises_ended_at", "ended_at"),
)

# Completed uploads that the worker has not processed yet (ADR-0033). There is no foreign key: the deletion of
# an item that was deleted meanwhile is published once more, so that nothing stays in the store.
upload_jobs = Table(
    "upload_jobs",
    metadata,
    Column("media_id", Uuid, primary_key=True),
    Column("gallery_id", Uuid, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("completed_at", DateTime(timezone=True), nullable=False),
    Column("traceparent", Text),
    # The parties whose share of the decoders it uses: an account or an anonymous gallery, and a client's
    # address.
    Column("tenant", Uuid, nullable=False),
    Column("anonymous", Boolean, nullable=False),
    Column("address", BigInteger, nullable=False),
    # NULL: at once.
    Column("due_at", DateTime(timezone=True)),
    Column("leased_until", DateTime(timezone=True)),
    # Attempts that killed the decoder or the worker count against the file; failures of any kind delay it.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Index("ix_upload_jobs_address_tenant_media_id", "address", "tenant", "media_id"),
    Index("ix_upload_jobs_leased_until", "leased_until", postgresql_where=text("leased_until IS NOT NULL")),
)
