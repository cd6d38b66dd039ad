"""Causes of alerts: processes that are away, are held up, or run elsewhere than they should."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.chaos.alert_scene import Scene

_STOPPED_S, _RUNNING_S = 0.6, 0.4
_WITHOUT_LANDLOCK = Path(__file__).parent / "without_landlock.py"


@asynccontextmanager
async def media_away(scene: Scene) -> AsyncIterator[None]:
    """Both processes that answer requests for media have ended, while clients view galleries."""
    replicas, relay = scene.system.of("media", "api"), scene.system.relays["media"]
    for replica in replicas:
        replica.is_kept = False
        replica.signal(signal.SIGKILL)
    relay.refuse()  # as a Service without a process behind it
    try:
        yield
    finally:
        await relay.listen(relay.port)
        await scene.restarted(*replicas)


@asynccontextmanager
async def short_of_processor(scene: Scene) -> AsyncIterator[None]:
    """A process gets the processor in short turns only."""
    replica = scene.system.of("identity", "relay")[0]

    async def pulses() -> None:
        while True:
            replica.signal(signal.SIGSTOP)
            await asyncio.sleep(_STOPPED_S)
            replica.signal(signal.SIGCONT)
            await asyncio.sleep(_RUNNING_S)

    task = asyncio.create_task(pulses())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        replica.signal(signal.SIGCONT)


@asynccontextmanager
async def without_landlock(scene: Scene) -> AsyncIterator[None]:
    """A worker of media runs where the kernel refuses Landlock, as under old container runtimes."""
    replica = scene.system.of("media", "worker")[1]
    replica.before = (sys.executable, str(_WITHOUT_LANDLOCK))
    replica.signal(signal.SIGKILL)
    try:
        yield
    finally:
        replica.before = ()
        replica.signal(signal.SIGKILL)
        await scene.restarted(replica)
