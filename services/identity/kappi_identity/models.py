"""The tables of the identity database."""

from __future__ import annotations

from typing import Final

from kappi_chassis.db import idempotency_table, inbox_table, naming_convention, outbox_table
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(naming_convention=naming_convention)


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


tiers = Table(
    "tiers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("rendition_sizes", ARRAY(Integer), nullable=False),
    Column("original_access", Boolean, nullable=False),
    Column("expiring_links", Boolean, nullable=False),
    Column("max_file_bytes", BigInteger, nullable=False),
    Column("quota_bytes", BigInteger),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    # False for a tier that a migration seeded and no event has announced yet.
    Column("announced", Boolean, nullable=False, server_default=text("true")),
    _moment("deleted_at", nullable=True),
    CheckConstraint("max_file_bytes > 0", name="files_have_bytes"),
    CheckConstraint("quota_bytes >= 0", name="quota_not_negative"),
)
Index("uq_tiers_name_folded", func.lower(tiers.c.name), unique=True)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text),
    Column("email_normalised", Text),
    Column("display_name", Text),
    Column("password_hash", Text),
    Column("role", Text, nullable=False),
    Column("tier", Text, ForeignKey("tiers.name"), nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    _moment("created_at"),
    _moment("deleted_at", nullable=True),
    _moment("suspended_at", nullable=True),
    Column("suspension_reason", Text),
    UniqueConstraint("email_normalised"),
    Index("ix_accounts_tier", "tier"),
    CheckConstraint("role IN ('user', 'admin')", name="role_known"),
    CheckConstraint(
        "(deleted_at IS NULL AND email IS NOT NULL AND email_normalised IS NOT NULL"
        " AND password_hash IS NOT NULL)"
        " OR (deleted_at IS NOT NULL AND email IS NULL AND email_normalised IS NULL"
        " AND password_hash IS NULL AND display_name IS NULL)",
        name="tombstone_is_bare",
    ),
)

takedowns = Table(
    "takedowns",
    metadata,
    Column("id", Uuid, primary_key=True),
    # An id or a code, as it was given. Only the galleries service can look up a code.
    Column("gallery", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ordered_by", Uuid, nullable=False),
    _moment("ordered_at"),
    Column("lifted_by", Uuid),
    _moment("lifted_at", nullable=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, ForeignKey("accounts.id"), nullable=False),
    Column("device", Text),
    _moment("created_at"),
    _moment("last_used_at"),
    _moment("expires_at"),
    _moment("revoked_at", nullable=True),
    Index("ix_sessions_account_id", "account_id"),
    Index("ix_sessions_expires_at", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("session_id", Uuid, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    # The token this one was exchanged for; None for a session's first token.
    Column("parent_hash", LargeBinary),
    _moment("issued_at"),
    _moment("used_at", nullable=True),
    _moment("superseded_at", nullable=True),
    Index("ix_refresh_tokens_session_id", "session_id"),
    Index("ix_refresh_tokens_parent_hash", "parent_hash"),
    Index("ix_refresh_tokens_issued_at", "issued_at"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("public_jwk", JSONB, nullable=False),
    Column("sealed_private", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    _moment("created_at"),
    _moment("activated_at", nullable=True),
    _moment("retire_after", nullable=True),
    CheckConstraint("state IN ('next', 'active', 'retiring')", name="state_known"),
    Index("uq_signing_keys_active", "state", unique=True, postgresql_where=text("state = 'active'")),
    Index("uq_signing_keys_next", "state", unique=True, postgresql_where=text("state = 'next'")),
)

reset_requests = Table(
    "reset_requests",
    metadata,
    Column("id", Uuid, primary_key=True),
    # A request stores only this, whether there is such an account or not.
    Column("email_normalised", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _moment("requested_at"),
    _moment("not_before"),
    Index("ix_reset_requests_not_before", "not_before"),
)

password_resets = Table(
    "password_resets",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("account_id", Uuid, ForeignKey("accounts.id"), nullable=False),
    _moment("expires_at"),
    Index("ix_password_resets_account_id", "account_id"),
    Index("ix_password_resets_expires_at", "expires_at"),
)

known_addresses = Table(
    "known_addresses",
    metadata,
    Column("account_id", Uuid, ForeignKey("accounts.id"), primary_key=True),
    # Keyed, and different for each account.
    Column("address_hash", LargeBinary, primary_key=True),
    _moment("seen_at"),
    Index("ix_known_addresses_seen_at", "seen_at"),
)

throttle = Table(
    "throttle",
    metadata,
    Column("subject_hash", LargeBinary, primary_key=True),
    Column("level", Double, nullable=False),
    _moment("updated_at"),
    Index("ix_throttle_updated_at", "updated_at"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, ForeignKey("accounts.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    _moment("created_at"),
    # When its first pending delivery is due; null without one.
    _moment("due_at", nullable=True),
    # End of the pause after a failure.
    _moment("not_before"),
    # While it is being called. One process calls a webhook at a time, with one delivery.
    _moment("leased_until", nullable=True),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    _moment("failing_since", nullable=True),
    _moment("disabled_at", nullable=True),
    Column("disabled_reason", Text),
    # When the owner is to be told that it was disabled; null when that is done.
    _moment("notice_at", nullable=True),
    Column("last_number", BigInteger, nullable=False, server_default=text("0")),
    Column("dropped", BigInteger, nullable=False, server_default=text("0")),
    Index("ix_webhooks_account_id", "account_id"),
    Index("ix_webhooks_notice_at", "notice_at", postgresql_where=text("notice_at IS NOT NULL")),
    CheckConstraint("(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_for_a_reason"),
    CheckConstraint("disabled_at IS NULL OR due_at IS NULL", name="disabled_is_not_due"),
)
Index(
    "ix_webhooks_due",
    func.greatest(webhooks.c.due_at, webhooks.c.not_before),
    postgresql_where=text("due_at IS NOT NULL"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # Also the header `webhook-id`.
    Column("id", Uuid, primary_key=True),
    Column("webhook_id", Uuid, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    # Each attempt sends these bytes.
    Column("body", LargeBinary, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _moment("created_at"),
    _moment("next_attempt_at", nullable=True),
    # A day after its first failure.
    _moment("retry_until", nullable=True),
    _moment("last_attempt_at", nullable=True),
    Column("last_status", Integer),
    Column("last_error", Text),
    UniqueConstraint("webhook_id", "number"),
    Index(
        "ix_webhook_deliveries_pending",
        "webhook_id",
        "next_attempt_at",
        "number",
        postgresql_where=text("status = 'pending'"),
    ),
    Index("ix_webhook_deliveries_created_at", "created_at"),
    CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="status_known"),
    CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="pending_has_a_time"),
)

outbox = outbox_table(metadata)
inbox = inbox_table(metadata)
idempotency = idempotency_table(metadata)

VERSIONS: Final = (tiers.c.version, accounts.c.version)
"""The columns from which the sequences of published events are taken."""
