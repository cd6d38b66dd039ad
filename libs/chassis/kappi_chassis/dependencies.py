"""The dependencies that the use cases of every service need."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.clock import Clock, NewId, new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDependencies:
    """Base of each service's `Dependencies`, which adds the service's own.

    A test replaces clock, ids and other parts.
    """

    database: Database
    outbox: Outbox
    clock: Clock = utc_now
    new_id: NewId = new_id
