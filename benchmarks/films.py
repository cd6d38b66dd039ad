"""`python -m benchmarks.films`: a 4K film in HEVC made playable, and photographs that are uploaded meanwhile.

In each round as many photographs are completed with an encoder working beside them as without one, in turns,
on the same stack, and every film is encoded to its end. The first round warms up.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import av
import uvloop
from av.packet import Packet
from kappi_testkit.stack import GENEROUS, EmbeddedStack
from PIL import Image, ImageChops

from benchmarks.footprint import stack_pids
from benchmarks.machine import commit, machine
from benchmarks.peers.rounds import Spread, Turn, compared, in_rounds
from benchmarks.processor import ProcessorTime
from benchmarks.transfers import Film, reserve
from benchmarks.world import Endpoint, Gallery, World, camera_picture

SIZE = (3_840, 2_160)
FRAME_RATE = 30
LOOP_S = 2
PHOTOGRAPH = (4_000, 3_000)
AGAIN_S = 0.5


@dataclass(slots=True)
class Encodings:
    """What the films of a run cost. encoder_s: processor time of decoder processes, photographs left out."""

    seconds: int
    encoder_s: list[float] = field(default_factory=list)
    elapsed_s: list[float] = field(default_factory=list)


async def measure(world: World, film: Film, *, seconds: int, photographs: int, rounds: int) -> None:
    spent = Encodings(seconds)
    pictures = [camera_picture(*PHOTOGRAPH, seed=seed) for seed in range(4)] * (photographs // 4)
    await _encoded_alone(world, film, spent)
    subjects = {
        "with an encoder": partial(_beside, world, film, pictures),
        "without": partial(_ready, world, pictures),
    }
    _, alone = compared(await in_rounds(subjects, rounds))
    print(
        f"a film of {seconds} s: {Spread.of(spent.encoder_s).median:.1f} s of processor, "
        f"{Spread.of(spent.elapsed_s).median:.1f} s"
    )
    ratio = alone.wall_ratio
    print(
        f"{photographs} photographs of 12 MP to ready: {alone.wall_s:.2f} s without an encoder, with one "
        f"{ratio.median:.2f} of that ({ratio.low:.2f} to {ratio.high:.2f}, {rounds} rounds)"
    )


async def _encoded_alone(world: World, film: Film, spent: Encodings) -> None:
    gallery, item = await _uploaded(world, film)
    began = time.perf_counter()
    async with ProcessorTime(world.pids) as busy:
        await _until(partial(_is_made, world, gallery, item))
    spent.elapsed_s.append(time.perf_counter() - began)
    spent.encoder_s.append(busy.seconds().get("decoders", 0.0))


async def _beside(world: World, film: Film, pictures: list[bytes]) -> Turn:
    gallery, item = await _uploaded(world, film)
    await _until(partial(_has_begun, world, gallery, item))
    turn = await _ready(world, pictures)
    if await _is_made(world, gallery, item):
        raise RuntimeError("the film was made before the photographs were ready: take a longer one")
    await _until(partial(_is_made, world, gallery, item))
    return turn


async def _ready(world: World, pictures: list[bytes]) -> Turn:
    """Measures photographs from *complete* to `ready`."""
    gallery = await world.new_gallery()
    ids = await world.uploaded(gallery, pictures)
    own, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(world.complete(gallery, upload) for upload in ids))
    await world.until_ready(gallery, len(ids))
    return Turn(1, None, time.perf_counter() - began, time.process_time() - own)


async def _uploaded(world: World, film: Film) -> tuple[Gallery, str]:
    """Returns a gallery with the film, and the film's item."""
    gallery = await world.new_gallery()
    upload = await reserve(world, gallery, film)
    await world.put(upload, await asyncio.to_thread(film.path.read_bytes))
    await world.complete(gallery, upload["id"])
    await world.until_ready(gallery, 1)
    return gallery, upload["media_id"]


async def _has_begun(world: World, gallery: Gallery, item: str) -> bool:
    return await _progress(world, gallery, item) != 0


async def _is_made(world: World, gallery: Gallery, item: str) -> bool:
    return await _progress(world, gallery, item) is None


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await holds():
            return
        await asyncio.sleep(AGAIN_S)


async def _progress(world: World, gallery: Gallery, item: str) -> float | None:
    """Asks for the playable film. Returns how much of it is made; None once it is there."""
    url = f"{world.gateway.url}/v1/media/{item}/playback?redirect=false"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"x-gallery-code": gallery.code}) as answer,
    ):
        found = await answer.json()
        if answer.status not in (200, 202):
            raise RuntimeError(f"{answer.status} {found}")
        return float(found["progress"]) if answer.status == 202 else None


def make_film(path: Path, *, seconds: int) -> Film:
    """Makes a film in HEVC whose pictures move, and come again every two seconds."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx265", rate=FRAME_RATE, options=_OPTIONS)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p10le"
        coded = [packet for frame in _frames() for packet in stream.encode(frame)] + stream.encode(None)
        for number in range(seconds // LOOP_S):
            for packet in coded:
                container.mux(_later(packet, stream, number * LOOP_S))
    return Film(path, path.stat().st_size)


_OPTIONS = {
    "preset": "ultrafast",
    "x265-params": f"log-level=none:open-gop=0:bframes=0:keyint={FRAME_RATE * LOOP_S}",
}


def _frames() -> Iterator[av.VideoFrame]:
    picture = Image.open(io.BytesIO(camera_picture(*SIZE))).convert("RGB")
    for number in range(FRAME_RATE * LOOP_S):
        moved = ImageChops.offset(picture, 16 * number, 4 * number)
        frame = av.VideoFrame.from_image(moved)  # type: ignore[no-untyped-call] # its stub lacks types
        frame = frame.reformat(format="yuv420p10le")
        frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
        yield frame


def _later(packet: Packet[Any], stream: av.VideoStream, seconds: int) -> Packet[Any]:
    again: Packet[Any] = Packet(bytes(packet))
    assert packet.pts is not None
    assert packet.dts is not None
    assert packet.time_base is not None
    ticks = int(seconds / packet.time_base)
    again.pts, again.dts, again.time_base = packet.pts + ticks, packet.dts + ticks, packet.time_base
    again.is_keyframe, again.stream = packet.is_keyframe, stream
    return again


async def _main(stack: EmbeddedStack, film: Film, options: argparse.Namespace) -> None:
    services = {name: Endpoint("127.0.0.1", at.port) for name, at in stack.note.services.items()}
    own, pids = dict(stack.introduction), partial(stack_pids, stack.note)
    async with World(Endpoint("127.0.0.1", stack.port), services, introduction=own, pids=pids) as world:
        await measure(
            world,
            film,
            seconds=options.seconds,
            photographs=options.photographs,
            rounds=options.rounds,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30, help="length of each film")
    parser.add_argument("--photographs", type=int, default=48, help="in each turn, by four")
    options = parser.parse_args()
    print(f"{machine()}, commit {commit()}, load {os.getloadavg()[0]:.1f}")
    settings = {**GENEROUS, "KAPPI_EMBEDDED_DURABLE": "1", "KAPPI_LOG_LEVEL": "WARNING"}
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        film = make_film(Path(folder) / "film.mp4", seconds=options.seconds)
        print(f"film: {film.size_bytes / 1e6:.0f} MB, {SIZE[0]} x {SIZE[1]}, HEVC of 10 bits")
        stack = EmbeddedStack(Path(folder) / "data", settings=settings)
        stack.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_main(stack, film, options))
        finally:
            stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
