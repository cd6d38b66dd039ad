"""Measures live streams: the memory of many idle ones, and the time from *ready* until a viewer is told.

The streams come from many loopback addresses, because one address may have few.
"""

from __future__ import annotations

import asyncio
import re
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import cast

import uvloop
from aiokafka import AIOKafkaConsumer
from kappi_contracts.envelope import decode
from kappi_contracts.events import MediaReady
from kappi_testkit.eventually import eventually
from kappi_testkit.stack import EmbeddedStack

from benchmarks.footprint import MIB, stack_pids
from benchmarks.processor import ProcessorTime
from benchmarks.row import Row
from benchmarks.world import Endpoint, Gallery, World, small_pictures

STREAMS = 10_000  # fewer where the limit of descriptors is low
OF_ADDRESS = 200
GALLERIES = 10
OPENED_AT_ONCE = 100
VIEWERS = 10
ITEMS = 100
DESCRIPTORS = 65_536
TOLD_WITHIN_S = 30.0
_READY = re.compile(rb'event: item_ready\ndata: \{"id":"([0-9a-f-]+)"')


def rows(settings: Mapping[str, str], seconds: float) -> Iterable[Row]:
    """Returns the rows. seconds: length of the measurement of the idle streams."""
    streams = min(STREAMS, _most_streams())
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        room = {"KAPPI_GATEWAY_LIVE_STREAMS": str(streams + VIEWERS)}
        stack = EmbeddedStack(Path(folder) / "data", settings={**settings, **room})
        stack.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_measured(stack, streams, seconds))
        finally:
            stack.stop()


class _Viewer(asyncio.Protocol):
    """A client of one stream. told_at: the wall clock's time at which each item was told."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._transport: asyncio.Transport | None = None
        self.is_open = asyncio.get_running_loop().create_future()
        self.told_at: dict[str, float] = {}
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._transport.write(f"GET /v1/g/{self._code}/live HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if not self.is_open.done():
            self.is_open.set_result(data.startswith(b"HTTP/1.1 200"))
        now = time.time()
        for found in _READY.findall(data):
            self.told_at.setdefault(found.decode(), now)

    def connection_lost(self, _: Exception | None) -> None:
        self.lost = True
        if not self.is_open.done():
            self.is_open.set_result(False)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _measured(stack: EmbeddedStack, streams: int, seconds: float) -> list[Row]:
    services = {name: Endpoint("127.0.0.1", found.port) for name, found in stack.note.services.items()}
    gateway, pid = Endpoint("127.0.0.1", stack.port), stack.note.services["gateway"].pid
    pids = partial(stack_pids, stack.note)
    async with World(gateway, services, introduction=stack.introduction, pids=pids) as world:
        galleries = [await world.new_gallery() for _ in range(GALLERIES)]
        before = _resident(pid)
        started = time.perf_counter()
        idle = await _opened(gateway, galleries, streams)
        per_second = len(idle) / (time.perf_counter() - started)
        async with ProcessorTime(lambda: {pid}) as busy:
            await asyncio.sleep(seconds)
        after = _resident(pid)
        failed = sum(viewer.lost for viewer in idle)
        used_s = sum(spent for role, spent in busy.seconds().items() if role != "client")
        note = (
            f"gateway {before / MIB:.0f} MiB before, {after / MIB:.0f} MiB with them, "
            f"{(after - before) / len(idle) / 1024:.1f} KiB each; {100 * used_s / seconds:.1f} % of a core"
        )
        found = [Row("live streams", "gateway", f"{len(idle)} idle", per_second, 0, 0, failed, note)]
        found.append(await _told(stack, world, gateway, idle_count=len(idle)))
        for viewer in idle:
            viewer.close()
        return found


async def _told(stack: EmbeddedStack, world: World, gateway: Endpoint, *, idle_count: int) -> Row:
    """Measures the time from `ready_at` of each item until each viewer of its gallery is told."""
    gallery = await world.new_gallery()
    viewers = await _opened(gateway, [gallery], VIEWERS)
    started = time.perf_counter()
    async with _ready_times(stack) as ready_at:
        for upload_id in await world.uploaded(gallery, small_pictures(ITEMS)):
            await world.complete(gallery, upload_id)

        def all_told() -> None:
            assert {len(ready_at), *(len(viewer.told_at) for viewer in viewers)} == {ITEMS}

        await eventually(all_told, TOLD_WITHIN_S)
    elapsed_s = time.perf_counter() - started
    late_ms = sorted(
        (told - ready_at[item]) * 1e3 for viewer in viewers for item, told in viewer.told_at.items()
    )
    for viewer in viewers:
        viewer.close()
    return Row(
        "item ready to viewer",
        "gateway",
        f"{idle_count} idle",
        ITEMS / elapsed_s,
        late_ms[len(late_ms) // 2],
        late_ms[len(late_ms) * 99 // 100],
        0,
        note=f"{ITEMS} items, {VIEWERS} viewers of them, worst {late_ms[-1]:.0f} ms",
    )


async def _opened(gateway: Endpoint, galleries: list[Gallery], count: int) -> list[_Viewer]:
    """Opens streams, some at once, spread over galleries and addresses."""
    loop = asyncio.get_running_loop()

    async def open_one(number: int) -> _Viewer:
        code = galleries[number % len(galleries)].code
        address = f"127.0.{1 + number // OF_ADDRESS // 250}.{1 + number // OF_ADDRESS % 250}"
        _, viewer = await loop.create_connection(
            lambda: _Viewer(code), gateway.host, gateway.port, local_addr=(address, 0)
        )
        if not await viewer.is_open:
            raise RuntimeError("a stream was refused")
        return viewer

    viewers: list[_Viewer] = []
    for start in range(0, count, OPENED_AT_ONCE):
        numbers = range(start, min(start + OPENED_AT_ONCE, count))
        viewers += await asyncio.gather(*map(open_one, numbers))
    return viewers


@asynccontextmanager
async def _ready_times(stack: EmbeddedStack) -> AsyncIterator[dict[str, float]]:
    """Yields the times at which items became ready, as their events say."""
    connection = stack.connection()
    kafka = AIOKafkaConsumer(
        connection.topic("MediaReady"),
        **connection.client_options(),
        group_id=None,
        auto_offset_reset="latest",
        fetch_max_wait_ms=5_000,
    )
    found: dict[str, float] = {}

    async def read() -> None:
        async for record in kafka:
            event = decode(record.value, record.headers).data
            if isinstance(event, MediaReady):
                found[str(event.media_id)] = event.ready_at.timestamp()

    await kafka.start()
    for partition in kafka.assignment():
        await kafka.position(partition)
    reading = asyncio.create_task(read())
    try:
        yield found
    finally:
        reading.cancel()
        await asyncio.wait([reading])
        await kafka.stop()


def _resident(pid: int) -> int:
    """Returns the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _most_streams() -> int:
    """Returns the number of streams that the limit of descriptors allows, which is raised as far as possible.

    A gateway keeps half of its descriptors for connections, and three quarters of these for streams.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = most if most != resource.RLIM_INFINITY else DESCRIPTORS
    if most < DESCRIPTORS:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
            most = DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, DESCRIPTORS), most))
    return most // 2 * 3 // 4 - VIEWERS
