"""Takes a free code without a look-up before: the database decides whether a code can be taken."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import CodeScheme
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.errors import CodesExhausted, TooManyCodes
from kappi_galleries.repository.galleries import GalleryRows

DAY: Final = timedelta(days=1)


async def with_free_code(
    gallery: Gallery, codes: CodeScheme, take: Callable[[Gallery], Awaitable[bool]]
) -> Gallery:
    """Returns the gallery with the first code with which `take` returns True. Raises CodesExhausted."""
    for code in codes.attempts():
        candidate = replace(gallery, code=code)
        if await take(candidate):
            return candidate
        metrics.CODE_COLLISIONS.inc()
    raise CodesExhausted(retry_after_s=1)


async def with_new_code(gallery: Gallery, rows: GalleryRows, codes: CodeScheme, *, now: datetime) -> Gallery:
    """Returns the locked gallery with another code. Its old code is never assigned again.

    Raises TooManyCodes, CodesExhausted.
    """
    given, first = await rows.other_codes_since(gallery.id, now - DAY)
    if given >= codes.a_day and first is not None:
        metrics.CODE_REFUSALS.inc()
        wait_s = max(1, math.ceil((first + DAY - now).total_seconds()))
        raise TooManyCodes(f"A gallery gets {codes.a_day} a day.", retry_after_s=wait_s)
    if gallery.code is not None:
        # The code was recorded when it was assigned, unless an older release assigned it.
        await rows.take_code(gallery.code)

    async def take(candidate: Gallery) -> bool:
        return await rows.take_another_code(candidate, at=now)

    return await with_free_code(gallery, codes, take)
