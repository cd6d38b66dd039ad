"""Finding a free code without ever looking one up: the database says whether it could be taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import CodeScheme
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.errors import CodesExhausted
from kappi_galleries.repository.galleries import GalleryRows


async def take_free_code(codes: CodeScheme, take: Callable[[str], Awaitable[bool]]) -> str:
    """The first code that `take` takes. Raises CodesExhausted."""
    for code in codes.attempts():
        if await take(code):
            return code
        metrics.CODE_COLLISIONS.inc()
    raise CodesExhausted(retry_after_s=1)


async def with_new_code(gallery: Gallery, rows: GalleryRows, codes: CodeScheme) -> Gallery:
    """The gallery with another code; its old one is never handed out again. Raises CodesExhausted."""
    if gallery.code is not None:
        # Recorded when it was handed out, unless that was while an older release still ran.
        await rows.take_code(gallery.code)
    return replace(gallery, code=await take_free_code(codes, rows.take_code))
