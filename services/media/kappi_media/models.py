"""The tables of the media database.

Rows refer to their gallery without a foreign key: every change of an item updates the row in `contents`, and
the key's check would make each insert wait for that row a second time. The deletion of a gallery removes them
explicitly.
"""

from __future__ import annotations

from kappi_chassis.db import idempotency_table, inbox_table, naming_convention, outbox_table
from kappi_contracts.rendition_formats import OUTPUT_FORMATS
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(naming_convention=naming_convention)

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
    CheckConstraint("item_count >= 0", name="item_count_not_negative"),
    CheckConstraint("deleted_at IS NULL OR item_count = 0", name="tombstone_is_bare"),
    CheckConstraint("num_nulls(claimant_id, claim_bytes, claim_until) IN (0, 3)", name="claim_is_whole"),
    # For finding an account's galleries, to sum up what it uses.
    Index("ix_contents_owner_id", "owner_id", postgresql_where=text("owner_id IS NOT NULL")),
    Index("ix_contents_library_after", "gallery_id", postgresql_where=text("library_after IS NOT NULL")),
    Index("ix_contents_claim_until", "claim_until", postgresql_where=text("claim_until IS NOT NULL")),
    Index("ix_contents_usage_behind", "gallery_id", postgresql_where=text("usage_behind")),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("media_id", Uuid, nullable=False),
    Column("gallery_id", Uuid, nullable=False),
    Column("filename", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
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
    UniqueConstraint("media_id"),
    CheckConstraint("multipart_id IS NULL OR part_size_bytes > 0", name="multipart_has_parts"),
    CheckConstraint("state IN ('pending', 'completed', 'rejected', 'aborted')", name="state_known"),
    CheckConstraint("size_bytes > 0", name="size_positive"),
    Index("ix_uploads_gallery_id", "gallery_id"),
    Index("ix_uploads_unfinished", "expires_at", postgresql_where=text("state <> 'completed'")),
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
    # When the store had no tags for it, so that not every view asks again.
    Column("tags_missed_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    # The folder of its objects, since it was moved here; NULL: they are where they were uploaded to.
    Column("folder", BigInteger),
    CheckConstraint("status IN ('processing', 'ready', 'rejected')", name="status_known"),
    CheckConstraint("kind IN ('image', 'video')", name="kind_known"),
    CheckConstraint(
        "status <> 'ready' OR (kind IS NOT NULL AND width > 0 AND height > 0)", name="ready_is_probed"
    ),
    # Ids are UUIDv7: this is the order of a gallery's page and the index of its keyset.
    Index("ix_items_gallery_id_id", "gallery_id", "id"),
    Index("ix_items_gallery_id_sha256", "gallery_id", "sha256", postgresql_where=text("sha256 IS NOT NULL")),
    Index("ix_items_live_id", "gallery_id", "live_id", postgresql_where=text("live_id IS NOT NULL")),
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
    CheckConstraint(f"format IN {tuple(OUTPUT_FORMATS)}", name="format_known"),
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
    UniqueConstraint("token_hash"),
    Index("ix_links_media_id_id", "media_id", "id"),
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

# What an account's search reads: an entry for each item, not rejected, in galleries of accounts. Triggers on
# `items` keep the three tables exact (migration 0005, ADR-0023); no statement writes them.
library = Table(
    "library",
    metadata,
    Column("item_id", Uuid, primary_key=True),
    Column("owner_id", Uuid, nullable=False),
    Column("gallery_id", Uuid, nullable=False),
    Column("kind", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    # When it was uploaded, if the file does not say when it was taken.
    Column("taken_at", DateTime(timezone=True), nullable=False),
    # Folded, as the two below: without case and accents.
    Column("place", Text),
    Column("tags", ARRAY(Text), nullable=False),
    Column("latitude", Double),
    Column("longitude", Double),
    # File name, caption and tags, with U+001F in between.
    Column("words", Text, nullable=False),
    # Hashes of the owner with each sequence of one, two and three characters of the words.
    Column("grams", ARRAY(Integer), nullable=False),
    # The lists that contain it.
    Column("terms", ARRAY(BigInteger), nullable=False),
    # With fastupdate, every search would have to read the list of pending entries.
    Index("ix_library_grams", "grams", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
)

# Lists of items by time: all of an account's, those with a tag, at a place, in a gallery and so on. term: the
# hash of the owner and the list's name.
library_terms = Table(
    "library_terms",
    metadata,
    Column("term", BigInteger, primary_key=True),
    Column("created_at", DateTime(timezone=True), primary_key=True),
    Column("item_id", Uuid, primary_key=True),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    Index("ix_library_terms_term_taken_at_item_id", "term", "taken_at", "item_id"),
)

# An account's tags and places, with the number of items of each. shown: as it was first written.
library_names = Table(
    "library_names",
    metadata,
    Column("owner_id", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("key", Text(collation="C"), primary_key=True),
    Column("shown", Text, nullable=False),
    Column("item_count", BigInteger, nullable=False),
    Index(
        "ix_library_names_owner_id_kind_item_count_key",
        "owner_id",
        "kind",
        text("item_count DESC"),
        "key",
    ),
)

outbox = outbox_table(metadata)
inbox = inbox_table(metadata)
idempotency = idempotency_table(metadata)
