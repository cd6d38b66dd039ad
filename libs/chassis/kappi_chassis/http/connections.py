"""Limits of the connections of a port, in all and per address.

A connection costs its client nothing and this process a descriptor and some memory. If no place is left, the
connection that has waited longest for a request is closed. A new connection is refused only if none waits.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

from kappi_chassis.observability import metrics
from kappi_chassis.problems import Overloaded, Problem, TooManyRequests

RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of concurrent connections.

    in_all: greatest number, at most half of the descriptors of this process. of_address: greatest number for
    one key. key_of: returns the key of an address; None for an address that many clients share, which has no
    limit of its own.
    """

    in_all: int = 10_000
    of_address: int | None = None
    key_of: Callable[[str], Hashable | None] = lambda address: address


def places_for(in_all: int) -> int:
    """Returns the number of connections that a port accepts when its setting is `in_all`."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(in_all, descriptors // 2)


class Connection(Protocol):
    """peer: the address at the other end, None if it is unknown."""

    @property
    def peer(self) -> str | None: ...

    def evict(self) -> None:
        """Closes the connection; its place was given to another."""


class TooManyConnections(TooManyRequests):
    code, title = "too_many_connections", "Too many connections from one address"


class Connections:
    """The open connections of one port."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._all = _Group(None, most=places_for(limits.in_all))
        self._by_key: dict[Hashable, _Group] = {}
        self.drains = False  # whether each connection ends after its next answer
        self._groups: dict[Connection, tuple[_Group, ...]] = {}

    def open(self, connection: Connection) -> Problem | None:
        """Counts a new connection, which waits.

        Returns the problem to answer with if there is no place for it.
        """
        groups = (self._all, *self._own_group(connection.peer))
        for group in groups:
            if group.count >= group.most and not self._make_room(group):
                return _refusal(group)
        self._groups[connection] = groups
        for group in groups:
            group.count += 1
            if group.key is not None:
                self._by_key[group.key] = group
        metrics.HTTP_CONNECTIONS.inc()
        self.waits(connection)
        return None

    def waits(self, connection: Connection) -> None:
        """Marks a connection without a running request."""
        for group in self._groups.get(connection, ()):
            group.waiting[connection] = None

    def is_crowded(self, connection: Connection) -> bool:
        """Whether waiting connections have more than half of the places of its address, or of all places."""
        return any(2 * len(group.waiting) > group.most for group in self._groups.get(connection, ()))

    def works(self, connection: Connection) -> None:
        """Marks a connection on which the head of a request arrived."""
        for group in self._groups.get(connection, ()):
            group.waiting.pop(connection, None)

    def close(self, connection: Connection) -> None:
        """Forgets a connection that is closed or about to be."""
        self.works(connection)
        groups = self._groups.pop(connection, None)
        if groups is None:
            return
        metrics.HTTP_CONNECTIONS.dec()
        for group in groups:
            group.count -= 1
            if group.key is not None and not group.count:
                del self._by_key[group.key]

    def _own_group(self, peer: str | None) -> tuple[_Group, ...]:
        most = self._limits.of_address
        key = None if most is None or peer is None else self._limits.key_of(peer)
        if most is None or key is None:
            return ()
        return (self._by_key.get(key) or _Group(key, most=most),)

    def _make_room(self, group: _Group) -> bool:
        limit = "all" if group.key is None else "address"
        if not group.waiting:
            metrics.HTTP_CONNECTIONS_REFUSED.labels(limit).inc()
            return False
        metrics.HTTP_CONNECTIONS_EVICTED.labels(limit).inc()
        longest_waiting = next(iter(group.waiting))
        self.close(longest_waiting)
        longest_waiting.evict()
        return True


class _Group:
    """The connections of one address, or all. waiting: those without a request, oldest first."""

    __slots__ = ("count", "key", "most", "waiting")

    def __init__(self, key: Hashable | None, *, most: int) -> None:
        self.key = key
        self.most = most
        self.count = 0
        self.waiting: dict[Connection, None] = {}


def _refusal(group: _Group) -> Problem:
    if group.key is None:
        return Overloaded("Try again in a moment.", retry_after_s=RETRY_AFTER_S)
    return TooManyConnections("Let a request end, or use fewer connections.", retry_after_s=RETRY_AFTER_S)
