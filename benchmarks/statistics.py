"""Measures the cost of counting a view: stacks with and without statistics run side by side and are measured
in turns.

A second stack without statistics shows how much two equal stacks differ.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial
from itertools import cycle, permutations, product
from pathlib import Path
from statistics import median

import uvloop
from kappi_testkit.stack import EmbeddedStack

from benchmarks.footprint import stack_pids
from benchmarks.load import MakeRequest, closed_loop, request
from benchmarks.processor import ProcessorTime
from benchmarks.row import Row
from benchmarks.world import Endpoint, Gallery, World, small_pictures

VIEW_ITEMS = 100
CONNECTIONS = 16
ROUNDS = 24
OFF, ON, CONTROL = "off", "on", "off again"
SIDES = (OFF, ON, CONTROL)
_LANGUAGES = ("de-AT,de;q=0.9", "en-GB,en;q=0.8", "pt-PT", "ja")
_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/125.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0",
)
# Used for requests to media itself; the gateway replaces them by the address of the peer.
_ADDRESSES = tuple(f"203.0.{number}.7" for number in range(50))


def rows(settings: Mapping[str, str], seconds: float) -> Iterable[Row]:
    """Returns a row for each kind of request and side; `note` has the median of the ratios of the rounds."""
    with ExitStack() as stacks:
        running = {
            side: stacks.enter_context(
                _stack({**settings, "KAPPI_MEDIA_STATISTICS": str(side == ON).lower()})
            )
            for side in SIDES
        }
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_measured(running, seconds))


@contextmanager
def _stack(settings: dict[str, str]) -> Iterator[EmbeddedStack]:
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        stack = EmbeddedStack(Path(folder) / "data", settings=settings)
        stack.start()
        try:
            yield stack
        finally:
            stack.stop()


async def _measured(running: Mapping[str, EmbeddedStack], seconds: float) -> list[Row]:
    worlds = {side: _world(stack) for side, stack in running.items()}
    async with AsyncExitStack() as open_worlds:
        for world in worlds.values():
            await open_worlds.enter_async_context(world)
        galleries = {side: await world.filled(small_pictures(VIEW_ITEMS)) for side, world in worlds.items()}
        return [
            row
            for via in ("media", "gateway")
            async for row in _way(worlds, galleries, via=via, seconds=seconds)
        ]


def _world(stack: EmbeddedStack) -> World:
    services = {name: Endpoint("127.0.0.1", found.port) for name, found in stack.note.services.items()}
    return World(
        Endpoint("127.0.0.1", stack.port),
        services,
        introduction=stack.introduction,
        pids=partial(stack_pids, stack.note),
    )


async def _way(
    worlds: Mapping[str, World], galleries: Mapping[str, Gallery], *, via: str, seconds: float
) -> AsyncIterator[Row]:
    """Measures one kind of request. The rounds use every order of the sides, so that none is always first."""
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    costs: dict[str, list[float]] = {side: [] for side in SIDES}
    failed = dict.fromkeys(rates, 0)
    orders = cycle(permutations(SIDES))
    for _ in range(ROUNDS):
        for side in next(orders):
            endpoint, make = await _asked(worlds[side], galleries[side], via=via)
            async with ProcessorTime(worlds[side].pids) as busy:
                outcome = await closed_loop(
                    endpoint.host, endpoint.port, make, connections=CONNECTIONS, seconds=seconds
                )
            rates[side].append(outcome.per_second)
            used_s = sum(used for role, used in busy.seconds().items() if role != "client")
            # The half second of warming up is included as well, on every side.
            costs[side].append(used_s / max(1, sum(outcome.statuses.values())))
            failed[side] += sum(outcome.statuses.values()) - outcome.statuses[200]
    for side in SIDES:
        note = f"median of {ROUNDS} rounds; {median(costs[side]) * 1e6:.0f} µs of processor each"
        if side != OFF:
            rate, cost = _ratio(rates, side), _ratio(costs, side)
            note += f"; {rate:.3f} of the rate, {cost:.3f} of the processor time"
        per_second = round(median(rates[side]), 1)
        yield Row(
            f"view, statistics {side}", via, f"{CONNECTIONS} conn", per_second, 0, 0, failed[side], note
        )


def _ratio(found: Mapping[str, list[float]], side: str) -> float:
    """Returns the median ratio of a side to the one without statistics, by rounds: a disturbance mostly
    affects both sides of a round.
    """
    return median(it / off for off, it in zip(found[OFF], found[side], strict=True))


async def _asked(world: World, gallery: Gallery, *, via: str) -> tuple[Endpoint, MakeRequest]:
    """Returns requests of different languages, apps and networks, one after the other."""
    endpoint = world.gateway if via == "gateway" else world.services["media"]
    grant = {} if via == "gateway" else await world.grant(gallery, manage=False)
    asks = [
        request(
            "GET",
            f"/v1/g/{gallery.code}",
            host=endpoint.authority,
            headers={
                "accept-encoding": "zstd",
                "accept-language": language,
                "user-agent": agent,
                "x-forwarded-for": address,
                **grant,
            },
        )
        for language, agent, address in product(_LANGUAGES, _AGENTS, _ADDRESSES)
    ]
    return endpoint, lambda number: asks[number % len(asks)]
