"""A seekable file over ranged reads, for libraries that read only files."""

from __future__ import annotations

import errno
import io
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Fetch = Callable[[int, int], bytes]


class RangedFile(io.RawIOBase):
    """Reads aligned blocks through `fetch(start, length)` and caches the last few.

    Memory is bounded by block_bytes * kept_blocks. It is not thread-safe.
    """

    def __init__(self, fetch: Fetch, *, size_bytes: int, block_bytes: int, kept_blocks: int = 8) -> None:
        super().__init__()
        self._fetch = fetch
        self._size = size_bytes
        self._block_bytes = block_bytes
        self._kept = kept_blocks
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0
        self._fetched_bytes = 0
        self._allowed_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        return self._size

    def allow(self, total_bytes: int) -> None:
        """Limit the bytes fetched in all. Further reading raises OSError."""
        self._allowed_bytes = total_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("seek before the start")
        self._position = base + offset
        return self._position

    def readall(self) -> bytes:
        """Returns the bytes from the current position to the end, block by block: the default reads 8 KiB at
        a time.
        """
        parts = []
        while self._position < self._size:
            number, offset = divmod(self._position, self._block_bytes)
            part = self._block(number)[offset:]
            if not part:
                break  # the object is shorter than its declared size
            parts.append(part)
            self._position += len(part)
        return b"".join(parts)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fills as much as one block holds: callers loop, as with any raw file."""
        view = memoryview(buffer).cast("B")
        if self._position >= self._size or not len(view):
            return 0
        number, offset = divmod(self._position, self._block_bytes)
        part = self._block(number)[offset : offset + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is not None:
            self._blocks.move_to_end(number)
            return block
        start = number * self._block_bytes
        length = min(self._block_bytes, self._size - start)
        self._fetched_bytes += length
        if self._allowed_bytes is not None and self._fetched_bytes > self._allowed_bytes:
            raise OSError(errno.EFBIG, "read enough of this file")
        block = self._fetch(start, length)
        self._blocks[number] = block
        if len(self._blocks) > self._kept:
            self._blocks.popitem(last=False)
        return block
