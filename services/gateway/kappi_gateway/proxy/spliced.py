"""Long bodies that the kernel moves between a client's connection and a service's: objects, archives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kappi_chassis.http.direct_bytes import Direct, DirectSocket
from kappi_chassis.http.edge import CutOff, Send
from kappi_chassis.http.splice import Pace, SourceEnded, TargetEnded, splice

from kappi_gateway import metrics
from kappi_gateway.errors import ClientStalled, RequestTimeout
from kappi_gateway.http.body import ClientLeft
from kappi_gateway.limits.minimum_rate import MinimumRate, RateAllowance
from kappi_gateway.upstream import Answer, Lost


class SplicedBody:
    """The body of a request, of known length. It must be left after the service's answer has begun.

    received: what came with the head. on_end: called when all of it was moved. Making it raises ClientLeft.
    """

    def __init__(self, direct: Direct, *, length: int, rate: MinimumRate, on_end: Callable[[], None]) -> None:
        try:
            self._taken = direct.take_body()
        except ConnectionResetError as error:
            raise ClientLeft from error
        self._rate = rate
        self._on_end = on_end
        self._moving: asyncio.Task[None] | None = None
        self.length = length
        self.received = self._taken.received

    async def move_to(self, target: DirectSocket, *, taking: Pace) -> None:
        """Moves what follows. Raises ClientLeft, RequestTimeout, TargetEnded, and what the pace raises."""
        self._moving = asyncio.current_task()
        source = self._taken.socket
        if source is not None:
            pace = _ClientPace(self._rate, too_late=_too_slow, moved=self._moved)
            try:
                await splice(source, target, self._taken.left, sending=pace, taking=taking)
            except SourceEnded as error:
                raise ClientLeft from error
        self._on_end()

    async def leave(self) -> None:
        """Stops moving. The client's connection drops what the service did not want."""
        if self._moving is not None and not self._moving.done():
            self._moving.cancel()
            await asyncio.wait([self._moving])
        if self._taken.socket is not None:
            self._taken.finish(self._taken.left)
            self._taken.socket.close()

    def _moved(self, size_bytes: int) -> None:
        self._taken.left -= size_bytes


async def splice_rest(response: Answer, direct: Direct, send: Send, rate: MinimumRate) -> bool:
    """Sends the rest of a long answer. Returns False, without an effect, if it is better copied.

    Raises Lost, Silent, ClientStalled, and CutOff when the client has left.
    """
    rest = response.take_rest()
    if rest is None:
        return False
    try:
        if rest.received:
            await send({"type": "http.response.body", "body": rest.received, "more_body": True})
        target = await direct.take_answer(rest.left)
        try:
            pace = _ClientPace(rate, too_late=_stalled)
            await splice(rest.socket, target, rest.left, sending=rest.pace, taking=pace)
        finally:
            target.close()
    except SourceEnded as error:
        raise Lost from error
    except (TargetEnded, ConnectionResetError) as error:
        metrics.CLIENTS_LEFT.inc()
        raise CutOff from error
    finally:
        rest.socket.close()
    rest.finish()
    await send({"type": "http.response.body", "body": b""})
    return True


class _ClientPace:
    """The minimum rate of a client. too_late: makes the error when it is too slow."""

    def __init__(
        self,
        rate: MinimumRate,
        *,
        too_late: Callable[[], Exception],
        moved: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._leeway = RateAllowance(rate)
        self._too_late = too_late
        self._moved = moved
        self._waited_s = 0.0

    async def until(self, ready: Callable[[], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        try:
            async with asyncio.timeout(self._leeway.left_s - self._waited_s):
                await ready()
        except TimeoutError as error:
            raise self._too_late() from error
        self._waited_s += clock() - asked_at

    def moved(self, size_bytes: int) -> None:
        waited_s, self._waited_s = self._waited_s, 0.0
        self._leeway.moved(size_bytes, waited_s=waited_s)
        self._moved(size_bytes)


def _too_slow() -> RequestTimeout:
    return RequestTimeout("Too little came for too long; send it again.")


def _stalled() -> ClientStalled:
    metrics.CLIENTS_STALLED.inc()
    return ClientStalled()
