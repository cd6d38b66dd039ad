"""Regroups chunks of bytes into pieces of given sizes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable


async def rechunk(
    chunks: AsyncIterator[bytes], *, size_of: Callable[[int], int]
) -> AsyncGenerator[bytearray]:
    """Yields the same bytes in pieces: the n-th (from 1) has `size_of(n)` bytes, the last one the rest.

    An empty stream has one empty piece. A piece belongs to the caller: only one is in memory if the caller
    drops it before asking for the next.
    """
    piece = bytearray()
    number, wanted = 1, size_of(1)
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            # Here, not below: the last piece must be recognized as such, and never be empty.
            if len(piece) == wanted:
                yield piece
                piece = bytearray()
                number += 1
                wanted = size_of(number)
            taken = wanted - len(piece)
            piece += rest[:taken]
            rest = rest[taken:]
    yield piece
