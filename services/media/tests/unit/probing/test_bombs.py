"""Small files that would unfold to gigabytes are refused before anything unfolds."""

from __future__ import annotations

import io
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from kappi_media.probing import MediaFormat, ProbeRejected, Rejected, RejectReason, probe
from kappi_media.rendering.renderer import Renderer
from kappi_media.testing.samples import CountingSource
from PIL import PngImagePlugin

SIDE = 30_000
MEMORY_BYTES = 50 << 20
SECONDS = 0.05


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


async def test_a_png_of_2_7_gigabytes(bomb: bytes, record_property: Callable[[str, object], None]) -> None:
    source = CountingSource(bomb)
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(ProbeRejected) as refused:
        await probe(source, MediaFormat.PNG)
    seconds = time.perf_counter() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.reason is RejectReason.TOO_MANY_PIXELS
    assert len(source.reads) <= 2, "its start, and its end to tell a polyglot"
    assert peak < MEMORY_BYTES / 50
    record_property("seconds", seconds)
    record_property("peak_bytes", peak)


async def test_the_confined_reader_refuses_it_as_fast(bomb: bytes) -> None:
    """Once the process is there, which the first of many files starts."""
    renderer = Renderer(max_parallel=1)
    try:
        seconds = []
        for _ in range(5):
            source = CountingSource(bomb)
            started = time.perf_counter()
            with pytest.raises(Rejected, match="too_many_pixels"):
                await renderer.probe(source, MediaFormat.PNG)
            seconds.append(time.perf_counter() - started)
            assert len(source.reads) <= 2
        assert min(seconds) < SECONDS
    finally:
        await renderer.close()
