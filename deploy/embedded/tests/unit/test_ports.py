import socket

import pytest
from kappi_embedded.ports import can_listen, free_ports


def test_ports_are_different_and_free() -> None:
    ports = free_ports(12)
    assert len(set(ports)) == 12
    assert all(can_listen("127.0.0.1", port) is None for port in ports)


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = can_listen("127.0.0.1", taken.getsockname()[1])
    assert error is not None
    assert "in use" in (error.strerror or "")


def test_nobody_is_given_a_port_that_somebody_else_is_about_to_listen_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.sample", lambda population, k: list(population)[:k])
    first, second = free_ports(2), free_ports(2)
    assert not set(first) & set(second)
    expected = free_ports(1)[0] + 1
    assert expected not in free_ports(2, but=[expected])
