import socket

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
