"""`python -m benchmarks [SCENARIO…] [--seconds N]`: starts the embedded stack, measures, prints, appends to
the results.

The load generator shares the machine with the stack, so the figures are those of the whole machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop
from kappi_testkit.stack import GENEROUS, EmbeddedStack

from benchmarks import events, live, micro, statistics, transfers, viral
from benchmarks.footprint import footprint, idle_processor, stack_pids
from benchmarks.machine import commit, machine
from benchmarks.row import Row
from benchmarks.scenarios import ON_DEFAULT_STACK, WITHOUT_PAGE_CACHE, Scenario
from benchmarks.world import Endpoint, World, utc_now_text

RESULTS = Path(__file__).parent / "results.jsonl"
LIBRARIES = (
    "aiohttp",
    "aiokafka",
    "asyncpg",
    "fastapi",
    "msgspec",
    "pyvips-binary",
    "sqlalchemy",
    "starlette",
    "uvicorn",
)
IDLE_AFTER_S = 150.0  # longer than all pauses that grow while nothing happens
IDLE_FOR_S = 60.0
DURABLE = {**GENEROUS, "KAPPI_EMBEDDED_DURABLE": "1", "KAPPI_LOG_LEVEL": "WARNING"}
NO_PAGE_CACHE = {**DURABLE, "KAPPI_MEDIA_VIEW_CACHE_BYTES": "0"}


def main() -> int:
    options = _options()
    chosen = set(options.scenarios or _names())
    rows: list[Row] = []
    _print_head()
    if "start" in chosen:
        _report(rows, _start())
    if "micro" in chosen:
        _report(rows, micro.rows())
    if "events" in chosen:
        _report(rows, events.rows(options.seconds))
    if "live" in chosen:
        _report(rows, live.rows(DURABLE, options.seconds))
    if "statistics" in chosen:
        _report(rows, statistics.rows(DURABLE, options.seconds))
    if "transfers" in chosen:
        _report(rows, transfers.rows(DURABLE))
    if "viral" in chosen:
        _report(rows, viral.rows(DURABLE, options.seconds))
    for scenarios, settings in ((ON_DEFAULT_STACK, DURABLE), (WITHOUT_PAGE_CACHE, NO_PAGE_CACHE)):
        wanted = {name: scenario for name, scenario in scenarios.items() if name in chosen}
        if wanted:
            _on_stack(rows, wanted, settings, options.seconds)
    record = {"at": utc_now_text(), "commit": commit(), "machine": machine(), "versions": _versions()}
    with RESULTS.open("a") as results:
        results.write(json.dumps({**record, "rows": [row.as_dict() for row in rows]}) + "\n")
    print(f"\nAppended to {os.path.relpath(RESULTS)}")
    return 1 if any(row.failed for row in rows) else 0


def _names() -> list[str]:
    return [
        "start",
        "micro",
        "events",
        "live",
        "statistics",
        "transfers",
        "viral",
        *ON_DEFAULT_STACK,
        *WITHOUT_PAGE_CACHE,
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    names = _names()
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(names)}; all by default"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return options


def _start() -> Iterable[Row]:
    """Measures the start time of `kappi up`, first and repeated, and the memory of the idle stack."""
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        stack = EmbeddedStack(Path(folder) / "data", settings=DURABLE)
        for load in ("first", "warm", "warm"):
            started = time.perf_counter()
            stack.start()
            elapsed_ms = round((time.perf_counter() - started) * 1e3)
            yield Row("kappi up", "-", load, 0, elapsed_ms, elapsed_ms, 0)
            if load == "first":
                stack.stop()
                continue
            time.sleep(3)
            held = footprint(stack.note)
            time.sleep(IDLE_AFTER_S)
            asleep = footprint(stack.note)
            used = idle_processor(stack.note, seconds=IDLE_FOR_S)
            stack.stop()
            yield Row("idle memory", "-", load, 0, 0, 0, 0, note=held)
            yield Row("idle memory", "-", f"{load}, asleep", 0, 0, 0, 0, note=asleep)
            yield Row("idle processor", "-", f"{load}, asleep", 0, 0, 0, 0, note=used)


def _on_stack(rows: list[Row], wanted: dict[str, Scenario], settings: dict[str, str], seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        stack = EmbeddedStack(Path(folder) / "data", settings=settings)
        stack.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                for scenario in wanted.values():
                    runner.run(_measure(rows, stack, scenario, seconds))
        finally:
            stack.stop()


async def _measure(rows: list[Row], stack: EmbeddedStack, scenario: Scenario, seconds: float) -> None:
    services = {name: Endpoint("127.0.0.1", found.port) for name, found in stack.note.services.items()}
    pids = partial(stack_pids, stack.note)
    gateway = Endpoint("127.0.0.1", stack.port)
    async with World(gateway, services, introduction=stack.introduction, pids=pids) as world:
        async for row in scenario(world, seconds):
            _report(rows, [row])
    await stack.wait_idle(timeout_s=300)


def _report(rows: list[Row], found: Iterable[Row]) -> None:
    for row in found:
        rows.append(row)
        timing = f"{row.per_second:>10,.1f} {row.p50_ms:>10,.2f} {row.p99_ms:>10,.2f}"
        print(
            f"{row.scenario:<28} {row.via:<10} {row.load:<12} {timing} {row.failed:>7}  {row.note}",
            flush=True,
        )


def _print_head() -> None:
    print(f"{machine()}, commit {commit()}")
    head = f"{'per second':>10} {'p50 ms':>10} {'p99 ms':>10}"
    print(f"{'scenario':<28} {'via':<10} {'load':<12} {head} {'failed':>7}")


def _versions() -> dict[str, Any]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


if __name__ == "__main__":
    sys.exit(main())
