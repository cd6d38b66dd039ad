"""TCP ports on the loopback interface."""

from __future__ import annotations

import atexit
import random
import socket
import sys
from collections import deque
from collections.abc import Collection
from pathlib import Path

LOOPBACK = "127.0.0.1"

_LOWEST, _HIGHEST = 10_240, 65_535
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_EPHEMERAL = 32_768
_kept: deque[socket.socket] = deque(maxlen=128)
_given: set[int] = set()


class NoFreePorts(RuntimeError):
    """The machine has too few free ports."""


def free_port() -> int:
    """Returns one of `free_ports`."""
    return free_ports(1)[0]


def free_ports(count: int, *, but: Collection[int] = ()) -> list[int]:
    """Returns different free loopback ports outside the range that the kernel gives to outgoing connections.

    Within that range, an outgoing connection could take a service's port while the service restarts. A
    process gets each port once; on Linux its last 128 ports are also kept from other processes that look for
    free ones. but: ports that other servers are about to use. Raises NoFreePorts.
    """
    first_ephemeral = _first_ephemeral()
    lowest, highest = (
        (_LOWEST, first_ephemeral - 1) if first_ephemeral > _LOWEST + 1_000 else (_LOWEST, _HIGHEST)
    )
    found: dict[int, socket.socket] = {}
    for port in random.sample(range(lowest, highest), min(2_000, highest - lowest)):
        if port in _given or port in but or (probe := _bound(port)) is None:
            continue
        found[port] = probe
        if len(found) == count:
            _keep(found)
            return list(found)
    for probe in found.values():
        probe.close()
    raise NoFreePorts(f"found {len(found)} free ports where {count} are needed")


def can_listen(host: str, port: int) -> OSError | None:
    """Returns None if a server can listen on the address, else the error."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def accepts_tcp(port: int, *, timeout_s: float = 0.2) -> bool:
    """Whether a server listens on this loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def _bound(port: int) -> socket.socket | None:
    """Returns a socket bound to the port, None if the port is taken."""
    probe = socket.socket()
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        probe.close()
        return None
    return probe


def _keep(found: dict[int, socket.socket]) -> None:
    """Keeps the ports bound without listening: they refuse connections and other processes' `bind`.

    On Linux a server can still take such a port, because both sockets set SO_REUSEADDR, as servers do. On
    other systems the server would be refused, too, so the sockets are closed.
    """
    _given.update(found)
    for probe in found.values():
        if sys.platform != "linux":
            probe.close()
            continue
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if len(_kept) == _kept.maxlen:
            _kept.popleft().close()
        _kept.append(probe)


@atexit.register
def _let_go() -> None:
    while _kept:
        _kept.popleft().close()


def _first_ephemeral() -> int:
    try:
        return int(_RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _DEFAULT_EPHEMERAL
