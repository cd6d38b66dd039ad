"""What a small call costs the program in front of a service: Kappi's gateway, and nginx as a bare proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial

from benchmarks.gateway import CALLS, Front, start_fronts
from benchmarks.peers.generator import repeated, send
from benchmarks.peers.measuring import CALL, Measured, Options, measured
from benchmarks.peers.rounds import Turn, in_rounds
from benchmarks.world import Endpoint

CONNECTIONS = 16
_KINDS = ("view with a kept grant", "call without a grant")


async def hop(options: Options) -> AsyncIterator[Measured]:
    """Measures small GETs to one nginx that answers at once, on 16 connections."""
    if not options.programs.nginx:
        return
    with ExitStack() as stack:
        _, nginx, gateway = start_fronts(stack, options.folder, [], None)
        for kind in _KINDS:
            call = CALLS[kind]
            fronts = {"Kappi's gateway": gateway, "nginx: proxy_pass": nginx}
            subjects = {name: partial(_calls, front, call, options.calls) for name, front in fronts.items()}
            yield Measured(f"Hop: {kind}", CALL, await in_rounds(subjects, options.rounds))


async def _calls(front: Front, call: bytes, count: int) -> Turn:
    each = count // CONNECTIONS
    journeys = (repeated(call, count=each, expected=200) for _ in range(CONNECTIONS))
    work = partial(send, Endpoint("127.0.0.1", front.port), journeys, connections=CONNECTIONS)
    return measured(work, pids=partial(_one, front), units=each * CONNECTIONS)


def _one(front: Front) -> set[int]:
    assert front.pid is not None
    return {front.pid}
