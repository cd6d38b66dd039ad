"""Finds a free code without looking one up: the database decides whether it could be taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import CodeScheme
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.errors import CodesExhausted
from kappi_galleries.repository.galleries import GalleryRows


async def take_free_code(codes: CodeScheme, take: Callable[[str], Awaitable[bool]]) -> str:
    """Returns the first code for which `take` returns True. Raises CodesExhausted."""
    for code in codes.attempts():
        if await take(code):
            return code
        metrics.CODE_COLLISIONS.inc()
    raise CodesExhausted(retry_after_s=1)


async def with_new_code(gallery: Gallery, rows: GalleryRows, codes: CodeScheme) -> Gallery:
    """Returns the gallery with another code; its old one is never used again. Raises CodesExhausted."""
    if gallery.code is not None:
        # The code was recorded when it was assigned, unless an older release was still running then.
        await rows.take_code(gallery.code)
    return replace(gallery, code=await take_free_code(codes, rows.take_code))
