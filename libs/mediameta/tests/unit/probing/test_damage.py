"""For any bytes, a probe returns facts or raises a typed refusal, within its budget of reads."""

from collections.abc import Callable

import pytest
from kappi_mediameta.probing import MediaFormat, ProbeLimits, ProbeRejected, probe, sniff
from kappi_mediameta.probing.exif import exif_tags, facts_of
from kappi_testkit.media.samples import (
    CountingSource,
    MovieShape,
    Shot,
    animation,
    encode,
    movie,
    mutations,
    quadrants,
)

SHOT = Shot(orientation=6, make="Canon", model="R6", taken="2024:06:21 17:04:05", place=(48.1, 11.5, 520.0))
LOSSLESS = {"lossless": True}
METADATA = {"com.apple.quicktime.make": "Apple"}
SAMPLES: dict[str, tuple[MediaFormat, Callable[[], bytes]]] = {
    "jpeg": (MediaFormat.JPEG, lambda: encode(quadrants(60, 40), "JPEG", shot=SHOT)),
    "png": (MediaFormat.PNG, lambda: encode(quadrants(60, 40), "PNG", shot=SHOT)),
    "apng": (MediaFormat.PNG, lambda: animation("PNG", 60, 40)),
    "gif": (MediaFormat.GIF, lambda: animation("GIF", 60, 40)),
    "webp": (MediaFormat.WEBP, lambda: encode(quadrants(60, 40), "WEBP", shot=SHOT)),
    "webp-lossless": (
        MediaFormat.WEBP,
        lambda: encode(quadrants(60, 40), "WEBP", options=LOSSLESS),
    ),
    "webp-animated": (MediaFormat.WEBP, lambda: animation("WEBP", 60, 40)),
    "bmp": (MediaFormat.BMP, lambda: encode(quadrants(60, 40), "BMP")),
    "mp4": (
        MediaFormat.MP4,
        lambda: index_only(MovieShape(seconds=0.5, rotation=90, metadata=METADATA)),
    ),
    "mov": (MediaFormat.MOV, lambda: index_only(MovieShape(seconds=0.5, container="mov"))),
}
LIMITS = ProbeLimits()


def index_only(shape: MovieShape) -> bytes:
    """Returns a movie without media data, so that the damage falls on the index."""
    body = movie(shape)
    media_at = body.index(b"mdat") - 4
    index_at = body.index(b"moov", media_at) - 4
    return body[:media_at] + b"\x00\x00\x00\x10mdat" + bytes(8) + body[index_at:]


@pytest.mark.parametrize("name", SAMPLES)
async def test_damaged_files_end_in_facts_or_in_a_refusal(name: str) -> None:
    fmt, make = SAMPLES[name]
    outcomes: set[str] = set()
    for damaged in mutations(make(), seed=len(name), count=600):
        sniff(damaged[:4096])
        source = CountingSource(damaged)
        try:
            found = await probe(source, fmt, LIMITS)
        except ProbeRejected as refused:
            outcomes.add(refused.reason)
        else:
            assert 0 < found.width <= LIMITS.max_side
            assert 0 < found.height <= LIMITS.max_side
            outcomes.add("facts")
        assert len(source.reads) <= LIMITS.max_reads
    assert "facts" in outcomes
    assert len(outcomes) > 1, "the damage damaged nothing"


def test_damaged_exif_never_raises() -> None:
    readable = 0
    for damaged in mutations(SHOT.exif(), seed=7, count=5_000):
        readable += facts_of(exif_tags(damaged)).camera is not None
    assert 0 < readable < 5_000
