"""Runs one expensive call at a time and takes turns between the callers."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

Limit = Literal["share", "queue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The limits that a caller's places count for. address: of its network; the addresses take turns.

    account: a further limit for the calls of one account from all addresses.
    """

    address: str
    account: str | None = None

    def names(self) -> tuple[str, ...]:
        address = f"address {self.address}"
        return (address,) if self.account is None else (address, f"account {self.account}")


class NoPlace(Exception):
    """limit: "share" if an address or account holds its maximum, "queue" if no place is left at all."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit = limit


@dataclass(eq=False, slots=True)
class _Waiter:
    address: str
    names: tuple[str, ...]
    turn: asyncio.Future[None]


class FairQueue:
    """Serves addresses in turn (round robin), each with its oldest call first.

    places: greatest number of calls running or waiting. share: greatest number for one address or account. If
    no place is left, a call replaces the newest one of the address with most waiting calls, if its own
    address has fewer (the rule of stochastic fairness queueing), so that few addresses cannot keep the others
    out.
    """

    def __init__(self, *, places: int, share: int) -> None:
        self._places = places
        self._share = share
        self._at_work: _Waiter | None = None
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._taken = 0

    @asynccontextmanager
    async def turn(self, shares: Shares) -> AsyncIterator[None]:
        """Waits for the turn and holds it until the end. Raises NoPlace."""
        place = self._enter(shares)
        try:
            await place.turn
            yield
        finally:
            self._leave(place)

    def close(self) -> None:
        """Cancels every waiting call."""
        for line in self._waiting.values():
            for place in line:
                place.turn.cancel()

    def _enter(self, shares: Shares) -> _Waiter:
        names = shares.names()
        if any(self._held[name] >= self._share for name in names):
            raise NoPlace("share")
        if self._taken >= self._places:
            self._make_room(shares.address)
        place = _Waiter(shares.address, names, asyncio.get_running_loop().create_future())
        self._held.update(names)
        self._taken += 1
        self._waiting.setdefault(place.address, deque()).append(place)
        if self._at_work is None:
            self._next()
        return place

    def _make_room(self, address: str) -> None:
        longest = max(self._waiting.values(), key=len, default=deque())
        if len(longest) <= len(self._waiting.get(address, ())) + 1:
            raise NoPlace("queue")
        displaced = longest.pop()
        self._give_up(displaced)
        if not displaced.turn.done():
            displaced.turn.set_exception(NoPlace("queue"))

    def _leave(self, place: _Waiter) -> None:
        if place is self._at_work:
            self._give_up(place)
            self._next()
            return
        line = self._waiting.get(place.address, deque())
        if place in line:  # neither displaced nor passed over
            line.remove(place)
            if not line:
                del self._waiting[place.address]
            self._give_up(place)

    def _next(self) -> None:
        self._at_work = None
        while self._waiting and self._at_work is None:
            address, line = self._waiting.popitem(last=False)
            place = line.popleft()
            if line:
                self._waiting[address] = line  # behind all the others
            if place.turn.done():  # cancelled, and about to leave
                self._give_up(place)
            else:
                self._at_work = place
                place.turn.set_result(None)

    def _give_up(self, place: _Waiter) -> None:
        self._taken -= 1
        for name in place.names:
            self._held[name] -= 1
            if not self._held[name]:
                del self._held[name]
