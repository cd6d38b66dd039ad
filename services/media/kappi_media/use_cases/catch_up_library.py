"""Enter items in their owner's library that were there before it: those of a claimed gallery with very many,
and all there were when the library came to be."""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg
from kappi_chassis.observability.logs import get_logger

from kappi_media.repository.library import LibraryQueries

EVERY_S: Final = 5.0
CHUNK: Final = 200
"""Items a transaction enters, while the gallery waits for it."""

_log = get_logger(__name__)


class CatchUpLibrary:
    """Many replicas may run one: a gallery is locked for each chunk, and entering twice is entering once."""

    def __init__(self, library: LibraryQueries) -> None:
        self._library = library

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                _log.warning("library.catch_up_failed", error=str(error), retry_in_s=EVERY_S)
            await asyncio.sleep(EVERY_S)

    async def __call__(self) -> None:
        """Until nothing is behind; others may have a gallery between two chunks."""
        while (gallery_id := await self._library.behind()) is not None:
            await self._library.catch_up(gallery_id, most=CHUNK)
