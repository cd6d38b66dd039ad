"""`python -m benchmarks.library [--items N] [--small N] [--seconds S]`: measures library searches through the
gateway.

Two libraries of one database, a large and a small one, are loaded by COPY. The first page of each filter, and
of each pair of filters, is requested at 100 requests a second. On the small library each filter is measured
alone, to show which times grow with the library. The load generator shares the machine with the stack.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import asyncpg
import uvloop
from kappi_testkit.stack import GENEROUS, EmbeddedStack

from benchmarks.accounts import Account
from benchmarks.footprint import stack_pids
from benchmarks.library_data import load, word
from benchmarks.load import fixed_rate, request
from benchmarks.world import Endpoint, World

RATE: Final = 100
SETTINGS: Final = {**GENEROUS, "KAPPI_EMBEDDED_DURABLE": "1", "KAPPI_LOG_LEVEL": "WARNING"}
ORDERS: Final = ("-taken_at", "taken_at", "-created_at", "created_at")


def filters(gallery_id: UUID, latitude: float, longitude: float) -> dict[str, str]:
    """Returns common and rare filters by name; the names of one kind begin with the same word."""
    near = f"{latitude:.4f},{longitude:.4f}"
    box = ",".join(
        f"{side:.4f}" for side in (longitude - 0.5, latitude - 0.5, longitude + 0.5, latitude + 0.5)
    )
    return {
        "nothing": "",
        "tag half": "tag=half-even",
        "tag some": "tag=tag-250",
        "tag rare": "tag=rare",
        "tags apart": "tag=half-even&tag=half-odd",
        "location all": "location=pla",
        "location rare": "location=ultima",
        "kind image": "kind=image",
        "kind video": "kind=video",
        "gallery": f"gallery_id={gallery_id}",
        "taken year": "taken_from=2020-01-01&taken_to=2021-01-01",
        "taken day": "taken_from=2020-03-01&taken_to=2020-03-02",
        "uploaded year": "uploaded_from=2020-01-01&uploaded_to=2021-01-01",
        "uploaded day": "uploaded_from=2020-03-01&uploaded_to=2020-03-02",
        "q one letter": "q=g",
        "q all": "q=img",
        "q word": f"q={quote(word(300))}",
        "q rare": f"q={quote(word(1999))}",
        "q none": "q=zzqx",
        "near": f"near={near}&within_km=10",
        "near far": f"near={near}&within_km=900",
        "bbox": f"bbox={box}",
        "bbox world": "bbox=-180,-90,180,90",
        "bbox empty": "bbox=-170,-85,170,-70",
    }


def pairs(named: dict[str, str]) -> dict[str, str]:
    """Returns all pairs of filters of different kinds."""
    kind_of = {name: name.split(" ")[0].removesuffix("s") for name in named}
    return {
        f"{one} + {other}": f"{named[one]}&{named[other]}"
        for one, other in combinations([name for name in named if named[name]], 2)
        if kind_of[one] != kind_of[other]
    }


class Reader(Account):
    """An account with a library, and requests for its pages."""

    async def measure(self, query: str, *, seconds: float) -> tuple[float, float, int]:
        """Returns p50 and p99 in milliseconds, and the number of failed requests."""
        gateway = self.world.gateway
        ask = request("GET", f"/v1/media?{query}", host=gateway.authority, headers=self.headers)
        outcome = await fixed_rate(
            gateway.host, gateway.port, lambda _: ask, per_second=RATE, seconds=seconds
        )
        failed = sum(count for status, count in outcome.statuses.items() if status != 200)
        return outcome.percentile_ms(50), outcome.percentile_ms(99), failed

    async def found(self, query: str) -> tuple[int, bool]:
        """Returns the number of items on the first page, and whether there is a next page."""
        page = await self.world.ask("GET", f"{self.world.gateway.url}/v1/media?{query}", headers=self.headers)
        return len(page["items"]), page["next_cursor"] is not None


async def run(stack: EmbeddedStack, options: argparse.Namespace) -> int:
    services = {name: Endpoint("127.0.0.1", found.port) for name, found in stack.note.services.items()}
    pids = partial(stack_pids, stack.note)
    gateway = Endpoint("127.0.0.1", stack.port)
    async with World(gateway, services, introduction=stack.introduction, pids=pids) as world:
        large, small = await Reader.sign_up(world), await Reader.sign_up(world)
        url = stack.database_url("media")
        await load(url, small.id, items=options.small)
        galleries = await load(url, large.id, items=options.items)
        latitude, longitude = await _somewhere(url, large.id)
        named = filters(galleries[50], latitude, longitude)
        print(f"{options.items:,} items and {options.small:,}, {RATE} requests a second, milliseconds")
        failed = await _each(large, small, named, seconds=options.seconds)
        for order in ORDERS[1:]:
            ordered = {f"{name} by {order}": f"{query}&sort={order}" for name, query in named.items()}
            failed += await _worst(large, ordered, seconds=options.seconds, shown=5)
        return failed + await _worst(large, pairs(named), seconds=options.seconds, shown=20)


async def _each(large: Reader, small: Reader, named: dict[str, str], *, seconds: float) -> int:
    print(f"{'filter':<44} {'p50':>7} {'p99':>7} {'p50 of small':>13} {'ratio':>6} {'found':>6}")
    failures = 0
    for name, query in named.items():
        await large.log_in()
        await small.log_in()
        await large.measure(query, seconds=0.2)
        p50, p99, failed = await large.measure(query, seconds=seconds)
        small_p50, _, small_failed = await small.measure(query, seconds=seconds)
        count, more = await large.found(query)
        found = f"{count}{'+' if more else ''}"
        print(f"{name:<44} {p50:>7.1f} {p99:>7.1f} {small_p50:>13.1f} {p50 / small_p50:>6.2f} {found:>6}")
        failures += failed + small_failed
    return failures


async def _worst(reader: Reader, named: dict[str, str], *, seconds: float, shown: int) -> int:
    measured, failures = [], 0
    for number, (name, query) in enumerate(named.items()):
        if number % 20 == 0:
            await reader.log_in()
        p50, p99, failed = await reader.measure(query, seconds=seconds)
        measured.append((p99, p50, name))
        failures += failed
    measured.sort(reverse=True)
    within = sum(p99 < 50 for p99, _, _ in measured)
    print(f"\n{within} of {len(measured)} have a p99 under 50 ms; the slowest, with p50 and p99:")
    for p99, p50, name in measured[:shown]:
        print(f"{name:<44} {p50:>7.1f} {p99:>7.1f}")
    return failures


async def _somewhere(url: str, owner_id: UUID) -> tuple[float, float]:
    connection = await asyncpg.connect(url)
    try:
        row: Any = await connection.fetchrow(
            "SELECT latitude, longitude FROM library WHERE owner_id = $1 AND place = 'place 0'"
            " AND latitude IS NOT NULL LIMIT 1",
            owner_id,
        )
    finally:
        await connection.close()
    return row["latitude"], row["longitude"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.library", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000, help="of the large library")
    parser.add_argument("--small", type=int, default=50_000, help="of the small one")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        stack = EmbeddedStack(Path(folder) / "data", settings=SETTINGS)
        stack.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                failed = runner.run(run(stack, options))
        finally:
            stack.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
