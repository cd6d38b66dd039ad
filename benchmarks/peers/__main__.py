"""`python -m benchmarks.peers [SCENARIO…]`: Kappi beside other programs, in interleaved rounds.

Processor time is user and system time of a server's processes, for a unit of work; the ratios are of the
first line to the others, each of two turns of the same round: the median, and the lowest and highest. A ratio
above 1 says that the first line costs more. *Generator* is the part of the wall clock in which the load
generator worked. It prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks.machine import commit, machine
from benchmarks.peers.calls import against_others, growth, museum
from benchmarks.peers.hop import hop
from benchmarks.peers.large_files import downloads, uploads
from benchmarks.peers.measuring import Measured, Options, Scenario
from benchmarks.peers.pictures import pictures
from benchmarks.peers.programs import Programs, find_programs
from benchmarks.peers.rounds import Comparison, Spread, compared
from benchmarks.peers.small_files import small_files

SCENARIOS: dict[str, Scenario] = {
    "upload": uploads,
    "download": downloads,
    "files": small_files,
    "hop": hop,
    "pictures": pictures,
    "museum": museum,
    "growth": growth,
    "calls": against_others,
}
LEAST_ROUNDS = 5


def main() -> int:
    given = _arguments()
    programs = find_programs()
    print(f"\n{machine()}, commit {commit()}, load {os.getloadavg()[0]:.0f} at the start")
    print(", ".join(f"{name} {version}" for name, version in programs.versions()), flush=True)
    for name in given.scenarios or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
            options = _options(given, programs, Path(folder))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(SCENARIOS[name], options))
    return 0


async def _run(scenario: Scenario, options: Options) -> None:
    async for found in scenario(options):
        _print(found)


def _print(found: Measured) -> None:
    unit = found.unit
    per = f"{unit.time} per {unit.of}"
    print(f"\n| {found.title} | processor, {per} | ratio | wall clock, {per} | ratio | generator |")
    print("|---|---:|---:|---:|---:|---:|")
    for line in compared(found.taken):
        print(_line(line, unit.in_a_second), flush=True)


def _line(line: Comparison, in_a_second: float) -> str:
    cells = [
        line.name,
        "unknown" if line.processor_s is None else _figure(line.processor_s * in_a_second),
        "" if line.processor_ratio is None else _spread(line.processor_ratio),
        _figure(line.wall_s * in_a_second),
        _spread(line.wall_ratio),
        f"{line.generator:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def _spread(ratio: Spread) -> str:
    return f"{_figure(ratio.median)} ({_figure(ratio.low)} to {_figure(ratio.high)})"


def _figure(value: float) -> str:
    """Returns three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def _options(given: argparse.Namespace, programs: Programs, folder: Path) -> Options:
    return Options(
        folder=folder,
        programs=programs,
        rounds=given.rounds,
        file_mib=given.mib,
        files=given.files,
        calls=given.calls,
        rows=given.rows,
        against=given.against,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    names = ", ".join(SCENARIOS)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {names}; all by default")
    parser.add_argument("--rounds", type=int, default=7, help=f"at least {LEAST_ROUNDS}")
    parser.add_argument("--mib", type=int, default=512, help="size of the large file")
    parser.add_argument("--files", type=int, default=300, help="number of small files")
    parser.add_argument("--calls", type=int, default=8_000, help="of the gateway, in a turn")
    parser.add_argument("--rows", type=int, default=100_000, help="that the media database grows to")
    parser.add_argument(
        "--against", type=Path, action="append", default=[], metavar="CHECKOUT", help="of Kappi, for `calls`"
    )
    given = parser.parse_args()
    if unknown := set(given.scenarios) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {names}")
    if given.rounds < LEAST_ROUNDS:
        parser.error(f"fewer than {LEAST_ROUNDS} rounds say little")
    return given


if __name__ == "__main__":
    sys.exit(main())
