"""Finds a free code without looking one up: the database decides whether it could be taken."""

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


async def take_free_code(codes: CodeScheme, take: Callable[[str], Awaitable[bool]]) -> str:
    """Returns the first code for which `take` returns True. Raises CodesExhausted."""
    for code in codes.attempts():
        if await take(code):
            return code
        metrics.CODE_COLLISIONS.inc()
    raise CodesExhausted(retry_after_s=1)


async def with_new_code(gallery: Gallery, rows: GalleryRows, codes: CodeScheme, *, now: datetime) -> Gallery:
    """The locked gallery with another code; its old one is never handed out again.

    Raises TooManyCodes, CodesExhausted.
    """
    given, first = await rows.other_codes_since(gallery.id, now - DAY)
    if given >= codes.a_day and first is not None:
        metrics.CODE_REFUSALS.inc()
        wait_s = max(1, math.ceil((first + DAY - now).total_seconds()))
        raise TooManyCodes(f"A gallery gets {codes.a_day} a day.", retry_after_s=wait_s)
    if gallery.code is not None:
        # The code was recorded when it was assigned, unless an older release was still running then.
        await rows.take_code(gallery.code)

    async def take(code: str) -> bool:
        return await rows.take_another_code(code, gallery.id, at=now)

    return replace(gallery, code=await take_free_code(codes, take))
