"""The renderer and its decoder processes: bounded, confined, ended when idle, and a crash costs one item."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.renderer import Renderer, RenderLimits
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import BytesSource, MediaFormat, Probe, RejectReason, RenderRejected, probe
from kappi_testkit.eventually import eventually
from kappi_testkit.media.corpus.raws import RAWS
from kappi_testkit.media.samples import CountingSource, MovieShape, encode, movie, quadrants

SMALL = (RenditionSize(height=50),)
BODY = encode(quadrants(300, 200), "JPEG")


class Processes:
    """Every decoder process started during a test."""

    def __init__(self) -> None:
        self.started: list[DecoderProcess] = []

    def running(self) -> int:
        return sum(process.running for process in self.started)

    def all_gone(self) -> None:
        assert self.running() == 0


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    known = Processes()
    start = DecoderProcess.start

    async def remembering(*, memory_bytes: int) -> DecoderProcess:
        known.started.append(await start(memory_bytes=memory_bytes))
        return known.started[-1]

    start_developing = DecoderProcess.start_developing

    async def remembering_that(*, memory_bytes: int) -> DecoderProcess:
        known.started.append(await start_developing(memory_bytes=memory_bytes))
        return known.started[-1]

    monkeypatch.setattr(DecoderProcess, "start", remembering)
    monkeypatch.setattr(DecoderProcess, "start_developing", remembering_that)
    return known


@pytest.fixture
async def renderer(processes: Processes) -> AsyncIterator[Renderer]:
    renderer = Renderer()
    yield renderer
    await renderer.close()
    assert processes.running() == 0


async def facts(body: bytes = BODY, fmt: MediaFormat = MediaFormat.JPEG) -> Probe:
    return await probe(BytesSource(body), fmt)


class KillingSource(BytesSource):
    """Kills the process that reads it, the first `times` times."""

    def __init__(self, processes: Processes, *, times: int) -> None:
        super().__init__(BODY)
        self._processes = processes
        self._times_left = times

    async def read(self, start: int, length: int) -> bytes:
        if self._times_left:
            self._times_left -= 1
            os.kill(self._processes.started[-1].pid, signal.SIGSEGV)
        return await super().read(start, length)


async def test_a_process_starts_with_the_first_job_and_is_used_again(
    renderer: Renderer, processes: Processes
) -> None:
    assert processes.started == []
    for _ in range(3):
        (image,) = await renderer.render(BytesSource(BODY), await facts(), SMALL)
        assert (image.width, image.height) == (75, 50)
        assert image.body.startswith(b"\xff\xd8\xff")
    assert len(processes.started) == 1


async def test_several_sizes_come_from_one_reading(renderer: Renderer) -> None:
    source = CountingSource(BODY)
    sizes = [RenditionSize.parse(text) for text in ("20", "50", "60x60")]
    images = await renderer.render(source, await facts(), sizes)
    assert [(i.width, i.height) for i in images] == [(30, 20), (75, 50), (60, 60)]
    assert sum(source.reads) == len(BODY)


async def test_no_more_processes_than_allowed(processes: Processes) -> None:
    renderer = Renderer(max_parallel=2)
    job = (BytesSource(BODY), await facts(), SMALL)
    images = await asyncio.gather(*(renderer.render(*job) for _ in range(8)))
    assert len(images) == 8
    assert 1 <= len(processes.started) <= 2
    await renderer.close()


async def test_an_idle_process_goes_away(processes: Processes) -> None:
    renderer = Renderer(idle_after=timedelta(milliseconds=20))
    await renderer.render(BytesSource(BODY), await facts(), SMALL)
    await eventually(processes.all_gone)
    await renderer.render(BytesSource(BODY), await facts(), SMALL)
    assert len(processes.started) == 2
    await renderer.close()


async def test_a_crash_of_one_that_has_worked_is_tried_again_in_a_new_one(
    renderer: Renderer, processes: Processes
) -> None:
    await renderer.render(BytesSource(BODY), await facts(), SMALL)
    (image,) = await renderer.render(KillingSource(processes, times=1), await facts(), SMALL)
    assert image.height == 50
    assert len(processes.started) == 2


async def test_a_file_that_crashes_a_new_one_is_refused_and_the_next_is_served(
    renderer: Renderer, processes: Processes
) -> None:
    with pytest.raises(RenderRejected) as refused:
        await renderer.render(KillingSource(processes, times=9), await facts(), SMALL)
    assert refused.value.reason is RejectReason.CORRUPT
    assert len(processes.started) == 1
    assert (await renderer.render(BytesSource(BODY), await facts(), SMALL))[0].height == 50


async def test_a_process_that_died_while_idle_is_replaced(renderer: Renderer, processes: Processes) -> None:
    await renderer.render(BytesSource(BODY), await facts(), SMALL)
    os.kill(processes.started[0].pid, signal.SIGKILL)
    await eventually(processes.all_gone)
    assert (await renderer.render(BytesSource(BODY), await facts(), SMALL))[0].height == 50


async def test_a_refusal_keeps_the_process(renderer: Renderer, processes: Processes) -> None:
    broken = BODY[:100] + bytes(len(BODY) - 100)
    for _ in range(2):
        with pytest.raises(RenderRejected) as refused:
            await renderer.render(BytesSource(broken), await facts(), SMALL)
        assert refused.value.reason is RejectReason.CORRUPT
    assert len(processes.started) == 1


async def test_the_read_limit_ends_the_process(processes: Processes) -> None:
    body = movie(MovieShape(seconds=0.5))
    renderer = Renderer(limits=RenderLimits(video_read_bytes=100))
    with pytest.raises(RenderRejected) as refused:
        await renderer.render(BytesSource(body), await facts(body, MediaFormat.MP4), SMALL)
    assert refused.value.reason is RejectReason.TOO_COMPLEX
    assert processes.running() == 0


async def test_memory_beyond_the_limit_is_a_refusal() -> None:
    # One bit per pixel in the file, four bytes in memory: 400 MB.
    header = b"BM" + (62 + 12_520_000).to_bytes(4, "little") + bytes(4) + (62).to_bytes(4, "little")
    header += (
        (40).to_bytes(4, "little") + (10_000).to_bytes(4, "little") * 2 + b"\x01\x00\x01\x00" + bytes(24)
    )
    source = CountingSource(header + b"\x00\x00\x00\x00\xff\xff\xff\x00", gap_bytes=12_520_000)
    renderer = Renderer(limits=RenderLimits(memory_bytes=500 << 20))
    with pytest.raises(RenderRejected) as refused:
        await renderer.render(source, await probe(source, MediaFormat.BMP), SMALL)
    assert refused.value.reason is RejectReason.TOO_COMPLEX
    await renderer.close()


async def test_limits_are_checked_before_anything_starts(processes: Processes) -> None:
    found = await facts()
    for limits in (RenderLimits(max_pixels=100), RenderLimits(picture_bytes=100)):
        with pytest.raises(RenderRejected):
            await Renderer(limits=limits).render(BytesSource(BODY), found, SMALL)
    with pytest.raises(ValueError, match="rendition"):
        await Renderer().render(BytesSource(BODY), found, [])
    assert processes.started == []


async def test_errors_of_the_source_pass_through(renderer: Renderer, processes: Processes) -> None:
    class Down(BytesSource):
        async def read(self, start: int, length: int) -> bytes:
            raise ConnectionError("store is down")

    with pytest.raises(ConnectionError):
        await renderer.render(Down(BODY), await facts(), SMALL)
    assert processes.running() == 0


async def test_cancellation_ends_the_process(renderer: Renderer, processes: Processes) -> None:
    reading = asyncio.Event()

    class Stuck(BytesSource):
        async def read(self, start: int, length: int) -> bytes:
            reading.set()
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    task = asyncio.create_task(renderer.render(Stuck(BODY), await facts(), SMALL))
    async with asyncio.timeout(20):
        await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes.running() == 0


async def test_a_poster_reads_little_of_a_long_video(renderer: Renderer) -> None:
    body = movie(MovieShape(seconds=1, faststart=True))
    source = CountingSource(body, gap_bytes=200 << 20)
    (image,) = await renderer.render(source, await facts(body, MediaFormat.MP4), SMALL)
    assert image.height == 50
    assert sum(source.reads) < 2 << 20


async def test_a_lying_probe_meets_the_file_itself(renderer: Renderer) -> None:
    lying = replace(await facts(), content_type="image/png")
    with pytest.raises(RenderRejected) as refused:
        await renderer.render(BytesSource(BODY), lying, SMALL)
    assert refused.value.reason is RejectReason.CORRUPT


async def test_native_libraries_stay_out_of_this_package_until_a_decoder_imports_them() -> None:
    """The services' own processes stay small, and no decoder bug can reach them."""
    code = (
        "import sys, kappi_mediameta.probing, kappi_media.rendering.renderer;"
        "sys.exit(any(name in sys.modules for name in ('pyvips', 'av', 'PIL', 'pillow_heif', 'thumbhash')))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


async def raw(name: str, folder: Path) -> tuple[BytesSource, Probe]:
    RAWS[name](folder / name)
    source = BytesSource((folder / name).read_bytes())
    return source, await probe(source, MediaFormat.DNG)


async def test_libraw_is_loaded_for_a_file_that_has_to_be_developed(
    tmp_path: Path, processes: Processes, renderer: Renderer
) -> None:
    previewed, developed = await raw("previews.dng", tmp_path), await raw("developed.dng", tmp_path)
    await renderer.render(*previewed, SMALL)
    assert [process.develops for process in processes.started] == [False]
    for _ in range(2):
        await renderer.render(*developed, SMALL)
    await renderer.render(*previewed, SMALL)
    assert [process.develops for process in processes.started] == [False, True]
    assert processes.running() == 1


async def test_libraw_is_started_once_for_files_at_once(
    tmp_path: Path, processes: Processes, renderer: Renderer
) -> None:
    developed = await raw("developed.dng", tmp_path)
    for _ in range(3):
        await asyncio.gather(*(renderer.render(*developed, SMALL) for _ in range(4)))
    assert sum(process.develops for process in processes.started) <= 2


def test_other_decoders_load_no_numpy() -> None:
    """Its start takes a fifth of that of a decoder."""
    code = (
        "import sys; from kappi_media.rendering import worker; "
        "worker._load_libraries(without_libraw={}); sys.exit('numpy' in sys.modules)"
    )
    for without, loaded in ((True, 0), (False, 1)):
        done = subprocess.run([sys.executable, "-c", code.format(without)], check=False)
        assert done.returncode == loaded
