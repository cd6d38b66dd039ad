"""PostgreSQL: connections, the tables that every service has, migrations."""

from kappi_chassis.db.database import Database, driver_of
from kappi_chassis.db.tables import (
    idempotency_table,
    inbox_table,
    naming_convention,
    outbox_table,
    reconciliations_table,
)

__all__ = [
    "Database",
    "driver_of",
    "idempotency_table",
    "inbox_table",
    "naming_convention",
    "outbox_table",
    "reconciliations_table",
]
