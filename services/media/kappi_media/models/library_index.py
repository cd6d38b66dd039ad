"""The index of an account's library."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from kappi_media.models.base import metadata

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
