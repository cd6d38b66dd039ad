"""Looking for places where reading blocks: in a decoder process, whose bytes come through a pipe."""

from __future__ import annotations

from collections.abc import Callable

from kappi_mediameta.gps_free.edits import Patch
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing.blocking import BlockingSource, at_once


def find_location_blocking(fetch: Callable[[int, int], bytes], *, size_bytes: int) -> tuple[Patch, ...]:
    """`find_location` without an event loop.

    fetch(start, length) gives the file's bytes. Raises Unremovable, and whatever `fetch` raises.
    """
    return at_once(find_location(BlockingSource(fetch, size_bytes=size_bytes)))
