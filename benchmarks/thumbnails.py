"""Measures the grid's pictures: one decoding compared with libvips' own program, and a thousand photographs
to `ready`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import BytesSource, MediaFormat, probe

from benchmarks.processor import ProcessorTime
from benchmarks.row import Row
from benchmarks.world import World, camera_picture

PHOTOGRAPHS: Final = 1_000
GALLERIES: Final = 2  # a page has 500 items at most
ROUNDS: Final = 15
DEADLINE_S: Final = 1_200.0
VIPSTHUMBNAIL: Final = "vipsthumbnail"
_GRID: Final = RenditionSize(height=400)
_MEGAPIXELS_12: Final = (4_000, 3_000)


async def thumbnails(world: World, _: float) -> AsyncIterator[Row]:
    for row in await one_decoding():
        yield row
    yield await thousand_to_ready(world)


async def one_decoding() -> list[Row]:
    """Measures a 12-megapixel JPEG to 400 pixels in a decoder process and by vipsthumbnail, in turns."""
    picture = camera_picture(*_MEGAPIXELS_12)
    facts = await probe(BytesSource(picture), MediaFormat.JPEG)
    renderer = Renderer()
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        original, made = Path(folder) / "original.jpg", Path(folder) / "400.jpg"
        original.write_bytes(picture)

        async def decoder() -> None:
            await renderer.render_grid(BytesSource(picture), facts, _GRID)

        async def vipsthumbnail() -> None:
            output = f"{made}[Q=82,optimize_coding,strip]"
            program = await asyncio.create_subprocess_exec(
                VIPSTHUMBNAIL, str(original), "-s", "x400", "-o", output
            )
            if await program.wait() != 0:
                raise RuntimeError(f"{VIPSTHUMBNAIL} failed")

        contestants: dict[str, Callable[[], Awaitable[None]]] = {"decoder": decoder}
        if shutil.which(VIPSTHUMBNAIL):
            contestants[VIPSTHUMBNAIL] = vipsthumbnail
        try:
            taken = await _in_turns(contestants)
        finally:
            await renderer.close()
    own = statistics.median(taken["decoder"])
    return [_row(program_name, times, own=own) for program_name, times in taken.items()]


async def _in_turns(contestants: dict[str, Callable[[], Awaitable[None]]]) -> dict[str, list[float]]:
    """Returns the seconds of each, round by round. The first round starts processes and does not count."""
    taken: dict[str, list[float]] = {program_name: [] for program_name in contestants}
    for _ in range(ROUNDS + 1):
        for program_name, make in contestants.items():
            started = time.perf_counter()
            await make()
            taken[program_name].append(time.perf_counter() - started)
    return {program_name: times[1:] for program_name, times in taken.items()}


def _row(program_name: str, times: list[float], *, own: float) -> Row:
    middle, ordered = statistics.median(times), sorted(times)
    return Row(
        scenario="12 MP JPEG to 400 px",
        via=program_name,
        load="1 at a time",
        per_second=round(1 / middle, 1),
        p50_ms=round(middle * 1e3, 1),
        p99_ms=round(ordered[-1] * 1e3, 1),
        failed=0,
        note="" if program_name == "decoder" else f"the decoder takes {own / middle:.2f} of it",
    )


async def thousand_to_ready(world: World) -> Row:
    """Measures the time until the last photograph has its grid picture.

    All are uploaded first, then completed at once.
    """
    pictures = [camera_picture(*_MEGAPIXELS_12, seed=seed) for seed in range(4)]
    each = PHOTOGRAPHS // GALLERIES
    uploads = []
    for _ in range(GALLERIES):
        gallery = await world.new_gallery()
        ids = await world.uploaded(gallery, [pictures[number % len(pictures)] for number in range(each)])
        uploads.append((gallery, ids))
    started = time.perf_counter()
    async with ProcessorTime(world.pids) as busy:
        await asyncio.gather(*(world.complete(gallery, upload) for gallery, ids in uploads for upload in ids))
        for gallery, _ in uploads:
            await world.until_ready(gallery, each, every_s=1.0, within_s=DEADLINE_S)
    elapsed = time.perf_counter() - started
    used = busy.seconds()
    each_ms = {role: seconds / PHOTOGRAPHS * 1e3 for role, seconds in used.items()}
    shares = ", ".join(f"{role} {spent:.0f}" for role, spent in each_ms.items() if spent >= 0.5)
    busy_processors = f"{sum(used.values()) / elapsed:.1f} of {os.cpu_count()} processors"
    return Row(
        scenario="12 MP complete to ready",
        via="gateway",
        load=f"{PHOTOGRAPHS} at once",
        per_second=round(PHOTOGRAPHS / elapsed, 1),
        p50_ms=0,
        p99_ms=0,
        failed=0,
        note=f"keeps {busy_processors} busy; ms of them for each: {shares}",
    )
