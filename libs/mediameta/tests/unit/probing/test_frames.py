"""Animations: frames, durations, and their limits."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Literal

import pytest
from kappi_mediameta.probing import BytesSource, Probe, ProbeLimits, ProbeRejected, RejectReason, probe, sniff
from kappi_testkit.media.samples import CountingSource, animation
from PIL import Image

FORMATS: tuple[Literal["GIF", "WEBP", "PNG"], ...] = ("GIF", "WEBP", "PNG")


async def probed(body: bytes, limits: ProbeLimits | None = None) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return await probe(BytesSource(body), fmt, limits or ProbeLimits())


def gif(frames: int, *, delay: int, noise: int = 0) -> bytes:
    """Returns a GIF. delay: hundredths of a second."""
    out = io.BytesIO()
    pictures = [
        Image.effect_noise((noise, noise), 90).convert("P")
        if noise
        else Image.new("RGB", (4, 4), (number * 40 % 256, number, 200))
        for number in range(frames)
    ]
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=delay * 10, loop=0)
    return out.getvalue()


@pytest.mark.parametrize("fmt", FORMATS)
async def test_frames_are_counted(fmt: Literal["GIF", "WEBP", "PNG"]) -> None:
    found = await probed(animation(fmt, 60, 40))
    assert (found.kind, found.animated, found.frame_count) == ("image", True, 3)
    assert found.duration_ms == (None if fmt == "PNG" else 240)


@pytest.mark.parametrize("fmt", FORMATS)
async def test_too_many_frames(fmt: Literal["GIF", "WEBP", "PNG"]) -> None:
    with pytest.raises(ProbeRejected) as refused:
        await probed(animation(fmt, 60, 40), ProbeLimits(max_frames=2))
    assert refused.value.reason is RejectReason.TOO_MANY_FRAMES


@pytest.mark.parametrize("fmt", ["GIF", "WEBP"])
async def test_too_long(fmt: Literal["GIF", "WEBP"]) -> None:
    with pytest.raises(ProbeRejected) as refused:
        await probed(animation(fmt, 60, 40), ProbeLimits(max_duration=timedelta(milliseconds=200)))
    assert refused.value.reason is RejectReason.TOO_LONG


async def test_a_gif_of_many_tiny_frames_is_refused_by_default() -> None:
    small = gif(2, delay=5)
    frame = small[small.index(b"\x21\xf9") : -1]
    with pytest.raises(ProbeRejected) as refused:
        await probed(small[:-1] + frame * 10_000 + b";")
    assert refused.value.reason is RejectReason.TOO_MANY_FRAMES


async def test_delays_are_those_browsers_show() -> None:
    assert (await probed(gif(5, delay=3))).duration_ms == 150
    assert (await probed(gif(5, delay=0))).duration_ms == 500, "an unset delay is a tenth of a second"


async def test_a_large_gif_is_not_read_to_its_end() -> None:
    body = gif(12, delay=5, noise=600)
    assert len(body) > 3 << 20
    source = CountingSource(body)
    fmt = sniff(body[:4096])
    assert fmt is not None
    found = await probe(source, fmt)
    assert (found.animated, found.frame_count, found.duration_ms) == (True, None, None)
    assert sum(source.reads) <= 2_500_000


async def test_damage_after_the_first_frame_costs_only_the_others() -> None:
    body = bytearray(gif(5, delay=5))
    second = body.index(b"\x2c", body.index(b"\x2c") + 10)
    body[second] = 0x99
    found = await probed(bytes(body))
    assert (found.width, found.frame_count) == (4, None)
