"""One stream: the chunks that wait for its client, and the reason of its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from uuid import UUID


class End(Enum):
    """The reason of a stream's end. The value is its name in metrics."""

    LEFT = "left"
    """The client went away."""
    ACCESS = "access"
    """The client may not see the gallery any more."""
    DELETED = "deleted"
    SLOW = "slow"
    """The client did not read."""
    INTERRUPTED = "interrupted"
    """Changes may have been missed, or the access could not be checked."""
    DRAINED = "drained"
    """The gateway stops."""


class Stream:
    """A stream of one client.

    code: the code that the client came with. is_protected: it came with a password, too. joined: number of
    the last change that its beginning contains. slot: its turn for heartbeats. cut: closes the connection of
    a client that does not read. most_waiting: chunks that may wait for the client.
    """

    __slots__ = (
        "_cut",
        "_most_waiting",
        "_waiter",
        "_waiting",
        "code",
        "ended",
        "gallery_id",
        "is_protected",
        "joined",
        "slot",
    )

    def __init__(
        self,
        *,
        gallery_id: UUID,
        code: str,
        is_protected: bool,
        joined: int,
        slot: int,
        cut: Callable[[], None],
        most_waiting: int,
    ) -> None:
        self.gallery_id = gallery_id
        self.code = code
        self.is_protected = is_protected
        self.joined = joined
        self.slot = slot
        self.ended: End | None = None
        self._cut = cut
        self._most_waiting = most_waiting
        self._waiting: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, chunk: bytes) -> None:
        """Adds a chunk. A stream whose client does not read is cut instead."""
        if self.ended is not None:
            return
        if len(self._waiting) >= self._most_waiting:
            self.end(End.SLOW)
            self._cut()
            return
        self._waiting.append(chunk)
        self._wake()

    def end(self, reason: End) -> None:
        """Ends the stream after what waits. The first reason stays."""
        if self.ended is None:
            self.ended = reason
            self._wake()

    async def read(self) -> bytes | None:
        """Returns the next chunk; None at the end.

        Chunks are shared by the streams of a gallery. Joined ones would be memory of each slow client.
        """
        while not self._waiting:
            if self.ended is not None:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._waiting.pop(0)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
