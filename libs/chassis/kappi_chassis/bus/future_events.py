"""Checks events that name a time to act as of: a future time is allowed only by an operator's order
(ADR-0032).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from kappi_contracts.envelope import Envelope

CLOCK_SKEW = timedelta(minutes=5)
ORDER_LIFETIME = timedelta(hours=1)
"""The lifetime of an order to act as of a future time: a record of it that is sent again later has no
effect.
"""


def acts_too_early(envelope: Envelope[Any], *, now: datetime) -> bool:
    """Returns whether consumers would delete what is not due yet.

    `kappi tick --at` may order this, for ORDER_LIFETIME; events that the janitor makes from such a tick have
    its origin. The clock of another machine may be ahead by CLOCK_SKEW.
    """
    event = envelope.data
    moment: datetime | None = getattr(event, event.acts_as_of, None) if event.acts_as_of else None
    if moment is None or moment <= now + CLOCK_SKEW:
        return False
    return event.origin != "operator" or now - envelope.time > ORDER_LIFETIME
