"""Makes films under the control of a test."""

from __future__ import annotations

import asyncio
from typing import Any

from kappi_media.rendering.failures import DecoderKilled
from kappi_media.rendering.film_maker import FilmMaker


class Interrupted(FilmMaker):
    """A maker of films that can be stopped. go: makes as many pieces more. killed: as if the machine had no
    memory, after those.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.go = asyncio.Semaphore(1_000)
        self.killed = False

    async def pieces(self, *given: Any, **known: Any) -> Any:
        self.begun.append(known["ticks"])
        made = super().pieces(*given, **known)
        try:
            async for piece in made:
                if self.killed and self.go.locked():
                    raise DecoderKilled("ended with -9")
                await self.go.acquire()
                yield piece
        finally:
            await made.aclose()
