"""Probing where reading blocks: in a decoder process, whose bytes come through a pipe."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kappi_mediameta.probing.facts import Probe, ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.probe import probe

T = TypeVar("T")


class BlockingSource:
    """A `RangedSource` whose reads are over when they are awaited."""

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
    """`probe` without an event loop, which it has no need of when no read ever waits.

    fetch(start, length) gives the file's bytes. Raises ProbeRejected, and whatever `fetch` raises.
    """
    return at_once(probe(BlockingSource(fetch, size_bytes=size_bytes), fmt, limits))


def at_once(reading: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits."""
    try:
        reading.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    reading.close()
    raise RuntimeError("a read waited")
