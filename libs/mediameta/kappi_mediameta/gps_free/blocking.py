"""Location removal in a decoder process, whose reads block because its bytes come through a pipe."""

from __future__ import annotations

from collections.abc import Callable

from kappi_mediameta.gps_free.edits import Patch
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing.blocking import BlockingSource, at_once


def find_location_blocking(fetch: Callable[[int, int], bytes], *, size_bytes: int) -> tuple[Patch, ...]:
    """Returns what `find_location` returns, without an event loop.

    fetch(start, length) returns bytes of the file. Raises Unremovable, and the errors of `fetch`.
    """
    return at_once(find_location(BlockingSource(fetch, size_bytes=size_bytes)))
