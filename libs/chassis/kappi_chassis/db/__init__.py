"""PostgreSQL: connections, the tables every service shares, migrations."""

from kappi_chassis.db.database import Database
from kappi_chassis.db.tables import idempotency_table, inbox_table, naming_convention, outbox_table

__all__ = ["Database", "idempotency_table", "inbox_table", "naming_convention", "outbox_table"]
