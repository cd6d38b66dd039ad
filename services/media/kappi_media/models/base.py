"""The schema, and the tables that every service has."""

from __future__ import annotations

from kappi_chassis.db import (
    idempotency_table,
    inbox_table,
    naming_convention,
    outbox_table,
    reconciliations_table,
)
from sqlalchemy import MetaData

metadata = MetaData(naming_convention=naming_convention)

outbox = outbox_table(metadata)
inbox = inbox_table(metadata)
idempotency = idempotency_table(metadata)
reconciliations = reconciliations_table(metadata)
