"""Small files that would unfold to gigabytes are refused before anything unfolds."""

from __future__ import annotations

import io
import os
import tracemalloc
import zlib
from pathlib import Path

import pytest
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.renderer import Renderer
from kappi_mediameta.probing import MediaFormat, ProbeRejected, Rejected, RejectReason, probe
from kappi_testkit.media.samples import CountingSource
from PIL import PngImagePlugin

SIDE = 30_000
READER_BYTES = 1 << 20
DECODER_BYTES = 75 << 20
SECONDS = 0.05
RUNS = 20


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A whole, valid PNG of 30,000 x 30,000 in true colour: 2.7 GB of black in 2.6 MB."""
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, io.SEEK_END)
    size = SIDE.to_bytes(4, "big")
    PngImagePlugin.putchunk(out, b"IHDR", size + size + bytes((8, 2, 0, 0, 0)))
    # A fully flushed piece may be repeated as it is, which spares packing all of it.
    packer = zlib.compressobj(9, wbits=-15)
    rows = bytes((1 + 3 * SIDE) * SIDE // 100)
    piece = packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = (100 * len(rows) % 65_521) << 16 | 1  # Adler-32 of zeros
    pixels = b"\x78\xda" + piece * 100 + b"\x03\x00" + checksum.to_bytes(4, "big")
    PngImagePlugin.putchunk(out, b"IDAT", pixels)
    PngImagePlugin.putchunk(out, b"IEND", b"")
    return out.getvalue()


async def test_a_png_of_2_7_gigabytes(bomb: bytes) -> None:
    source = CountingSource(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(ProbeRejected) as refused:
            await probe(source, MediaFormat.PNG)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.reason is RejectReason.TOO_MANY_PIXELS
    assert len(source.reads) <= 2, "its start, and its end to tell a polyglot"
    assert peak < READER_BYTES


async def test_the_confined_reader_refuses_it_at_once_in_little_memory(
    bomb: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the process is there, which the first of many files starts. By its own clock: others may keep the
    processor busy."""
    started: list[DecoderProcess] = []
    start = DecoderProcess.start

    async def remembering(*, memory_bytes: int) -> DecoderProcess:
        started.append(await start(memory_bytes=memory_bytes))
        return started[-1]

    monkeypatch.setattr(DecoderProcess, "start", remembering)
    renderer = Renderer(max_parallel=1)
    source = CountingSource(bomb)
    try:
        for run in range(1 + RUNS):
            with pytest.raises(Rejected, match="too_many_pixels"):
                await renderer.probe(source, MediaFormat.PNG)
            if run == 0:
                (process,) = started
                seconds_before = processor_seconds(process.pid)
        seconds = (processor_seconds(process.pid) - seconds_before) / RUNS
        peak_bytes = peak_memory_bytes(process.pid)
    finally:
        await renderer.close()
    assert len(started) == 1
    assert len(source.reads) <= 2 * (1 + RUNS)
    assert seconds < SECONDS
    assert peak_bytes < DECODER_BYTES


def processor_seconds(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory_bytes(pid: int) -> int:
    """Resident at its most."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) << 10
