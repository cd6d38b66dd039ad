"""Tables that every service's database has. Each service binds them to its own metadata and migrations."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def outbox_table(metadata: MetaData) -> Table:
    """Events committed with their cause, kept until the broker acknowledged them and their retention is over.

    The CloudEvents headers are columns, because a hot statement computes `sequence` inside the database.
    """
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("event_id", Uuid, nullable=False),
        Column("topic", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("traceparent", Text),
        Column("occurred_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
        Column("sent_at", DateTime(timezone=True)),
        Index("ix_outbox_unsent", "id", postgresql_where=text("sent_at IS NULL")),
        Index("ix_outbox_sent_at", "sent_at"),
    )


def inbox_table(metadata: MetaData) -> Table:
    """Events whose effect is committed, per consumer; the primary key makes duplicates harmless."""
    return Table(
        "inbox",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("event_id", Uuid, primary_key=True),
        Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Index("ix_inbox_received_at", "received_at"),
    )


def idempotency_table(metadata: MetaData) -> Table:
    """Answers to requests with an `Idempotency-Key`; the body is encrypted under the key itself."""
    return Table(
        "idempotency",
        metadata,
        Column("key_hash", LargeBinary, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("status", SmallInteger),
        Column("sealed_body", LargeBinary),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Index("ix_idempotency_created_at", "created_at"),
    )


def reconciliations_table(metadata: MetaData) -> Table:
    """The newest run of each check (ADR-0064): what was requested, its position, its result."""
    return Table(
        "reconciliations",
        metadata,
        Column("name", Text, primary_key=True),
        Column("requested_at", DateTime(timezone=True)),
        Column("repair", Boolean, nullable=False, server_default=text("false")),
        # A run of the tick rests from then on until the next tick; NULL: an operator waits for its end.
        Column("work_until", DateTime(timezone=True)),
        Column("position", Text, nullable=False, server_default=text("''")),
        Column("examined", BigInteger, nullable=False, server_default=text("0")),
        # {kind: [found, repaired]}
        Column("found", JSONB, nullable=False, server_default=text("'{}'")),
        Column("examples", JSONB, nullable=False, server_default=text("'[]'")),
        Column("lease_id", Uuid),
        Column("leased_until", DateTime(timezone=True)),
        Column("finished_at", DateTime(timezone=True)),
        Column("last_error", Text),
    )
