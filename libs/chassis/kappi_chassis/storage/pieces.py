"""Bytes that come in chunks of any length, regrouped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable


async def in_pieces(chunks: AsyncIterator[bytes], *, size_of: Callable[[int], int]) -> AsyncGenerator[bytes]:
    """The same bytes in pieces: the n-th (from 1) has `size_of(n)` bytes, the last one what is left.

    An empty stream has one empty piece.
    """
    buffered = bytearray()
    number, wanted = 1, size_of(1)
    async for chunk in chunks:
        buffered += chunk
        while len(buffered) > wanted:  # not >=: the last piece must be known as such, and never be empty
            yield bytes(memoryview(buffered)[:wanted])
            del buffered[:wanted]
            number += 1
            wanted = size_of(number)
    yield bytes(buffered)
