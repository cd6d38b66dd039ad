"""`python -m benchmarks.camera_raw`: a camera RAW of 45 megapixels in a decoder process, beside a JPEG of 12.

Facts, and pictures of 400 and 2048 pixels by preview and developed, in interleaved rounds. Processor time is
that of the decoder process, and the bytes are those that it requests.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import imagecodecs
import numpy as np
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import BytesSource, MediaFormat, Probe, probe
from kappi_testkit.media.corpus.raws import DNG_TAGS, camera_tags, jpeg_tags, strip_tags
from kappi_testkit.media.tiff_structure import BYTE, LONG, SHORT, Below, Directory, tiff_structure
from PIL import Image

from benchmarks.footprint import busy_ns, descendants
from benchmarks.machine import commit, machine
from benchmarks.peers.rounds import Comparison, Turn, compared, in_rounds
from benchmarks.world import camera_picture

SIZE = (8_256, 5_504)
PREVIEW = (1_620, 1_080)
LEVELS = (512, 16_383)
BITS = 14
GRID, SCREEN = RenditionSize(height=400), RenditionSize(height=2_048)
JPEG_SIZE = (4_000, 3_000)
KIB = 1 << 10


class Counting(BytesSource):
    """Counts the bytes that are read."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.read_bytes = 0

    async def read(self, start: int, length: int) -> bytes:
        part = await super().read(start, length)
        self.read_bytes += len(part)
        return part


@dataclass(frozen=True, slots=True)
class File:
    body: bytes
    fmt: MediaFormat
    facts: Probe


Work = Callable[[Counting], Awaitable[object]]


async def measure(rounds: int) -> None:
    print(f"{machine()}, commit {commit()}, load {os.getloadavg()[0]:.1f}")
    files = await _files()
    for name, file in files.items():
        print(f"{name}: {len(file.body) / 1e6:.0f} MB, {file.facts.width} x {file.facts.height}")
    read_bytes: dict[str, int] = {}
    renderer = Renderer(max_parallel=1)
    try:
        subjects = {
            name: partial(_turn, work, Counting(file.body), partial(read_bytes.__setitem__, name))
            for name, (file, work) in _works(renderer, files).items()
        }
        print(f"{'what':<34} {'ms of processor':>16} {'KiB read':>10}   to the first")
        for found in compared(await in_rounds(subjects, rounds)):
            print(_line(found, read_bytes[found.name]))
    finally:
        await renderer.close()


def _works(renderer: Renderer, files: Mapping[str, File]) -> dict[str, tuple[File, Work]]:
    """Returns what is measured, with the file of each. The first one is what the others are compared with."""
    jpeg, previewed, bare = files.values()

    def picture(file: File, size: RenditionSize) -> tuple[File, Work]:
        return file, lambda source: renderer.render(source, file.facts, [size])

    def facts(file: File) -> tuple[File, Work]:
        return file, lambda source: renderer.probe(source, file.fmt)

    return {
        "12 MP JPEG to 400 px": picture(jpeg, GRID),
        "12 MP JPEG, facts": facts(jpeg),
        "45 MP RAW, facts": facts(previewed),
        "45 MP RAW to 400 px by preview": picture(previewed, GRID),
        "45 MP RAW to 2048 px by preview": picture(previewed, SCREEN),
        "45 MP RAW to 400 px developed": picture(bare, GRID),
        "45 MP RAW to 2048 px developed": picture(bare, SCREEN),
    }


async def _turn(work: Work, source: Counting, note: Callable[[int], None]) -> Turn:
    before = {pid: busy_ns(pid) for pid in descendants(os.getpid())}
    own, began, read = time.process_time(), time.perf_counter(), source.read_bytes
    await work(source)
    note(source.read_bytes - read)
    used = sum(busy_ns(pid) - before.get(pid, 0) for pid in descendants(os.getpid()))
    return Turn(1, used / 1e9, time.perf_counter() - began, time.process_time() - own)


def _line(found: Comparison, read_bytes: int) -> str:
    assert found.processor_s is not None
    assert found.processor_ratio is not None
    ratio = found.processor_ratio
    spread = f"{1 / ratio.median:.2f} ({1 / ratio.high:.2f} to {1 / ratio.low:.2f})"
    return f"{found.name:<34} {found.processor_s * 1e3:>16.1f} {read_bytes / KIB:>10,.0f}   {spread}"


async def _files() -> dict[str, File]:
    photograph = camera_picture(*SIZE)
    sensor = _sensor()
    bodies = {
        "JPEG": (camera_picture(*JPEG_SIZE), MediaFormat.JPEG),
        "RAW with previews": (_raw(sensor, photograph), MediaFormat.DNG),
        "RAW without": (_raw(sensor, None), MediaFormat.DNG),
    }
    return {
        name: File(body, fmt, await probe(BytesSource(body), fmt)) for name, (body, fmt) in bodies.items()
    }


def _sensor() -> bytes:
    """Returns what a sensor records, in lossless JPEG: shades under noise, which compress as a photograph
    does.
    """
    width, height = SIZE
    shades = np.linspace(LEVELS[0], LEVELS[1] * 0.7, width)[None, :]
    noise = np.random.default_rng(1).normal(0, 24, (height, width))
    recorded = np.clip(shades + noise, *LEVELS).astype(np.uint16)
    return bytes(imagecodecs.ljpeg_encode(recorded, bitspersample=BITS))


def _raw(sensor: bytes, photograph: bytes | None) -> bytes:
    """Returns a DNG, with previews of two sizes for a photograph."""
    width, height = SIZE
    recorded: Directory = {
        **strip_tags(sensor, compression=7, photometric=32803, size=SIZE),
        254: (LONG, [0]),
        278: (LONG, [height]),
        33421: (SHORT, [2, 2]),
        33422: (BYTE, bytes([0, 1, 1, 2])),
        50714: (SHORT, [LEVELS[0]]),
        50717: (SHORT, [LEVELS[1]]),
        50720: (LONG, [width, height]),
    }
    camera = {**camera_tags("Kappi", "Benchmark"), **DNG_TAGS}
    if photograph is None:
        return tiff_structure([{**camera, **recorded}])
    target = io.BytesIO()
    Image.open(io.BytesIO(photograph)).resize(PREVIEW).save(target, "JPEG", quality=85)
    shown = strip_tags(photograph, compression=7, photometric=6, size=SIZE, bits=8)
    shown |= {254: (LONG, [1]), 278: (LONG, [height])}
    first = {**camera, **jpeg_tags(target.getvalue()), 254: (LONG, [1]), 330: Below([recorded, shown])}
    return tiff_structure([first])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    asyncio.run(measure(parser.parse_args().rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
