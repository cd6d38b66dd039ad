"""Films that are being made playable in browsers (ADR-0077)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from kappi_media.models.base import metadata

_QUEUED = text("failure IS NULL AND (two_sizes OR NOT original)")

# A row goes with its item, or once its film is a row of `renditions`.
playbacks = Table(
    "playbacks",
    metadata,
    Column("media_id", Uuid, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("gallery_id", Uuid, nullable=False),
    # The folder of the item's objects when the pieces were made.
    Column("folder", BigInteger),
    # Browsers play the original, so nothing is made, except in two sizes.
    Column("original", Boolean, nullable=False, server_default=text("false")),
    # Why the film cannot be made playable; `due_at` is then when it may be tried again.
    Column("failure", Text),
    # The parties whose share of the processor it uses, as for `upload_jobs`.
    Column("tenant", Uuid, nullable=False),
    Column("anonymous", Boolean, nullable=False),
    Column("address", BigInteger, nullable=False),
    Column("max_seconds", Integer, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("leased_until", DateTime(timezone=True)),
    # A new one for each attempt: an earlier holder that still runs changes nothing.
    Column("lease_id", Uuid),
    # Attempts without a new piece that killed the decoder or the process; failures of any kind delay it.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    # The stored pieces by name, and what they contain: ticks of 90,000 a second, and packets of sound.
    Column("pieces", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("ticks", BigInteger, nullable=False, server_default=text("0")),
    Column("sound_packets", BigInteger, nullable=False, server_default=text("0")),
    # A long film: it is made in a small size, too, and played in segments (ADR-0079).
    Column("two_sizes", Boolean, nullable=False, server_default=text("false")),
    Index("ix_playbacks_queued", "requested_at", postgresql_where=_QUEUED),
)

# Where the segments of a made film are in its rendition: one after the other, behind the initialization.
film_streams = Table(
    "film_streams",
    metadata,
    Column("media_id", Uuid, primary_key=True),
    Column("size", Text, primary_key=True),
    Column("format", Text, nullable=False, server_default=text("'mp4'")),
    Column("codecs", Text, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("init_bytes", Integer, nullable=False),
    Column("segment_bytes", ARRAY(BigInteger), nullable=False),
    Column("segment_ticks", ARRAY(BigInteger), nullable=False),
    ForeignKeyConstraint(
        ["media_id", "size", "format"],
        ["renditions.media_id", "renditions.size", "renditions.format"],
        ondelete="CASCADE",
    ),
)
