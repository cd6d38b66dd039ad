"""The processor time of a decoder process for a photograph, compared with libvips' own program."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

import pytest
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import BytesSource, MediaFormat, probe
from kappi_testkit.media.photos import scene
from kappi_testkit.media.samples import encode
from kappi_testkit.programs import require_program

ROUNDS = 8
ALLOWED = 1.3
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def spent_by(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def spent_by_children() -> float:
    """Returns the processor time of ended children of this process."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_twelve_megapixels_to_the_grid_cost_about_what_vipsthumbnail_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is measured in processor time, because other tests run at the same time."""
    program = require_program("vipsthumbnail")
    body = encode(scene(4000, 3000, seed=3), "JPEG", options={"quality": 90})
    original = tmp_path / "original.jpg"
    original.write_bytes(body)
    pids = []
    start = DecoderProcess.start

    async def remembering(*, memory_bytes: int) -> DecoderProcess:
        process = await start(memory_bytes=memory_bytes)
        pids.append(process.pid)
        return process

    monkeypatch.setattr(DecoderProcess, "start", remembering)
    facts = await probe(BytesSource(body), MediaFormat.JPEG)
    renderer = Renderer()
    await renderer.render_grid(BytesSource(body), facts, RenditionSize(400))
    ours = theirs = 0.0
    for _ in range(ROUNDS):
        before = spent_by(pids[0])
        picture = await renderer.render_grid(BytesSource(body), facts, RenditionSize(400))
        ours += spent_by(pids[0]) - before
        before = spent_by_children()
        output = f"{tmp_path / 'out.jpg'}[Q=82,optimize_coding,strip]"
        vips = await asyncio.create_subprocess_exec(program, str(original), "-s", "x400", "-o", output)
        assert await vips.wait() == 0
        theirs += spent_by_children() - before
    await renderer.close()
    assert picture.image.height == 400
    assert len(pids) == 1
    per_round_ms = [round(seconds / ROUNDS * 1e3) for seconds in (ours, theirs)]
    assert ours <= ALLOWED * theirs, per_round_ms
