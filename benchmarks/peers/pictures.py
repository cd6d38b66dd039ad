"""Photographs to 400 pixels: Kappi's decoder process, sharp, vipsthumbnail and imgproxy."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from urllib.parse import quote

from benchmarks.load import request
from benchmarks.peers.generator import repeated, send
from benchmarks.peers.measuring import PICTURE, Measured, Options, measured
from benchmarks.peers.programs import Server, given_server
from benchmarks.peers.rounds import Turn, in_rounds
from benchmarks.thumbnails import Contestant, contestants, photographs

_OWN = "decoder"


async def pictures(options: Options) -> AsyncIterator[Measured]:
    """Measures one photograph after another. Kappi's time includes that of the placeholder.

    imgproxy is a server, so that its time includes HTTP and reading the file, which is below its
    IMGPROXY_LOCAL_FILESYSTEM_ROOT of `/`.
    """
    original = options.folder / "original"
    sharp = str(options.programs.sharp) if options.programs.sharp else None
    imgproxy = given_server("IMGPROXY")
    async with AsyncExitStack() as stack:
        programs = await stack.enter_async_context(contestants(original, sharp=sharp))
        subjects: dict[str, Callable[[], Awaitable[Turn]]] = {
            "Kappi's decoder" if name == _OWN else name: partial(_one, program)
            for name, program in programs.items()
        }
        if imgproxy:
            subjects["imgproxy"] = partial(_by_imgproxy, imgproxy, original)
        for name, photograph in photographs().items():
            original.write_bytes(photograph)
            taken = await in_rounds(subjects, options.rounds)
            yield Measured(f"{name} to 400 px", PICTURE, taken)


async def _one(program: Contestant) -> Turn:
    own, began = time.process_time(), time.perf_counter()
    processor_s = await program()
    return Turn(1, processor_s, time.perf_counter() - began, time.process_time() - own)


async def _by_imgproxy(server: Server, original: Path) -> Turn:
    path = f"/insecure/rs:fit:0:400/q:82/plain/{quote(f'local://{original}', safe='')}@jpg"
    ask = request("GET", path, host=server.at.authority)
    work = partial(send, server.at, [repeated(ask, count=1, expected=200)], connections=1)
    return measured(work, pids=server.pids, units=1)
