from __future__ import annotations

from datetime import datetime, timedelta

from kappi_chassis.db import Database

BATCH = 5_000
_SESSIONS = """
DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 ORDER BY id LIMIT $2)
"""
_TOKENS = """
DELETE FROM refresh_tokens WHERE token_hash IN (
  SELECT token_hash FROM refresh_tokens WHERE issued_at < $1 ORDER BY issued_at LIMIT $2)
"""
_RESETS = "DELETE FROM password_resets WHERE expires_at < $1"
_ADDRESSES = "DELETE FROM known_addresses WHERE seen_at < $1"
_DELIVERIES = """
DELETE FROM webhook_deliveries WHERE id IN (
  SELECT id FROM webhook_deliveries WHERE created_at < $1 ORDER BY created_at LIMIT $2)
"""
_THROTTLE = "DELETE FROM throttle WHERE updated_at < $1"


async def remove_expired_rows(
    database: Database,
    *,
    now: datetime,
    session_idle: timedelta,
    client_known_for: timedelta,
    throttle_memory: timedelta,
    deliveries_kept_for: timedelta,
) -> None:
    """Remove rows that cannot be used any more.

    session_idle: a token older than this was exchanged, or its session is over. client_known_for: an address
    older than this counts as unknown. throttle_memory: a bucket untouched for this long is empty.
    deliveries_kept_for: a delivery older than this is neither listed nor sent again.
    """
    await database.hot.execute(_SESSIONS, now, BATCH)
    await database.hot.execute(_TOKENS, now - session_idle, BATCH)
    await database.hot.execute(_RESETS, now)
    await database.hot.execute(_ADDRESSES, now - client_known_for)
    await database.hot.execute(_THROTTLE, now - throttle_memory)
    await database.hot.execute(_DELIVERIES, now - deliveries_kept_for, BATCH)
