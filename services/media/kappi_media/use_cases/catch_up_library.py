"""Enter items in their owner's library that were there before it: those of a claimed gallery, and all there
were when the library came to be."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import asyncpg
from kappi_chassis.observability.logs import get_logger

from kappi_media.repository.library_catch_up import CatchUpQueries

EVERY_S: Final = 1.0
CHUNK: Final = 100
"""Items a transaction enters, while the gallery waits for it."""
GALLERIES: Final = 500
"""Galleries that are read at a time."""

_FAILURES: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)
_log = get_logger(__name__)


class CatchUpLibrary:
    """Many replicas may run one: a gallery is locked for each chunk, and entering twice is entering once.

    It goes round the galleries, a chunk of each, so that none waits for the end of another.
    """

    def __init__(self, library: CatchUpQueries) -> None:
        self._library = library
        self._chunks: dict[UUID, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self()
            except _FAILURES as error:
                _log.warning("library.catch_up_failed", error=str(error), retry_in_s=EVERY_S)
            await asyncio.sleep(EVERY_S)

    async def __call__(self) -> None:
        """Until nothing is behind but what others have, or what fails."""
        while await self._go_round():
            pass

    async def _go_round(self) -> bool:
        """True where something was entered, and more is to be."""
        goes_on, last = False, UUID(int=0)
        behind: set[UUID] = set()
        while True:
            page = await self._library.behind(after=last, limit=GALLERIES)
            for gallery_id in page.galleries:
                goes_on |= await self._enter_next(gallery_id)
            behind.update(page.galleries)
            if page.last is None:
                break
            last = page.last
        self._chunks = {gallery_id: most for gallery_id, most in self._chunks.items() if gallery_id in behind}
        return goes_on

    async def _enter_next(self, gallery_id: UUID) -> bool:
        """True where more of it is to be entered at once."""
        most = self._chunks.get(gallery_id, CHUNK)
        try:
            return await self._library.catch_up(gallery_id, most=most) is False
        except _FAILURES as error:
            # A failure may be of one item: then those before it are entered.
            self._chunks[gallery_id] = max(1, most // 2)
            _log.warning(
                "library.catch_up_failed",
                gallery_id=str(gallery_id),
                items=most,
                error=str(error),
                retry_in_s=EVERY_S,
            )
            return False
