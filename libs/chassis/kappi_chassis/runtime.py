"""The life cycle of a service process: start in order, run its roles, drain on SIGTERM, stop in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from contextlib import AsyncExitStack
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Protocol, TypeVar

import uvloop

from kappi_chassis.http.connections import ConnectionLimits
from kappi_chassis.http.edge import App
from kappi_chassis.http.server import HttpServer
from kappi_chassis.observability import metrics
from kappi_chassis.observability.declared import Exposition, MetricGroup
from kappi_chassis.observability.health import Health, ops_app
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.rlimits import raise_file_limit
from kappi_chassis.settings import DatabaseSettings, Role, ServiceSettings

STOP_TIMEOUT = timedelta(seconds=15)
"""Time for tasks and resources to end after the last request."""
YOUNG_OBJECTS = 10_000
"""Number of new containers before the garbage collector looks for cycles among them.

Python's default of 700 is less than an answer about a hundred files needs.
"""
LOOP_CHECKS_S = (0.5, 1.5)
"""The shortest and the longest time between two looks at the event loop.

It varies, because a delay that comes and goes with the same period would not be seen.
"""
SAME_CTRL_C_S = 1.0  # a terminal's SIGINT and a supervisor's signal mean the same stop

_log = get_logger(__name__)


class Resource(Protocol):
    """A part with a start and an end: a pool, a producer."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Closable(Protocol):
    """A part with an end only."""

    async def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class _OnDemand:
    """A resource that connects on first use: its users wait if it is away, not the start of the process."""

    def __init__(self, resource: Closable) -> None:
        self.close = resource.close

    async def start(self) -> None:
        """Does nothing."""


class Service:
    """Collects the parts of a service, then runs it.

    Order: resources start; background tasks and the ops port run; the public port opens last. On SIGTERM or
    SIGINT: readiness becomes false, `drain_delay` passes, the public port finishes accepted requests, tasks
    are cancelled, resources close. A background task that fails or returns ends the process with status 1:
    the supervisor restarts it, and unacknowledged work is repeated. Either end is cut off if it takes too
    long, because a process that hangs is not restarted.
    """

    def __init__(self, name: str, settings: ServiceSettings, *, commit: str = "") -> None:
        """commit: of the source that runs, for metrics."""
        self.name = name
        self.health = Health()
        self.exposition = Exposition()
        self.exposition.add(metrics.PROCESS)
        _introduce(settings, commit=commit)
        self._settings = settings
        self._resources: list[Resource] = []
        self._tasks: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
        self._app: App | None = None
        self._connections: ConnectionLimits | None = None
        self._drain_actions: list[Callable[[], None]] = []
        self._told_at = 0.0
        self._limit_end: Callable[[], None] = lambda: None

    def owns(self, resource: Resource) -> None:
        """Adds a resource. Resources start in the order of these calls and close in reverse."""
        self._resources.append(resource)

    def closes(self, resource: T) -> T:
        """Adds a part that connects on first use, and returns it. It closes in the reverse order of these
        calls.
        """
        self._resources.append(_OnDemand(resource))
        return resource

    def runs(self, name: str, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Adds a task for the whole life of the process."""
        self._tasks.append((name, task))

    def exports(self, group: MetricGroup, *, roles: Collection[Role] = (), **known: Iterable[str]) -> None:
        """Adds metrics to `/metrics`. roles: only if this process has one of them.

        known: values of labels, as in `MetricGroup.initialise`.
        """
        if not roles or self._settings.roles.intersection(roles):
            self.exposition.add(group, **known)

    def drains(self, action: Callable[[], None]) -> None:
        """Adds what ends long answers. It is called when the public port stops accepting requests."""
        self._drain_actions.append(action)

    def serves(self, app: App, *, connections: ConnectionLimits | None = None) -> None:
        """Sets the app of the service's own port, for the `api` role.

        connections: None for the settings' total, without a limit per address.
        """
        self._app = app
        self.exports(metrics.HTTP, roles=["api"])
        self._connections = connections or ConnectionLimits(in_all=self._settings.max_connections)

    def main(self) -> None:
        """Runs until asked to stop. Raises SystemExit(1) if the start or a task failed."""
        raise_file_limit()
        _spare_garbage_collector()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self.run())
        except Exception as failure:
            # The log redacts the exception; the interpreter would print it unredacted.
            _log.critical("service.failed", exc_info=True)
            raise SystemExit(1) from failure

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT, for `main`.

        An end that takes too long is cut off, at once on a second Ctrl-C.
        """
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        limit_s = (self._settings.drain_delay + self._settings.drain_timeout + STOP_TIMEOUT).total_seconds()

        def limit_end() -> None:
            # A thread: a loop that is blocked, or threads that outlast it, must not keep the process either.
            cutting = threading.Timer(limit_s, _cut_off, ("it took too long", loop))
            cutting.daemon = True
            cutting.start()

        def told(number: int) -> None:
            if not stopping.is_set():
                stopping.set()
                self._told_at = loop.time()
                limit_end()
            elif number == signal.SIGINT and loop.time() - self._told_at > SAME_CTRL_C_S:
                _cut_off("told twice", loop)

        self._limit_end = limit_end

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told, number)
        await self.run_until(stopping.wait)

    async def run_until(self, stopping: Callable[[], Awaitable[Any]]) -> None:
        """stopping: returns when the service should drain, even while it is still starting."""
        ops = self._server(
            ops_app(self.health, self.exposition), host=self._settings.ops_host, port=self._settings.ops_port
        )
        told = asyncio.ensure_future(stopping())
        try:
            async with AsyncExitStack() as stack:
                for resource in self._resources:
                    if not await self._start_unless(told, resource):
                        _log.info("service.stopped", while_starting=True)
                        return
                    stack.push_async_callback(resource.close)
                async with asyncio.TaskGroup() as group:
                    background = [
                        self._begin(group, name, _for_ever(name, task))
                        for name, task in [*self._tasks, ("loop delay", _measure_loop)]
                    ]
                    self._begin(group, "ops", ops.serve())
                    await self._serve_until(told, group)
                    ops.stop()
                    for task in background:
                        task.cancel()
        finally:
            told.cancel()
        _log.info("service.stopped")

    async def _serve_until(self, told: asyncio.Future[Any], group: asyncio.TaskGroup) -> None:
        public: HttpServer | None = None
        serving: asyncio.Task[None] | None = None
        if self._app is not None and "api" in self._settings.roles:
            public = self._server(
                self._app, host=None, port=self._settings.port, connections=self._connections
            )
            serving = self._begin(group, "http", public.serve())
        _log.info("service.started", port=self._settings.port, ops_port=self._settings.ops_port)
        await told
        _log.info("service.draining")
        self.health.drain()
        if public is not None:
            public.drain()
        if self._settings.drain_delay > timedelta(0):
            await asyncio.sleep(self._settings.drain_delay.total_seconds())
        for action in self._drain_actions:
            action()
        if public is not None and serving is not None:
            public.stop()
            await serving

    def _begin(
        self, group: asyncio.TaskGroup, name: str, work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        task = group.create_task(work, name=name)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Future[None]) -> None:
        """Begins the limit when a part has failed: the others may not end."""
        if not task.cancelled() and task.exception() is not None:
            self._limit_end()

    async def _start_unless(self, told: asyncio.Future[Any], resource: Resource) -> bool:
        """Starts it.

        If the process is asked to stop meanwhile, the start is cancelled and the result is False.
        """
        starting = asyncio.ensure_future(resource.start())
        starting.add_done_callback(self._note_end)
        try:
            await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
            if not told.done():
                await starting
                return True
            return False
        finally:
            if not starting.done():
                starting.cancel()
                await asyncio.wait((starting,))

    def _server(
        self, app: App, *, host: str | None, port: int, connections: ConnectionLimits | None = None
    ) -> HttpServer:
        return HttpServer(
            app,
            host=host or self._settings.host,
            port=port,
            drain_timeout=self._settings.drain_timeout,
            keep_alive=self._settings.keep_alive,
            connections=connections,
        )


class TaskEnded(Exception):
    """A task for the whole life of the process has returned."""


def _spare_garbage_collector() -> None:
    """Exempts present objects, mostly code, from the garbage collector's repeated searches for cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


async def _for_ever(name: str, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        await task()
    except Exception as failure:
        failure.add_note(f"in the task {name!r}")
        raise
    raise TaskEnded(f"the task {name!r} ended by itself")


def _introduce(settings: ServiceSettings, *, commit: str) -> None:
    """Sets the metrics that tell what this process is."""
    metrics.BUILD_INFO.labels(version("kappi-chassis"), commit).set(1)
    # Without a database there is nothing to do in other roles.
    for role in settings.roles if isinstance(settings, DatabaseSettings) else ("api",):
        metrics.PROCESS_ROLE.labels(role).set(1)


async def _measure_loop() -> None:
    """Measures how late the event loop is, until cancelled: work that blocks it delays every request."""
    while True:
        pause_s = random.uniform(*LOOP_CHECKS_S)  # noqa: S311 - a pause, not a secret
        due = time.perf_counter() + pause_s
        await asyncio.sleep(pause_s)
        metrics.LOOP_DELAY_SECONDS.observe(max(0.0, time.perf_counter() - due))


def _cut_off(why: str, loop: asyncio.AbstractEventLoop) -> None:
    waiting = sorted(task.get_name() for task in asyncio.all_tasks(loop))
    threads = sorted(thread.name for thread in threading.enumerate())
    _log.error("service.cut_off", why=why, tasks=waiting, threads=threads)
    logging.shutdown()
    os._exit(1)
