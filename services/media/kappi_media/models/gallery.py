"""The content of galleries: versions, counts, usage and accesses."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from kappi_media.models.base import metadata

contents = Table(
    "contents",
    metadata,
    Column("gallery_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    # The number of visible items: processing and ready, not rejected.
    Column("item_count", BigInteger, nullable=False, server_default=text("0")),
    # A tombstone stays for ever: a late upload must find the gallery closed.
    Column("deleted_at", DateTime(timezone=True)),
    # Whether its viewers get originals without their place, as of a version of the gallery. A request that
    # follows a link brings no grant with this fact.
    Column("location_free", Boolean, nullable=False, server_default=text("false")),
    # Whether its content is hidden: an administrator took it down, or suspended its owner.
    Column("closed", Boolean, nullable=False, server_default=text("false")),
    # Whether it takes no uploads of contributors, as of the same version.
    Column("contributions_closed", Boolean, nullable=False, server_default=text("false")),
    Column("face_version", BigInteger, nullable=False, server_default=text("0")),
    # The account that is charged for its bytes. Set once, by the first upload or a claim; NULL: anonymous.
    Column("owner_id", Uuid),
    # Items after this one are still to be entered in their owner's library; NULL: all are entered.
    Column("library_after", Uuid),
    # The account that claims it, the reserved bytes of its content, and the end of the reservation. Meanwhile
    # no uploads are reserved in it.
    Column("claimant_id", Uuid),
    Column("claim_bytes", BigInteger),
    Column("claim_until", DateTime(timezone=True)),
    # Its items are older than `usage_days` and still to be counted there, all at once.
    Column("usage_behind", Boolean, nullable=False, server_default=text("false")),
    # Whether a camera RAW was ready in it: only then other pictures look for one of the same shot.
    Column("has_camera_raw", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("item_count >= 0", name="item_count_not_negative"),
    CheckConstraint("deleted_at IS NULL OR item_count = 0", name="tombstone_is_bare"),
    CheckConstraint("num_nulls(claimant_id, claim_bytes, claim_until) IN (0, 3)", name="claim_is_whole"),
    # For finding an account's galleries, to sum up what it uses.
    Index("ix_contents_owner_id", "owner_id", postgresql_where=text("owner_id IS NOT NULL")),
    Index("ix_contents_library_after", "gallery_id", postgresql_where=text("library_after IS NOT NULL")),
    Index("ix_contents_claim_until", "claim_until", postgresql_where=text("claim_until IS NOT NULL")),
    Index("ix_contents_usage_behind", "gallery_id", postgresql_where=text("usage_behind")),
)

# Contributors whose grants may still be valid for some seconds.
removed_contributors = Table(
    "removed_contributors",
    metadata,
    Column("contributor_id", Uuid, primary_key=True),
    Column("gallery_id", Uuid, nullable=False),
    Index("ix_removed_contributors_gallery_id", "gallery_id"),
)

# The number of items of a type, not rejected, that a gallery got on a UTC day. Triggers on `items` maintain
# it (ADR-0024).
usage_days = Table(
    "usage_days",
    metadata,
    Column("gallery_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("content_type", Text, primary_key=True),
    Column("item_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    CheckConstraint("item_count >= 0 AND size_bytes >= 0", name="not_negative"),
)

# Accesses of one kind from one network in one hour, summed up. No address, and nothing else about a viewer.
access_log = Table(
    "access_log",
    metadata,
    Column("gallery_id", Uuid, primary_key=True),
    Column("hour", DateTime(timezone=True), primary_key=True),
    # Random, so that no page or cursor reveals when in the hour a line began.
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("network", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    UniqueConstraint("gallery_id", "hour", "kind", "network"),
    CheckConstraint("count > 0", name="count_positive"),
    Index("ix_access_log_hour", "hour"),
)

# Numbers the flushes of counted accesses.
access_flushes = Sequence("access_flushes", metadata=metadata)
