"""The bytes that a walker reads."""

from __future__ import annotations

from typing import Protocol


class ByteSource(Protocol):
    """A file, or a part of one. It raises its own errors, so each reader keeps the meaning of bad input."""

    size_bytes: int

    async def read(self, start: int, length: int) -> bytes:
        """Returns exactly `length` bytes. Raises the source's error for bytes that are missing."""
        ...

    async def scan(self, start: int) -> bytes:
        """Returns some bytes from `start` on, for a walk over many small parts. None at the end."""
        ...

    def damaged(self, detail: str) -> Exception:
        """Returns the source's error for a structure that contradicts itself."""
        ...

    def too_many(self, parts: str) -> Exception:
        """Returns the source's error for a file of more parts than are walked. parts: their name."""
        ...
