"""The tables of the janitor's database."""

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
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from kappi_janitor.domain import PURGED_PREFIX

metadata = MetaData(naming_convention=naming_convention)

due_galleries = Table(
    "due_galleries",
    metadata,
    Column("gallery_id", Uuid, primary_key=True),
    # The newest known version of the gallery; 0 if a purge was requested before any of its events.
    Column("sequence", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
    # The last tick that claimed the gallery, so that a repeated tick does not claim it twice.
    Column("claimed_by", Uuid),
    # The sequence of the events that this service published about the gallery.
    Column("published", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("sequence >= 0 AND published >= 0", name="counts_not_negative"),
    Index(
        "ix_due_galleries_expires_at",
        "expires_at",
        "gallery_id",
        postgresql_where=text("deleted_at IS NULL AND expires_at IS NOT NULL"),
    ),
    Index("ix_due_galleries_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
)

due_links = Table(
    "due_links",
    metadata,
    Column("link_id", Uuid, primary_key=True),
    # The version of the link; the event of the claim has the next version.
    Column("sequence", BigInteger, nullable=False),
    Column("media_id", Uuid, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    # By the wall clock. A deadline never moves, so a link is claimed once. The row is kept, so that a late
    # duplicate does not lead to a second claim.
    Column("claimed_at", DateTime(timezone=True)),
    CheckConstraint("sequence >= 0", name="sequence_not_negative"),
    Index("ix_due_links_expires_at", "expires_at", "link_id", postgresql_where=text("claimed_at IS NULL")),
    Index("ix_due_links_claimed_at", "claimed_at", postgresql_where=text("claimed_at IS NOT NULL")),
)

purges = Table(
    "purges",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("prefix", Text, nullable=False),
    Column("gallery_id", Uuid),
    Column("media_id", Uuid),
    Column("post_id", Uuid),
    # The sequence of the events about the purge of a post.
    Column("published", BigInteger, nullable=False, server_default=text("0")),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("not_before", DateTime(timezone=True), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    # The number of removed objects that no ObjectsPurged has published yet.
    Column("objects", BigInteger, nullable=False, server_default=text("0")),
    # A new request removes the lease, because the list of objects that the sweep has read is then out of
    # date.
    Column("lease_id", Uuid),
    Column("leased_until", DateTime(timezone=True)),
    Column("swept_at", DateTime(timezone=True)),
    Column("done_at", DateTime(timezone=True)),
    # Of the event that requested it.
    Column("traceparent", Text),
    UniqueConstraint("prefix"),
    CheckConstraint(f"prefix ~ '^{PURGED_PREFIX}$'", name="prefix_may_be_purged"),
    CheckConstraint("(gallery_id IS NULL) <> (post_id IS NULL)", name="of_gallery_or_post"),
    CheckConstraint("(lease_id IS NULL) = (leased_until IS NULL)", name="lease_is_whole"),
    Index("ix_purges_not_before", "not_before", postgresql_where=text("done_at IS NULL")),
    Index("ix_purges_media_id", "media_id", postgresql_where=text("done_at IS NULL")),
    Index("ix_purges_done_at", "done_at", postgresql_where=text("done_at IS NOT NULL")),
)

ticks = Table(
    "ticks",
    metadata,
    # The replica that inserts a turn's row emits its tick.
    Column("starts_at", DateTime(timezone=True), primary_key=True),
)

outbox = outbox_table(metadata)
inbox = inbox_table(metadata)
idempotency = idempotency_table(metadata)
reconciliations = reconciliations_table(metadata)

VERSIONS: Final = (due_galleries.c.published, purges.c.published)
"""The columns from which the sequences of published events are taken."""
