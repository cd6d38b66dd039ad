"""Measures and hashes a file on its way through this service into the store, and reads its first bytes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator

from kappi_chassis.problems import PayloadTooLarge
from kappi_mediameta.probing import SNIFF_BYTES


class MeasuredContent:
    """The pieces of a file, counted while they pass.

    at_most_bytes: of the whole file. too_large: raised as soon as the file is larger.
    """

    def __init__(
        self, pieces: AsyncIterator[bytes], *, at_most_bytes: int, too_large: type[PayloadTooLarge]
    ) -> None:
        self._pieces = pieces
        self._at_most_bytes = at_most_bytes
        self._too_large = too_large
        self._digest = hashlib.sha256()
        self._ahead = bytearray()
        self._ended = False
        self.size_bytes = 0

    @property
    def digest(self) -> bytes:
        """Returns the SHA-256 of the bytes that have passed."""
        return self._digest.digest()

    async def head(self) -> bytes:
        """Returns the first bytes, from which the format is recognised. They are read ahead and are also part
        of `rest`.
        """
        await self._read_ahead(SNIFF_BYTES)
        return bytes(self._ahead[:SNIFF_BYTES])

    async def whole(self, *, at_most_bytes: int) -> bytes | None:
        """Returns the whole file, or None if it is larger. What is read ahead is also part of `rest`."""
        await self._read_ahead(at_most_bytes + 1)
        return bytes(self._ahead) if self._ended else None

    async def rest(self) -> AsyncGenerator[bytes, None]:
        """Yields the whole file, what was read ahead included."""
        if self._ahead:
            yield bytes(self._ahead)
            self._ahead.clear()
        async for piece in self._pieces:
            self._measure(piece)
            yield piece

    async def drain(self) -> None:
        """Read and discard the remaining bytes."""
        async for piece in self._pieces:
            self._measure(piece)

    async def _read_ahead(self, size_bytes: int) -> None:
        while len(self._ahead) < size_bytes and not self._ended:
            piece = await anext(self._pieces, None)
            if piece is None:
                self._ended = True
            else:
                self._measure(piece)
                self._ahead += piece

    def _measure(self, piece: bytes) -> None:
        self.size_bytes += len(piece)
        if self.size_bytes > self._at_most_bytes:
            raise self._too_large(f"The largest file taken here has {self._at_most_bytes} bytes.")
        self._digest.update(piece)
