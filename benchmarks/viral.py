"""Measures one gallery with very many viewers while items arrive: how many statements reach the databases.

Rounds differ only in the number of viewers. Each has the same number of arriving items, and a viewer looks at
the gallery once.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import aiohttp
import uvloop
from kappi_testkit.stack import EmbeddedStack

from benchmarks.footprint import stack_pids
from benchmarks.load import Outcome, fixed_rate, request
from benchmarks.processor import ProcessorTime
from benchmarks.row import Row
from benchmarks.world import Endpoint, Gallery, World, small_pictures

ITEMS = 20
ARRIVING = 5
VIEWERS = (300, 3_000, 12_000)
CONNECTIONS = 200
_STATEMENTS = re.compile(r'^kappi_database_pool_wait_seconds_count\{pool="\w+"\} (\S+)', re.MULTILINE)


def rows(settings: Mapping[str, str], seconds: float) -> Iterable[Row]:
    """Returns a row for each number of viewers, who all come within `seconds`; the first has none."""
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        stack = EmbeddedStack(Path(folder) / "data", settings=settings)
        stack.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_measured(stack, seconds))
        finally:
            stack.stop()


async def _measured(stack: EmbeddedStack, seconds: float) -> list[Row]:
    services = {name: Endpoint("127.0.0.1", found.port) for name, found in stack.note.services.items()}
    gateway, pids = Endpoint("127.0.0.1", stack.port), partial(stack_pids, stack.note)
    found = []
    async with World(gateway, services, introduction=stack.introduction, pids=pids) as world:
        gallery = await world.new_gallery()
        await _arrived(world, gallery, ITEMS, seed=0)
        await world.until_ready(gallery, ITEMS)
        arrived = ITEMS
        for viewers in (0, *VIEWERS):
            await stack.wait_idle(timeout_s=300)
            before = await _statements(stack)
            async with ProcessorTime(pids) as busy:
                outcome, _ = await asyncio.gather(
                    _viewed(gateway, gallery, viewers, seconds),
                    _arrived(world, gallery, ARRIVING, seed=arrived),
                )
            arrived += ARRIVING
            await world.until_ready(gallery, arrived)
            await stack.wait_idle(timeout_s=300)
            found.append(_row(viewers, outcome, busy, await _statements(stack) - before))
    return found


async def _viewed(gateway: Endpoint, gallery: Gallery, viewers: int, seconds: float) -> Outcome:
    if not viewers:
        await asyncio.sleep(seconds)
        return Outcome()
    look = request(
        "GET", f"/v1/g/{gallery.code}", host=gateway.authority, headers={"accept-encoding": "zstd"}
    )
    return await fixed_rate(
        gateway.host,
        gateway.port,
        lambda _: look,
        per_second=viewers / seconds,
        seconds=seconds,
        connections=min(viewers, CONNECTIONS),
    )


async def _arrived(world: World, gallery: Gallery, count: int, *, seed: int) -> None:
    for number in range(count):
        (upload_id,) = await world.uploaded(gallery, small_pictures(1, seed=seed + number))
        await world.complete(gallery, upload_id)


async def _statements(stack: EmbeddedStack) -> Counter[str]:
    """Returns how often each service has taken a database connection: for a statement, or a transaction."""
    taken: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        for name, service in stack.note.services.items():
            async with session.get(f"http://127.0.0.1:{service.ops_port}/metrics") as answer:
                counts = _STATEMENTS.findall(await answer.text())
            taken[name] = round(sum(map(float, counts)))
    return taken


def _row(viewers: int, outcome: Outcome, busy: ProcessorTime, statements: Counter[str]) -> Row:
    spent = busy.seconds()
    note = ", ".join(
        f"{name} {statements[name]} statements {spent.get(name, 0.0):.2f} s"
        for name in ("galleries", "media")
    )
    note += f", database {spent.get('database', 0.0):.2f} s, gateway {spent.get('gateway', 0.0):.2f} s"
    return Row(
        "one gallery, items arriving",
        "gateway",
        f"{viewers} viewers",
        outcome.per_second,
        outcome.percentile_ms(50) if viewers else 0,
        outcome.percentile_ms(99) if viewers else 0,
        sum(outcome.statuses.values()) - outcome.statuses[200],
        note,
    )
