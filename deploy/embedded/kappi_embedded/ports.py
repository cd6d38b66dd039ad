"""Ports for the services, which keep them over restarts."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from kappi_chassis.embedded.ports import LOOPBACK

_LOWEST, _HIGHEST = 10_240, 65_535
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_EPHEMERAL = 32_768
_given: set[int] = set()  # by this process: whoever has one may not listen on it yet


class NoFreePorts(RuntimeError):
    """The machine has too few free ports."""


def free_ports(count: int, *, but: Collection[int] = ()) -> list[int]:
    """Different loopback ports nobody listens on, outside the range the kernel lends to outgoing connections.

    Within that range, somebody's connection could sit on a service's port while the service restarts.
    A process is given each port once. but: ports that others are about to listen on.
    Raises NoFreePorts.
    """
    first_ephemeral = _first_ephemeral()
    lowest, highest = (
        (_LOWEST, first_ephemeral - 1) if first_ephemeral > _LOWEST + 1_000 else (_LOWEST, _HIGHEST)
    )
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(range(lowest, highest), min(2_000, highest - lowest)):
            if port in _given or port in but:
                continue
            probe = held.enter_context(socket.socket())
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                _given.update(found)
                return found
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


def _first_ephemeral() -> int:
    try:
        return int(_RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _DEFAULT_EPHEMERAL
