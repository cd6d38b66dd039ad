"""Finding a free code without ever looking one up: the database says whether it could be taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kappi_galleries import metrics
from kappi_galleries.credentials import CodeScheme
from kappi_galleries.errors import CodesExhausted


async def take_free_code(codes: CodeScheme, take: Callable[[str], Awaitable[bool]]) -> str:
    """The first code that `take` takes. Raises CodesExhausted."""
    for code in codes.attempts():
        if await take(code):
            return code
        metrics.CODE_COLLISIONS.inc()
    raise CodesExhausted(retry_after_s=1)
