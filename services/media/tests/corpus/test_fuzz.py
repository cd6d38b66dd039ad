"""Damaged copies of the corpus: every one is read or refused, within limits, and nothing else happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from kappi_media.rendering.renderer import Renderer, RenderLimits
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import (
    SNIFF_BYTES,
    BytesSource,
    MediaFormat,
    Probe,
    ProbeLimits,
    Rejected,
    identify,
    matches,
    probe,
    sniff,
)
from kappi_testkit.media.damage import damaged
from kappi_testkit.media.samples import CountingSource

_each_depth = pytest.mark.parametrize("count", [500, pytest.param(5_000, marks=pytest.mark.slow)])
SEED = 20_261_120
_OF_EACH_FORMAT = 2_000
"""Copies of which some of each format are refused."""
LIMITS = ProbeLimits()
Outcome = Probe | str


@pytest.fixture(scope="module")
def bodies(corpus: Mapping[str, Path]) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in corpus.items() if path.stat().st_size < 1 << 20}


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    # A header that takes a second of processor time is refused here; the slowest one takes a fiftieth.
    limits = RenderLimits(max_pixels=16_000_000, probe_time=timedelta(seconds=1))
    renderer = Renderer(max_parallel=2, limits=limits)
    yield renderer
    await renderer.close()


def copies(bodies: Mapping[str, bytes], count: int, *, seed: int = SEED) -> Iterator[tuple[str, bytes]]:
    return damaged(bodies, seed=seed, count=count)


def format_before(name: str, bodies: Mapping[str, bytes]) -> MediaFormat:
    """Returns the format of the undamaged file, as which the damaged one is read."""
    fmt = sniff(bodies[name][:SNIFF_BYTES])
    assert fmt is not None
    return fmt


def kind_of(fmt: MediaFormat) -> str:
    """Returns the format. Camera RAW is one kind: most of such a file is no header."""
    return "camera RAW" if fmt.is_camera_raw else fmt.name


def assert_sane(found: Probe) -> None:
    assert 0 < found.width <= LIMITS.max_side
    assert 0 < found.height <= LIMITS.max_side
    assert found.width * found.height <= LIMITS.max_pixels
    assert 1 <= found.orientation <= 8
    assert found.duration_ms is None or 0 <= found.duration_ms <= LIMITS.max_duration.total_seconds() * 1000
    assert found.location is None or abs(found.location.latitude) <= 90


@_each_depth
async def test_damaged_copies_are_read_or_refused(bodies: Mapping[str, bytes], count: int) -> None:
    outcomes: Counter[str] = Counter()
    by_kind: dict[str, set[str]] = {}
    for name, body in copies(bodies, max(count, _OF_EACH_FORMAT)):
        fmt = format_before(name, bodies)
        source = CountingSource(body)
        try:
            assert_sane(await probe(source, fmt, LIMITS))
            outcome = "read"
        except Rejected as refused:
            outcome = refused.reason.value
        assert len(source.reads) <= LIMITS.max_reads
        assert sum(source.reads) <= LIMITS.max_read_bytes
        outcomes[outcome] += 1
        by_kind.setdefault(kind_of(fmt), set()).add(outcome)
    assert outcomes.total() == max(count, _OF_EACH_FORMAT)
    assert set(by_kind) == {kind_of(fmt) for fmt in MediaFormat}
    for kind, seen in by_kind.items():
        assert "read" in seen, kind
        assert len(seen) > 1, f"{kind}: the damage damaged nothing"


@_each_depth
async def test_the_first_bytes_alone_upset_nothing(bodies: Mapping[str, bytes], count: int) -> None:
    refused = 0
    for name, body in copies(bodies, count, seed=SEED + 1):
        declared = format_before(name, bodies).content_type
        try:
            found = identify(declared, body[:SNIFF_BYTES])
        except Rejected:
            refused += 1
        else:
            assert matches(declared, found)
    assert 0 < refused < count


@_each_depth
async def test_the_confined_reader_says_the_same(
    bodies: Mapping[str, bytes], count: int, renderer: Renderer
) -> None:
    for name, body in copies(bodies, count // 5):
        fmt = format_before(name, bodies)
        source = BytesSource(body)
        assert await outcome_of(renderer, source, fmt) == await outcome_of(None, source, fmt)


async def outcome_of(renderer: Renderer | None, source: BytesSource, fmt: MediaFormat) -> Outcome:
    try:
        if renderer is None:
            return await probe(source, fmt, LIMITS)
        return await renderer.probe(source, fmt, LIMITS)
    except Rejected as refused:
        return refused.reason.value


@_each_depth
async def test_what_is_read_is_rendered_or_refused(
    bodies: Mapping[str, bytes], count: int, renderer: Renderer
) -> None:
    """The decoders are native code of others: a file may end them, but must not affect the service."""
    outcomes: Counter[str] = Counter()
    for name, body in copies(bodies, count // 5, seed=SEED + 2):
        source = BytesSource(body)
        try:
            facts = await renderer.probe(source, format_before(name, bodies), LIMITS)
            picture = await renderer.render_grid(source, facts, RenditionSize(height=40))
        except Rejected as refused:
            outcomes[refused.reason.value] += 1
        else:
            outcomes["rendered"] += 1
            assert 0 < picture.image.height <= 40
    assert outcomes.total() == count // 5
    assert outcomes["rendered"] > count // 50
