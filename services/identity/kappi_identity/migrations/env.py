"""Alembic's entry point."""

from kappi_chassis.db.migrations import run_env
from kappi_identity.models import metadata

run_env(metadata)
