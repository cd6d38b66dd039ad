"""Probing in a decoder process, whose reads block because its bytes come through a pipe."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kappi_mediameta.probing.facts import Probe, ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.probe import probe

T = TypeVar("T")


class BlockingSource:
    """A `RangedSource` whose reads never wait."""

    def __init__(self, fetch: Callable[[int, int], bytes], *, size_bytes: int) -> None:
        self._fetch = fetch
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    async def read(self, start: int, length: int) -> bytes:
        return self._fetch(start, length)


def probe_blocking(
    fetch: Callable[[int, int], bytes], fmt: MediaFormat, *, size_bytes: int, limits: ProbeLimits
) -> Probe:
    """Returns what `probe` returns, without an event loop, because no read waits.

    fetch(start, length) returns bytes of the file. Raises ProbeRejected, and the errors of `fetch`.
    """
    return at_once(probe(BlockingSource(fetch, size_bytes=size_bytes), fmt, limits))


def at_once(reading: Coroutine[Any, Any, T]) -> T:
    """Returns the result of a coroutine that never waits."""
    try:
        reading.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    reading.close()
    raise RuntimeError("a read waited")
