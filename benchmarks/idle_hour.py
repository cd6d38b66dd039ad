"""Measures the first calls after a long time without any: `python -m benchmarks.idle_hour --minutes 60`.

The same calls follow on the same stack, after pauses of seconds. Each time has its own connections.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kappi_testkit.stack import EmbeddedStack

from benchmarks.peers.measuring import client_of, running_kappi
from benchmarks.world import Gallery, small_pictures

PAUSE_S = 10.0
ROUNDS = 10
PICTURES = small_pictures(20)

Milliseconds = Mapping[str, float]
"""The time that each call took, by its name."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.idle_hour", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the long pause")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder, running_kappi(Path(folder)) as stack:
        first, usual = asyncio.run(_measured(stack, pause_s=options.minutes * 60))
    print(f"in ms | after {options.minutes:g} min | median after {PAUSE_S:g} s | slowest of {ROUNDS}")
    for name, took in first.items():
        others = [each[name] for each in usual]
        print(f"{name} | {took:.1f} | {statistics.median(others):.1f} | {max(others):.1f}")


async def _measured(stack: EmbeddedStack, *, pause_s: float) -> tuple[Milliseconds, Sequence[Milliseconds]]:
    """Returns what calls took after the long pause, and after short ones."""
    async with client_of(stack) as world:
        gallery = await world.filled(PICTURES)
    await asyncio.sleep(pause_s)
    first = await _calls(stack, gallery)
    usual = []
    for _ in range(ROUNDS):
        await asyncio.sleep(PAUSE_S)
        usual.append(await _calls(stack, gallery))
    return first, usual


async def _calls(stack: EmbeddedStack, gallery: Gallery) -> Milliseconds:
    took = {}
    async with client_of(stack) as world:
        for name, call in (
            (f"view of {len(PICTURES)} items", lambda: world.view(gallery)),
            ("create a gallery", world.new_gallery),
            (f"sign {len(PICTURES)} files", lambda: world.sign(gallery, PICTURES)),
        ):
            began = time.perf_counter()
            await call()
            took[name] = (time.perf_counter() - began) * 1e3
    return took


if __name__ == "__main__":
    main()
