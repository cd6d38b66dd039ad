"""The choice of the connections that are kept when the limit is reached."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.http.connections import ConnectionLimits, Connections, TooManyConnections
from kappi_chassis.problems import Overloaded


@dataclass(eq=False)
class Fake:
    peer: str | None
    evicted: bool = False

    def evict(self) -> None:
        self.evicted = True


def opened(connections: Connections, *peers: str | None) -> list[Fake]:
    fakes = [Fake(peer) for peer in peers]
    for fake in fakes:
        assert connections.open(fake) is None
    return fakes


def test_the_longest_idle_connection_is_evicted() -> None:
    connections = Connections(ConnectionLimits(in_all=3))
    first, second, third = opened(connections, "a", "b", "c")
    connections.works(first)
    connections.waits(first)  # it was answered and waits for the next request
    (fourth,) = opened(connections, "d")
    assert [fake.evicted for fake in (first, second, third, fourth)] == [False, True, False, False]


def test_a_new_connection_is_refused_if_all_are_busy() -> None:
    connections = Connections(ConnectionLimits(in_all=2))
    for fake in opened(connections, "a", "b"):
        connections.works(fake)
    assert isinstance(connections.open(Fake("c")), Overloaded)


def test_an_address_at_its_limit_evicts_its_own_connection() -> None:
    connections = Connections(ConnectionLimits(in_all=100, of_address=2))
    other, first, second = opened(connections, "other", "a", "a")
    connections.works(first)
    (third,) = opened(connections, "a")
    assert [fake.evicted for fake in (other, first, second)] == [False, False, True]
    connections.works(third)
    assert isinstance(connections.open(Fake("a")), TooManyConnections)
    opened(connections, "other")


def test_idle_connections_make_an_address_and_then_the_server_crowded() -> None:
    connections = Connections(ConnectionLimits(in_all=10, of_address=4))
    first, second, other = opened(connections, "a", "a", "b")
    assert not connections.is_crowded(first)
    (third,) = opened(connections, "a")
    assert connections.is_crowded(first)
    assert not connections.is_crowded(other)
    connections.works(third)
    assert not connections.is_crowded(second)
    opened(connections, "c", "d", "e")
    assert connections.is_crowded(other)


def test_closing_a_connection_repeatedly_counts_once() -> None:
    connections = Connections(ConnectionLimits(in_all=1, of_address=1))
    for _ in range(3):
        (fake,) = opened(connections, "a")
        connections.works(fake)
        for _ in range(2):
            connections.close(fake)
        connections.waits(fake)


def test_a_limit_of_one_replaces_itself() -> None:
    connections = Connections(ConnectionLimits(in_all=10, of_address=1))
    fakes = [opened(connections, "a")[0] for _ in range(3)]
    assert [fake.evicted for fake in fakes] == [True, True, False]


def test_trusted_and_unknown_peers_have_no_limit_per_address() -> None:
    limits = ConnectionLimits(in_all=3, of_address=1, key_of=lambda peer: None if peer == "proxy" else peer)
    connections = Connections(limits)
    first, *_ = opened(connections, "proxy", "proxy", None)
    opened(connections, "proxy")
    assert first.evicted
