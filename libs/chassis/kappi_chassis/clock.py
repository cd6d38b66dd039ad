"""Time and ids, injected so that logic never reads the wall clock by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

Clock = Callable[[], datetime]
NewId = Callable[[], UUID]


def utc_now() -> datetime:
    """The wall clock, aware, UTC."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """A UUIDv7: sorts by creation time, so that it clusters in indexes (RFC 9562)."""
    return uuid7()
