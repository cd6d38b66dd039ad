"""The bytes that a walker reads."""

from __future__ import annotations

from typing import Protocol


class ByteSource(Protocol):
    """A file, or a part of one. It raises its own error for bytes that are not there."""

    size_bytes: int

    async def read(self, start: int, length: int) -> bytes:
        """Returns exactly `length` bytes."""
        ...
