"""Keeps a lease while the work it covers runs. A lease is an instant in a row, until which other processes
wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from kappi_chassis.db.failures import database_is_away
from kappi_chassis.observability.logs import get_logger

_log = get_logger(__name__)


@asynccontextmanager
async def renewing(
    claim: str, renew: Callable[[], Awaitable[bool]], *, every_s: float
) -> AsyncIterator[None]:
    """Renew a lease every `every_s` seconds while the body runs.

    renew: returns False when the lease is lost, and is not called again. When the database is unavailable,
    the next renewal tries again; any other error ends the renewing, is logged, and does not affect the body.
    """
    task = asyncio.create_task(_renew(claim, renew, every_s), name=f"{claim}-claim")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("claim.renewing_failed", claim=claim, error_type=type(error).__name__)


async def _renew(claim: str, renew: Callable[[], Awaitable[bool]], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            if not await renew():
                return
        except Exception as error:
            if not (database_is_away(error) or isinstance(error, OSError)):
                raise
            _log.warning("claim.not_renewed", claim=claim, error_type=type(error).__name__)
