"""What every scenario needs: its options, processor time of work, and the running Kappi."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kappi_testkit.stack import GENEROUS, EmbeddedStack

from benchmarks.footprint import busy_ns, stack_pids
from benchmarks.peers.programs import Pids, Programs
from benchmarks.peers.rounds import Turn
from benchmarks.processor import role_of
from benchmarks.world import Endpoint, World

DURABLE = {**GENEROUS, "KAPPI_EMBEDDED_DURABLE": "1", "KAPPI_LOG_LEVEL": "WARNING"}


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is to measure.

    file_mib: size of uploads and downloads. files: number of small ones. calls: of the gateway, in a turn.
    rows: that the media database grows to. against: other checkouts of Kappi, with their own `.venv`.
    """

    folder: Path
    programs: Programs
    rounds: int
    file_mib: int
    files: int
    calls: int
    rows: int
    against: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of work, and the unit of time that its cost is shown in."""

    of: str
    time: str
    in_a_second: float


GIGABYTE = Unit("GB", "s", 1)
FILE = Unit("file", "ms", 1e3)
PICTURE = Unit("picture", "ms", 1e3)
CALL = Unit("call", "µs", 1e6)


@dataclass(frozen=True, slots=True)
class Measured:
    """The turns of each subject; the others are compared with the first one."""

    title: str
    unit: Unit
    taken: Mapping[str, Sequence[Turn]]


Scenario = Callable[[Options], AsyncIterator[Measured]]


def measured(work: Callable[[], object], *, pids: Pids | None, units: float) -> Turn:
    """Returns what some work of this process costs itself and the processes of a server."""
    before = _used_ns(pids)
    generator_s, began = time.process_time(), time.perf_counter()
    work()
    elapsed_s, generator_s = time.perf_counter() - began, time.process_time() - generator_s
    used_ns = sum(max(0, used - before.get(pid, 0)) for pid, used in _used_ns(pids).items())
    return Turn(units, None if pids is None else used_ns / 1e9, elapsed_s, generator_s)


def _used_ns(pids: Pids | None) -> dict[int, int]:
    return {} if pids is None else {pid: busy_ns(pid) for pid in pids()}


@contextmanager
def running_kappi(folder: Path, *, python: Path | str = sys.executable) -> Iterator[EmbeddedStack]:
    """Yields a durable stack on a new folder. python: of the checkout that runs."""
    stack = EmbeddedStack(folder, settings=DURABLE, python=str(python))
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


@asynccontextmanager
async def client_of(stack: EmbeddedStack) -> AsyncIterator[World]:
    """Yields a client of a running stack. Its pids are those of the stack without the decoders of pictures,
    because no peer makes pictures of what it is sent.
    """
    services = {name: Endpoint("127.0.0.1", at.port) for name, at in stack.note.services.items()}
    gateway, pids = Endpoint("127.0.0.1", stack.port), partial(_without_decoders, stack)
    async with World(gateway, services, introduction=stack.introduction, pids=pids) as world:
        yield world


def _without_decoders(stack: EmbeddedStack) -> set[int]:
    return {pid for pid in stack_pids(stack.note) if role_of(pid) != "decoders"}
