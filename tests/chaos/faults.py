"""Faults, each for a while, and the windows of time in which they were at work."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.chaos.system import Replica, System
from tests.e2e.disks import fill_up

CLOCK_OFFSET_S = 300
_RECOVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Window:
    """The time of one fault, with some seconds after it. Times are monotonic, in seconds."""

    fault: str
    detail: str
    starts_s: float
    ends_s: float


Fault = Callable[[System, random.Random], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def killed(system: System, rng: random.Random) -> AsyncIterator[str]:
    """kill -9 of three processes, one after the other."""
    names = []
    for replica in rng.sample(system.replicas, 3):
        replica.signal(signal.SIGKILL)
        names.append(replica.name)
        await asyncio.sleep(rng.uniform(0.2, 2.0))
    yield ", ".join(names)


@asynccontextmanager
async def frozen(system: System, rng: random.Random) -> AsyncIterator[str]:
    """A process that is stopped and continued, as by a paused virtual machine."""
    replica = rng.choice(system.replicas)
    replica.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(15)
        yield replica.name
    finally:
        replica.signal(signal.SIGCONT)


@asynccontextmanager
async def broker_away(system: System, rng: random.Random) -> AsyncIterator[str]:
    await asyncio.to_thread(system.kafka.kill)
    try:
        await asyncio.sleep(20)
        yield ""
    finally:
        await asyncio.to_thread(system.kafka.start)


@asynccontextmanager
async def database_away(system: System, rng: random.Random) -> AsyncIterator[str]:
    await asyncio.to_thread(system.postgres.stop)
    system.postgres.relay.cut_all()
    try:
        await asyncio.sleep(10)
        yield ""
    finally:
        await asyncio.to_thread(system.postgres.start)


@asynccontextmanager
async def store_away(system: System, rng: random.Random) -> AsyncIterator[str]:
    await asyncio.to_thread(system.store.stop)
    system.store.relay.cut_all()
    try:
        await asyncio.sleep(20)
        yield ""
    finally:
        await asyncio.to_thread(system.store.start)


@asynccontextmanager
async def disk_full(system: System, rng: random.Random) -> AsyncIterator[str]:
    """The store's disk is full of something else."""
    filler = await asyncio.to_thread(fill_up, system.disk)
    try:
        await asyncio.sleep(15)
        yield ""
    finally:
        filler.unlink()


@asynccontextmanager
async def connections_cut(system: System, rng: random.Random) -> AsyncIterator[str]:
    """All connections to services, database and store are cut several times."""
    for _ in range(4):
        for relay in (*system.relays.values(), system.postgres.relay, system.store.relay):
            relay.cut_all()
        await asyncio.sleep(rng.uniform(1, 3))
    yield ""


@asynccontextmanager
async def clock_wrong(system: System, rng: random.Random) -> AsyncIterator[str]:
    """One process runs with a clock that is five minutes ahead or behind."""
    replica = rng.choice([each for each in system.replicas if each.role == "worker"])
    offset_s = rng.choice((-CLOCK_OFFSET_S, CLOCK_OFFSET_S))
    _restart(replica, offset_s)
    try:
        await asyncio.sleep(25)
        yield f"{replica.name} by {offset_s:+d} s"
    finally:
        _restart(replica, 0)


def _restart(replica: Replica, offset_s: int) -> None:
    replica.clock_offset_s = offset_s
    replica.signal(signal.SIGKILL)  # it is started again by the supervision


FAULTS: Mapping[str, Fault] = {
    "a process killed (SIGKILL)": killed,
    "a process frozen for 15 s (SIGSTOP)": frozen,
    "the broker away for 20 s": broker_away,
    "the database away for 10 s": database_away,
    "the store away for 20 s": store_away,
    "the store's disk full for 15 s": disk_full,
    "all connections cut": connections_cut,
    "one worker's clock wrong by 5 minutes": clock_wrong,
}


async def cause_faults(system: System, rng: random.Random, *, seconds: float) -> list[Window]:
    """Causes all faults in turn, in a new random order each round, for so long. Returns their windows."""
    windows: list[Window] = []
    ends_s = time.monotonic() + seconds
    while True:
        for name in rng.sample([*FAULTS], len(FAULTS)):
            starts_s = time.monotonic()
            detail = ""
            with contextlib.suppress(ProcessLookupError):  # it ended by itself just now
                async with FAULTS[name](system, rng) as detail:
                    pass
            await asyncio.sleep(_RECOVERY_S)
            windows.append(Window(name, detail, starts_s, time.monotonic()))
            await system.until_ready()
            await asyncio.sleep(rng.uniform(2, 6))
        if time.monotonic() > ends_s:
            return windows
