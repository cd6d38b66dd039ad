"""Enters older items in their owner's library: those of a claimed gallery, and those uploaded before the
library existed.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import asyncpg
from kappi_chassis.idle_pause import IdlePause
from kappi_chassis.observability.logs import get_logger

from kappi_media.repository.library_catch_up import CatchUpQueries

EVERY_S: Final = 1.0
LONGEST_PAUSE_S: Final = 4.0
CHUNK: Final = 100
"""The number of items that one transaction enters while it holds the gallery's lock."""
GALLERIES: Final = 500
"""The number of galleries that are read at a time."""

_FAILURES: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)
_log = get_logger(__name__)


class CatchUpLibrary:
    """Enters the items of all galleries that are behind.

    Many replicas may run it: a gallery is locked for each chunk, and entering an item twice has the effect of
    entering it once. It takes one chunk of each gallery in turn, so that no gallery waits for the end of
    another.
    """

    def __init__(self, library: CatchUpQueries) -> None:
        self._library = library
        self._chunks: dict[UUID, int] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        pause = IdlePause(EVERY_S, longest_s=LONGEST_PAUSE_S)
        while True:
            much = False
            try:
                much = await self()
            except _FAILURES as error:
                _log.warning("library.catch_up_failed", error=str(error), retry_in_s=EVERY_S)
            await asyncio.sleep(pause.after(found=much))

    async def __call__(self) -> bool:
        """Enter items until no gallery is behind, except those that another replica holds or that fail.

        Returns whether there was much to enter.
        """
        much = False
        while await self._go_round():
            much = True
        return much

    async def _go_round(self) -> bool:
        """Returns True when something was entered and more is to be entered."""
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
        """Returns True when more items of the gallery are to be entered at once."""
        most = self._chunks.get(gallery_id, CHUNK)
        try:
            return await self._library.catch_up(gallery_id, most=most) is False
        except _FAILURES as error:
            # The failure may be caused by one item. Smaller chunks enter the items before it.
            self._chunks[gallery_id] = max(1, most // 2)
            _log.warning(
                "library.catch_up_failed",
                gallery_id=str(gallery_id),
                items=most,
                error=str(error),
                retry_in_s=EVERY_S,
            )
            return False
