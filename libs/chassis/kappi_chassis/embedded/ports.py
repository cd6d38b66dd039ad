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
    """One of `free_ports`."""
    return free_ports(1)[0]


def free_ports(count: int, *, but: Collection[int] = ()) -> list[int]:
    """Different loopback ports nobody listens on, outside the range the kernel lends to outgoing connections.

    Within that range, somebody's connection could sit on a service's port while the service restarts.
    A process is given each port once; on Linux nobody else who looks for a free one is given its last 128.
    but: ports that others are about to listen on. Raises NoFreePorts.
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
    """None when the address can be listened on, else why not."""
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
    """Whether somebody listens on this loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def _bound(port: int) -> socket.socket | None:
    """None: somebody has it."""
    probe = socket.socket()
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        probe.close()
        return None
    return probe


def _keep(found: dict[int, socket.socket]) -> None:
    """Bound and not listened on, a port refuses connections and others' `bind`, but no server's.

    So it is on Linux, where both say SO_REUSEADDR, as servers do. Elsewhere a server would be refused, too.
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
