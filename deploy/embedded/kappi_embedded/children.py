"""Starts the processes of the stack from the forkserver of `multiprocessing` and reports their end."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from setproctitle import setproctitle, setthreadtitle

from kappi_embedded.child_log import ChildLog
from kappi_embedded.death import die_with

_CONTEXT = multiprocessing.get_context("forkserver")
_FORKSERVER_ENVIRON = {
    # glibc gives each thread an arena of its own, in which idle services would keep their peak memory.
    "MALLOC_ARENA_MAX": "2",
    # A set threshold ends glibc's own adaptation: each buffer of 128 KiB or more was mapped and unmapped
    # again, a page fault for every 4 KiB of an upload, two thirds of its processor time. Buffers of up to
    # 8 MiB now stay in the heap, which keeps at most 32 MiB free and grows by 1 MiB at a time.
    "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
    "MALLOC_TOP_PAD_": str(1 << 20),
    # Nothing is imported from the current folder.
    "PYTHONSAFEPATH": "1",
}
_LOST = 255
"""The status that `multiprocessing` reports when the forkserver is gone."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a child. status: the exit status, or a signal's number negated."""

    status: int

    def __str__(self) -> str:
        if self.status < 0:
            return f"was ended by {signal.Signals(-self.status).name}"
        return f"ended with status {self.status}"


@dataclass(frozen=True, slots=True)
class Child:
    """A running process. ended: set when it is gone."""

    pid: int
    ended: asyncio.Future[Ended]


def start_forkserver() -> None:
    """Starts the forkserver if none runs. It imports while the caller continues.

    Must be called by a thread that lives as long as this process: the kernel ends the forkserver with it.
    """
    _CONTEXT.set_forkserver_preload(["kappi_embedded.preload"])
    with _environ(_FORKSERVER_ENVIRON):
        forkserver.ensure_running()


async def start_child(name: str, module: str, *, env: Mapping[str, str], log: ChildLog) -> Child:
    """Starts a process that runs module.main() with its output in log.

    When the forkserver ends, its children end with it, with status 255, and the next start uses a new one.
    A process that cannot be started ends at once with that status, and log has the reason.
    """
    ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
    output = await log.open_pipe()
    with Connection(output, readable=False) as connection:
        process = _CONTEXT.Process(
            target=run_module, name=name, args=(name, module, dict(env), connection), daemon=True
        )
        try:
            start_forkserver()
            process.start()
        except (OSError, EOFError) as error:
            log.take(f"{name} cannot be started: {error!r}".encode())
            ended.set_result(Ended(_LOST))
            return Child(pid=0, ended=ended)
    assert process.pid is not None
    _report_end(process, ended)
    return Child(pid=process.pid, ended=ended)


def _report_end(process: ForkServerProcess, ended: asyncio.Future[Ended]) -> None:
    loop = asyncio.get_running_loop()
    sentinel = process.sentinel

    def at_end() -> None:
        loop.remove_reader(sentinel)
        status = process.exitcode
        process.close()
        if not ended.done():  # a task that is cancelled while it waits cancels the future
            ended.set_result(Ended(_LOST if status is None else status))

    loop.add_reader(sentinel, at_end)


def run_module(name: str, module: str, env: dict[str, str], output: Connection) -> None:
    """Runs in the child: makes it a process of its own and runs the module's `main()`."""
    from kappi_embedded.preload import FORKSERVER_PID, SIGNALS  # was imported before the fork

    os.setsid()
    _end_with(FORKSERVER_PID)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [module]
    setproctitle(f"kappi: {name} (python -m {module})")
    setthreadtitle(f"kappi-{name}")
    importlib.import_module(module).main()


def _end_with(forkserver_pid: int) -> None:
    """Ends this process with the forkserver (Linux), elsewhere with the supervisor."""
    if sys.platform == "linux":
        die_with(forkserver_pid)
    elif (supervisor := multiprocessing.parent_process()) is not None:

        def watch() -> None:
            wait([supervisor.sentinel])
            os._exit(1)

        threading.Thread(target=watch, name="supervisor", daemon=True).start()


@contextmanager
def _environ(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables that only a process started inside reads: the C library reads its own at start."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
