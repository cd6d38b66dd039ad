"""Probing where reading blocks: in a decoder process, whose bytes come through a pipe."""

from __future__ import annotations

from collections.abc import Callable

from kappi_media.probing.facts import Probe, ProbeLimits
from kappi_media.probing.formats import MediaFormat
from kappi_media.probing.probe import probe


class _BlockingSource:
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
    probing = probe(_BlockingSource(fetch, size_bytes=size_bytes), fmt, limits)
    try:
        probing.send(None)
    except StopIteration as done:
        facts: Probe = done.value
        return facts
    probing.close()
    raise RuntimeError("a read waited")
