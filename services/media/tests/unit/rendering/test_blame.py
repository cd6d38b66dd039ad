"""The cause of a decoder that does not answer: the file, or its environment."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kappi_media.rendering import process
from kappi_media.rendering.failures import (
    DecoderKilled,
    DecoderLacksLibrary,
    DecoderNotStarted,
    DecoderStalled,
)
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.renderer import Renderer, RenderLimits
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.gps_free.edits import Unremovable
from kappi_mediameta.probing import BytesSource, MediaFormat, ProbeLimits, RejectReason, RenderRejected, probe
from kappi_testkit.media.samples import encode, quadrants

BODY = encode(quadrants(300, 200), "JPEG")
Use = Callable[[Renderer, BytesSource], Coroutine[Any, Any, object]]
Install = Callable[[str], None]


async def render(renderer: Renderer, source: BytesSource) -> object:
    facts = await probe(BytesSource(BODY), MediaFormat.JPEG)
    return await renderer.render(source, facts, [RenditionSize(height=50)])


async def read_header(renderer: Renderer, source: BytesSource) -> object:
    return await renderer.probe(source, MediaFormat.JPEG)


async def find_place(renderer: Renderer, source: BytesSource) -> object:
    return await renderer.find_location(source)


each_use = pytest.mark.parametrize("use", [render, read_header, find_place])


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(code)` makes decoder processes run that code instead."""

    def write(code: str) -> None:
        (tmp_path / "other_decoder.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(process, "_WORKER", "other_decoder")

    return write


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[DecoderProcess]:
    known: list[DecoderProcess] = []
    start = DecoderProcess.start

    async def remembering(*, memory_bytes: int) -> DecoderProcess:
        known.append(await start(memory_bytes=memory_bytes))
        return known[-1]

    monkeypatch.setattr(DecoderProcess, "start", remembering)
    return known


def answering_with(statement: str) -> str:
    """Returns a decoder that does this before each answer. jobs: how many it was given."""
    return (
        "import time\n"
        "from kappi_media.rendering import worker\n"
        "real = worker.answer\n"
        "jobs = 0\n"
        "def answer(job, fetch):\n"
        "    global jobs\n"
        "    jobs += 1\n"
        f"    {statement}\n"
        "    return real(job, fetch)\n"
        "worker.answer = answer\n"
        "worker.main()\n"
    )


class Struck(BytesSource):
    """Sends a signal to the process that reads it."""

    def __init__(self, started: list[DecoderProcess], which: signal.Signals) -> None:
        super().__init__(BODY)
        self._started = started
        self._which = which

    async def read(self, start: int, length: int) -> bytes:
        os.kill(self._started[-1].pid, self._which)
        return await super().read(start, length)


@each_use
async def test_too_little_memory_for_the_libraries_is_no_files_fault(use: Use) -> None:
    renderer = Renderer(limits=RenderLimits(memory_bytes=64 << 20))
    with pytest.raises(DecoderNotStarted):
        await use(renderer, BytesSource(BODY))
    await renderer.close()


async def test_a_library_that_cannot_be_loaded_is_no_files_fault(install: Install) -> None:
    install(
        "from kappi_media.rendering import worker\n"
        "worker._prove = lambda: None\n"
        "def render(job, fetch): raise ImportError('libavcodec.so: cannot open shared object file')\n"
        "worker.render = render\n"
        "worker.main()\n"
    )
    renderer = Renderer()
    with pytest.raises(DecoderLacksLibrary, match="libavcodec"):
        await render(renderer, BytesSource(BODY))
    await renderer.close()


async def test_a_decoder_that_never_gets_ready_is_no_files_fault(install: Install) -> None:
    install("import time; time.sleep(60)")
    renderer = Renderer(limits=RenderLimits(wall_time_limit=timedelta(seconds=0.2)))
    with pytest.raises(DecoderNotStarted):
        await render(renderer, BytesSource(BODY))
    await renderer.close()


@each_use
@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGTERM])
async def test_a_decoder_killed_from_outside_says_nothing_about_the_file(
    started: list[DecoderProcess], use: Use, which: signal.Signals
) -> None:
    renderer = Renderer()
    with pytest.raises(DecoderKilled):
        await use(renderer, Struck(started, which))
    assert len(started) == 1, "a machine without memory is not helped by another one at once"
    await use(renderer, BytesSource(BODY))
    await renderer.close()


@each_use
async def test_a_new_one_that_crashes_over_a_file_does(started: list[DecoderProcess], use: Use) -> None:
    renderer = Renderer()
    with pytest.raises((RenderRejected, Unremovable)):
        await use(renderer, Struck(started, signal.SIGSEGV))
    assert len(started) == 1
    await renderer.close()


@each_use
async def test_one_that_has_worked_may_crash_for_what_others_left_behind(
    started: list[DecoderProcess], use: Use
) -> None:
    renderer = Renderer()
    await use(renderer, BytesSource(BODY))
    with pytest.raises((RenderRejected, Unremovable)):
        await use(renderer, Struck(started, signal.SIGSEGV))
    assert len(started) == 2
    await renderer.close()


@each_use
@pytest.mark.parametrize("which", [signal.SIGABRT, signal.SIGTRAP])
async def test_one_whose_library_gave_up_for_want_of_memory_is_not_followed_by_another(
    started: list[DecoderProcess], use: Use, which: signal.Signals
) -> None:
    renderer = Renderer()
    await use(renderer, BytesSource(BODY))
    with pytest.raises((RenderRejected, Unremovable), match="ended itself") as refused:
        await use(renderer, Struck(started, which))
    assert len(started) == 1
    if isinstance(refused.value, RenderRejected):
        assert refused.value.reason is RejectReason.TOO_COMPLEX
    await renderer.close()


async def test_time_that_others_take_is_not_the_files(install: Install) -> None:
    install(answering_with("time.sleep(1.0)"))
    shorter = timedelta(seconds=0.5)
    renderer = Renderer(limits=RenderLimits(time=shorter, probe_time=shorter))
    await read_header(renderer, BytesSource(BODY))
    await renderer.close()


@each_use
async def test_time_it_takes_itself_is(install: Install, use: Use) -> None:
    install(answering_with("while True: pass"))
    short = timedelta(seconds=0.05)
    renderer = Renderer(limits=RenderLimits(time=short, probe_time=short))
    with pytest.raises((RenderRejected, Unremovable), match="time limit") as refused:
        await use(renderer, BytesSource(BODY))
    if isinstance(refused.value, RenderRejected):
        assert refused.value.reason is RejectReason.TOO_COMPLEX
    await renderer.close()


async def test_each_job_has_its_own_time(install: Install) -> None:
    install(answering_with("until = time.process_time() + 0.2\n    while time.process_time() < until: pass"))
    renderer = Renderer(limits=RenderLimits(probe_time=timedelta(seconds=0.5)))
    for _ in range(4):
        await read_header(renderer, BytesSource(BODY))
    await renderer.close()


async def impatient_renderer() -> Renderer:
    """Its decoder has started, which may take any time. From now on it has two seconds."""
    renderer = Renderer()
    await read_header(renderer, BytesSource(BODY))
    renderer._limits = RenderLimits(wall_time_limit=timedelta(seconds=2))
    return renderer


async def test_a_decoder_that_sleeps_for_ever_is_ended(
    install: Install, started: list[DecoderProcess]
) -> None:
    install(answering_with("if jobs > 1: time.sleep(600)"))
    renderer = await impatient_renderer()
    with pytest.raises(DecoderStalled):
        await read_header(renderer, BytesSource(BODY))
    assert not started[0].running
    await renderer.close()


async def test_a_decoder_that_stops_reading_is_ended(install: Install, started: list[DecoderProcess]) -> None:
    """The bytes that it requested do not fit the pipe."""
    source = Counted(BODY + bytes(8 << 20))
    ask = f"fetch.__self__.send(worker.Need(start=0, length={source.size_bytes}))"
    install(answering_with(f"if jobs > 1: {ask}; time.sleep(600)"))
    renderer = await impatient_renderer()
    with pytest.raises(DecoderStalled):
        await renderer.probe(source, MediaFormat.JPEG, ProbeLimits(max_read_bytes=1 << 30))
    assert source.reads == 1
    assert not started[0].running
    await renderer.close()


class Counted(BytesSource):
    reads = 0

    async def read(self, start: int, length: int) -> bytes:
        self.reads += 1
        return await super().read(start, length)


@pytest.mark.parametrize(("start", "length"), [(-1, 10), (0, -1), (0, 1 << 40)])
async def test_bytes_that_no_file_has_are_not_read(install: Install, start: int, length: int) -> None:
    install(answering_with(f"fetch({start}, {length})"))
    renderer = Renderer()
    with pytest.raises(RenderRejected, match="crashes its reader"):
        await renderer.probe(Unread(BODY), MediaFormat.JPEG, ProbeLimits(max_read_bytes=1 << 50))
    await renderer.close()


class Unread(BytesSource):
    async def read(self, start: int, length: int) -> bytes:
        raise AssertionError((start, length))
