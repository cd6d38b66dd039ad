"""Measures the grid's pictures: one decoding compared with other programs, and a thousand photographs to
`ready`.

sharp is compared where Node is installed and `KAPPI_BENCH_SHARP` names a folder in which `npm install sharp`
was run.
"""

from __future__ import annotations

import asyncio
import io
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import SNIFF_BYTES, BytesSource, probe, sniff
from PIL import Image

from benchmarks.footprint import busy_ns, descendants
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
_MEGAPIXELS_48: Final = (8_000, 6_000)
_SHARP: Final = Path(__file__).with_name("sharp.mjs")

Contestant = Callable[[], Awaitable[float]]


async def thumbnails(world: World, _: float) -> AsyncIterator[Row]:
    for row in await one_decoding():
        yield row
    yield await thousand_to_ready(world)


async def one_decoding() -> list[Row]:
    """Measures the processor time of pictures to 400 pixels, in turns: in a decoder process, which also makes
    the placeholder, and by vipsthumbnail and sharp where they are installed.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        original = Path(folder) / "original"
        async with contestants(original, sharp=os.environ.get("KAPPI_BENCH_SHARP")) as programs:
            for name, picture in photographs().items():
                original.write_bytes(picture)
                taken = await _in_turns(programs)
                own = statistics.median(taken["decoder"])
                rows += [_row(name, program, times, own=own) for program, times in taken.items()]
    return rows


def photographs() -> dict[str, bytes]:
    """Returns photographs by the names of their sizes and formats."""
    photograph = camera_picture(*_MEGAPIXELS_12)
    return {
        "12 MP JPEG": photograph,
        "48 MP JPEG": camera_picture(*_MEGAPIXELS_48),
        "12 MP WebP": _converted(photograph, "WEBP"),
        "12 MP PNG": _converted(photograph, "PNG"),
    }


def _converted(photograph: bytes, form: str) -> bytes:
    target = io.BytesIO()
    Image.open(io.BytesIO(photograph)).save(target, form, quality=80)
    return target.getvalue()


@asynccontextmanager
async def contestants(original: Path, *, sharp: str | None) -> AsyncIterator[Mapping[str, Contestant]]:
    """Yields what decodes the file and returns the processor time in seconds.

    sharp: the folder that it is installed in.
    """
    renderer = Renderer()

    async def decoder() -> float:
        body = await asyncio.to_thread(original.read_bytes)
        fmt = sniff(body[:SNIFF_BYTES])
        assert fmt is not None
        facts = await probe(BytesSource(body), fmt)
        before = {pid: busy_ns(pid) for pid in descendants(os.getpid())}
        await renderer.render_grid(BytesSource(body), facts, _GRID)
        return sum(busy_ns(pid) - spent for pid, spent in before.items()) / 1e9

    async def vipsthumbnail() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = f"{original}.made.jpg[Q=82,optimize_coding,strip]"
        program = await asyncio.create_subprocess_exec(
            VIPSTHUMBNAIL, str(original), "-s", "x400", "-o", output
        )
        if await program.wait() != 0:
            raise RuntimeError(f"{VIPSTHUMBNAIL} failed")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    found: dict[str, Contestant] = {"decoder": decoder}
    if shutil.which(VIPSTHUMBNAIL):
        found[VIPSTHUMBNAIL] = vipsthumbnail
    async with AsyncExitStack() as stack:
        stack.push_async_callback(renderer.close)
        if sharp and (node := shutil.which("node")):
            found["sharp"] = await stack.enter_async_context(_sharp(node, sharp, original))
        yield found


@asynccontextmanager
async def _sharp(node: str, folder: str, original: Path) -> AsyncIterator[Contestant]:
    program = await asyncio.create_subprocess_exec(
        node,
        str(_SHARP),
        folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    asked, answers = program.stdin, program.stdout

    async def sharp() -> float:
        asked.write(f"{original}\n".encode())
        return float(await answers.readline())

    try:
        yield sharp
    finally:
        asked.close()
        await program.wait()


async def _in_turns(contestants: Mapping[str, Contestant]) -> dict[str, list[float]]:
    """Returns the seconds of each, round by round. The first round starts processes and does not count."""
    taken: dict[str, list[float]] = {program: [] for program in contestants}
    for _ in range(ROUNDS + 1):
        for program, make in contestants.items():
            taken[program].append(await make())
    return {program: times[1:] for program, times in taken.items()}


def _row(name: str, program: str, times: list[float], *, own: float) -> Row:
    middle, ordered = statistics.median(times), sorted(times)
    return Row(
        scenario=f"{name} to 400 px",
        via=program,
        load="processor time",
        per_second=round(1 / middle, 1),
        p50_ms=round(middle * 1e3, 1),
        p99_ms=round(ordered[-1] * 1e3, 1),
        failed=0,
        note="" if program == "decoder" else f"the decoder takes {own / middle:.2f} of it",
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
