"""Counts the uploads made before uploads were counted, a gallery at a time (ADR-0024)."""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg
from kappi_chassis.idle_pause import IdlePause
from kappi_chassis.observability.logs import get_logger

from kappi_media.repository.usage import UsageQueries

EVERY_S: Final = 5.0
LONGEST_PAUSE_S: Final = 60.0

_log = get_logger(__name__)


class CatchUpUsage:
    """Counts the galleries that are not counted yet.

    Many replicas may run it: a gallery is locked while it is counted, and counted once.
    """

    def __init__(self, usage: UsageQueries) -> None:
        self._usage = usage

    async def run(self) -> None:
        """Run until cancelled."""
        pause = IdlePause(EVERY_S, longest_s=LONGEST_PAUSE_S)
        while True:
            try:
                await self()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                _log.warning("usage.catch_up_failed", error=str(error), retry_in_s=EVERY_S)
            await asyncio.sleep(pause.after(found=False))

    async def __call__(self) -> None:
        """Count until no gallery is behind."""
        while (gallery_id := await self._usage.behind()) is not None:
            await self._usage.catch_up(gallery_id)
