"""Moves bytes from one connection to another within the kernel, without a copy in this process."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from kappi_chassis.http.direct_bytes import DirectSocket

LEAST_BYTES: Final = 256 << 10
"""A shorter body costs more to splice than to copy."""
CAN_SPLICE: Final = hasattr(os, "splice")

_STEP_BYTES: Final = 1 << 20
_PAUSE_BELOW_BYTES: Final = 256 << 10
_PAUSE_S: Final = 0.002
"""The pause after a step that moved little: several packets then need one step."""


class SourceEnded(Exception):
    """The connection that the bytes come from ended before all of them had come."""


class TargetEnded(Exception):
    """The connection that the bytes go to ended."""


class Pace(Protocol):
    """How long one side may take."""

    async def until(self, ready: Callable[[], Awaitable[None]]) -> None:
        """Waits until the side is ready. Raises an error of its own when that takes too long."""

    def moved(self, size_bytes: int) -> None:
        """Is told how many bytes the side has sent or taken since the last call."""


async def splice(
    source: DirectSocket, target: DirectSocket, length: int, *, sending: Pace, taking: Pace
) -> None:
    """Moves the next `length` bytes of the source to the target.

    sending, taking: the paces of source and target. Raises SourceEnded, TargetEnded, and what the paces
    raise.
    """
    with _pipe() as (reading_end, writing_end):
        while length:
            moved = _step(source.socket.fileno(), writing_end, min(length, _STEP_BYTES), SourceEnded)
            if moved is None:
                await sending.until(source.readable)
                continue
            if not moved:
                raise SourceEnded
            sending.moved(moved)
            length -= moved
            left = moved
            while left:
                taken = _step(reading_end, target.socket.fileno(), left, TargetEnded)
                if taken is None:
                    await taking.until(target.writable)
                else:
                    left -= taken
            taking.moved(moved)
            # Other connections get their turn, also when this one never has to wait.
            await asyncio.sleep(_PAUSE_S if length and moved < _PAUSE_BELOW_BYTES else 0)


def _step(source: int, target: int, length: int, ended: type[Exception]) -> int | None:
    """Returns the number of bytes that were moved, None if that would have to wait."""
    try:
        return os.splice(source, target, length, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
    except BlockingIOError:
        return None
    except OSError as error:
        raise ended from error


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Yields the ends of a pipe for reading and writing. It holds pages of the kernel, no copies."""
    reading_end, writing_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a user may have few large pipes; a small one only needs more steps
            fcntl.fcntl(writing_end, fcntl.F_SETPIPE_SZ, _STEP_BYTES)
        yield reading_end, writing_end
    finally:
        os.close(reading_end)
        os.close(writing_end)
