"""The intervals of a running service's periodic jobs, and the loop that runs each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
from kappi_chassis.observability.logs import get_logger
from sqlalchemy.exc import SQLAlchemyError

TIERS_EVERY_S = 15.0
KEYS_EVERY_S = 15.0
EXPIRED_ROWS_EVERY_S = 600.0
THROTTLE_MEMORY = timedelta(days=1)
DELIVERIES_EVERY = timedelta(seconds=1)
DELIVERIES_WATCHED_EVERY_S = 15.0

_log = get_logger(__name__)


class WantedJobs:
    """Events that wake jobs of this process, set after the commit that gives them work. Polling covers other
    processes.
    """

    def __init__(self) -> None:
        self.resets = asyncio.Event()
        self.deliveries = asyncio.Event()


async def repeat(name: str, step: Callable[[], Awaitable[object]], *, every_s: float) -> None:
    """Run a step periodically until cancelled. Several replicas may run it, because every step is harmless
    to repeat.
    """
    while True:
        try:
            await step()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
            _log.warning(f"{name}.failed", error_type=type(error).__name__)
        await asyncio.sleep(every_s)
