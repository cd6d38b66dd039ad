"""Events that say as of when to act: as of a moment to come only on an operator's order (ADR-0032)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from kappi_contracts.envelope import Envelope

CLOCK_SKEW = timedelta(minutes=5)
ORDER_LIFETIME = timedelta(hours=1)
"""Of an order to act as of a moment to come: a record of it that is sent again later has no effect."""


def acts_too_early(envelope: Envelope[Any], *, now: datetime) -> bool:
    """Whether consumers would delete what is not due yet.

    `kappi tick --at` may say so, for ORDER_LIFETIME; what the janitor makes of such a tick has its origin.
    A clock of another machine may be ahead by CLOCK_SKEW.
    """
    event = envelope.data
    moment: datetime | None = getattr(event, event.acts_as_of, None) if event.acts_as_of else None
    if moment is None or moment <= now + CLOCK_SKEW:
        return False
    return event.origin != "operator" or now - envelope.time > ORDER_LIFETIME
