"""Transactional outbox: an event is a row of the business transaction, relayed afterwards (ADR-0002)."""

from kappi_chassis.outbox.outbox import BatchUnit, Outbox, OutboxRow, UnitOfWork
from kappi_chassis.outbox.relay import EventRefused, Relay, replay

__all__ = ["BatchUnit", "EventRefused", "Outbox", "OutboxRow", "Relay", "UnitOfWork", "replay"]
