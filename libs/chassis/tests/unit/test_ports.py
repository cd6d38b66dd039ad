import gc
import random
import socket
import subprocess
import sys

import pytest
from kappi_chassis.embedded.ports import LOOPBACK, NoFreePorts, accepts_tcp, can_listen, free_port, free_ports


def test_ports_are_different_and_free() -> None:
    ports = free_ports(12)
    assert len(set(ports)) == 12
    assert all(can_listen(LOOPBACK, port) is None for port in ports)
    assert not any(accepts_tcp(port) for port in ports)


def test_a_taken_port_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        error = can_listen(LOOPBACK, taken.getsockname()[1])
    assert error is not None
    assert "in use" in (error.strerror or "")


def test_a_port_is_given_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.sample", lambda population, k: list(population)[:k])
    first, second = free_ports(2), free_ports(2)
    assert not set(first) & set(second)
    expected = free_port() + 1
    assert expected not in free_ports(2, but=[expected])


def test_a_taken_port_is_not_given_and_no_socket_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = random.sample
    with socket.create_server((LOOPBACK, 0)) as server:
        taken: int = server.getsockname()[1]
        monkeypatch.setattr("random.sample", lambda population, k: [taken, *sample(population, k)])
        assert taken not in free_ports(3)
        monkeypatch.setattr("random.sample", lambda population, k: [taken, *sample(population, 8)])
        with pytest.raises(NoFreePorts):
            free_ports(9)
    gc.collect()  # warns of sockets that were left open, which fails the test


_LOOK = f"""
import socket, sys
with socket.socket() as other:
    try:
        other.bind(({LOOPBACK!r}, int(sys.argv[1])))
    except OSError:
        sys.exit("taken")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a server listen on a port that is kept")
def test_a_given_port_is_taken_for_other_processes_but_free_for_its_server() -> None:
    port = free_port()
    other = subprocess.run([sys.executable, "-c", _LOOK, str(port)], capture_output=True, text=True)
    assert other.stderr.strip() == "taken"
    for _ in range(2):  # also a server that is started again
        with socket.create_server((LOOPBACK, port)):
            assert accepts_tcp(port)
            assert can_listen(LOOPBACK, port) is not None
        assert not accepts_tcp(port)
