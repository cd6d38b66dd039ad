"""Headers are read where a crash, a loop or a bomb costs one item."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.renderer import Renderer
from kappi_mediameta.probing import BytesSource, MediaFormat, ProbeLimits, Rejected, RejectReason, probe
from kappi_mediameta.probing.blocking import probe_blocking
from kappi_testkit.media.metadata_blocks import FULL_XMP, exif_block, jpeg, photoshop, records
from kappi_testkit.media.samples import MovieShape, Shot, encode, movie, quadrants, with_huge_media

BODY = encode(
    quadrants(300, 200), "JPEG", shot=Shot(orientation=6, make="Canon", taken="2024:06:21 17:04:05")
)

WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


class DeadlySource(BytesSource):
    """Whoever reads it is killed."""

    def __init__(self, started: list[DecoderProcess]) -> None:
        super().__init__(BODY)
        self._started = started

    async def read(self, start: int, length: int) -> bytes:
        os.kill(self._started[-1].pid, signal.SIGSEGV)
        return await super().read(start, length)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[DecoderProcess]:
    known: list[DecoderProcess] = []
    start = DecoderProcess.start

    async def remembering(*, memory_bytes: int) -> DecoderProcess:
        known.append(await start(memory_bytes=memory_bytes))
        return known[-1]

    monkeypatch.setattr(DecoderProcess, "start", remembering)
    return known


@pytest.fixture
async def renderer(started: list[DecoderProcess]) -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=1)
    yield renderer
    await renderer.close()


async def test_the_facts_are_those_read_in_the_service(renderer: Renderer) -> None:
    film = movie(MovieShape(seconds=0.5, rotation=90))
    # Whose words need a parser and a codec that nothing has used before.
    described = jpeg(FULL_XMP, iptc=photoshop(records([(25, b"\xe9t\xe9")], utf8=False)))
    wide = [jpeg(FULL_XMP.decode().replace("\ufeff", "").encode(encoding)) for encoding in WIDE]
    windows = jpeg(exif=exif_block([(0x9C9E, 1, "alps".encode("utf-16-le"))]))
    pictures = [(body, MediaFormat.JPEG) for body in (BODY, described, windows, *wide)]
    for body, fmt in (*pictures, (film, MediaFormat.MP4)):
        assert await renderer.probe(BytesSource(body), fmt) == await probe(BytesSource(body), fmt)


async def test_a_video_of_four_gigabytes_is_read_in_a_few_ranges(renderer: Renderer) -> None:
    source = with_huge_media(movie(MovieShape(seconds=1.0)), media_bytes=4 << 30)
    assert (await renderer.probe(source, MediaFormat.MP4)).duration_ms == 1000
    assert len(source.reads) <= 5
    assert sum(source.reads) <= 512 << 10


async def test_a_refusal_keeps_its_reason_and_its_process(
    renderer: Renderer, started: list[DecoderProcess]
) -> None:
    for _ in range(3):
        with pytest.raises(Rejected) as refused:
            await renderer.probe(BytesSource(BODY[:400]), MediaFormat.JPEG)
        assert refused.value.reason is RejectReason.TRUNCATED
    assert len(started) == 1


async def test_limits_are_those_given(renderer: Renderer) -> None:
    with pytest.raises(Rejected) as refused:
        await renderer.probe(BytesSource(BODY), MediaFormat.JPEG, ProbeLimits(max_pixels=59_999))
    assert refused.value.reason is RejectReason.TOO_MANY_PIXELS


async def test_a_crash_costs_the_file_and_nobody_else(
    renderer: Renderer, started: list[DecoderProcess]
) -> None:
    with pytest.raises(Rejected) as refused:
        await renderer.probe(DeadlySource(started), MediaFormat.JPEG)
    assert refused.value.reason is RejectReason.CORRUPT
    assert len(started) == 1, "a new process that it ends says enough of it"
    assert (await renderer.probe(BytesSource(BODY), MediaFormat.JPEG)).width == 300


def test_bytes_that_come_at_once_need_no_event_loop() -> None:
    found = probe_blocking(
        lambda start, length: BODY[start : start + length],
        MediaFormat.JPEG,
        size_bytes=len(BODY),
        limits=ProbeLimits(),
    )
    assert (found.width, found.height) == (300, 200)
