"""The supervisor of `kappi up`: starts everything in order, keeps it running, drains it in the opposite
order.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
from kappi_chassis.embedded.child import tail
from kappi_chassis.embedded.ports import free_ports
from kappi_chassis.embedded.postgres import PostgresUnavailable

from kappi_embedded.ballast import Ballast
from kappi_embedded.child_log import ChildLog
from kappi_embedded.children import Child, start_child, start_forkserver
from kappi_embedded.console import Console
from kappi_embedded.data_dir import DataDir, RunningService, RunNote
from kappi_embedded.environment import Addresses, Environments
from kappi_embedded.network import phone_url
from kappi_embedded.plan import BY_NAME, GATEWAY, Plan, ServiceSpec
from kappi_embedded.servers import EmbeddedServers
from kappi_embedded.store_folder import prepare_store_folder
from kappi_embedded.supervised import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, SupervisedService

_PREPARE = ServiceSpec("prepare", module="kappi_embedded.prepare", package="kappi_embedded")
_REPLAYER = ServiceSpec("replayer", module="kappi_embedded.replayer", package="kappi_embedded")
_DRAIN_GRACE_S = 6.0
_REPLAYER_GRACE_S = 2.0
_HOUSEKEEPING_S = 10.0
_POSTGRES_FAILURES = (
    PostgresUnavailable,
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)
# The gateway comes first, so that no new requests arrive; then the services that it calls.
_DRAIN_ORDER = ((GATEWAY,), tuple(name for name in BY_NAME if name != GATEWAY), ("replayer",))


class StartFailed(RuntimeError):
    """The stack could not be started; the message states the reason."""


class Supervisor:
    """One stack, from `start` to `stop`, on one event loop."""

    def __init__(
        self, plan: Plan, data: DataDir, ballast: Ballast, *, console: Console, environ: Mapping[str, str]
    ) -> None:
        self._plan = plan
        self._data = data
        self._console = console
        self._environ = environ
        self._environments = Environments(plan, data, environ)
        self._servers = EmbeddedServers(plan, data)
        self._ballast = ballast
        self._logs: dict[str, ChildLog] = {}
        self._services: dict[str, SupervisedService] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._addresses: Addresses | None = None
        self._ports = self._choose_ports()
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._up = False
        self._stopping = False
        self._noted = True

    async def start(self) -> None:
        """Returns when every service is ready. Raises StartFailed and what the servers raise."""
        # The forkserver imports while the servers start.
        start_forkserver()
        starting = asyncio.create_task(self._start_postgres())
        try:
            bootstrap = await asyncio.to_thread(self._servers.start_broker)
            self._console.done("broker", "" if self._plan.needs_broker else bootstrap)
        finally:
            await starting
        self._addresses = Addresses(
            services=self._ports, kafka_bootstrap=bootstrap, databases=await self._servers.databases()
        )
        self._console.done("postgres", "" if self._plan.needs_postgres else "given by the environment")
        await self._prepare()
        if not self._plan.uses_s3:
            await prepare_store_folder(self._data.objects, self._console)
        for spec in self._plan.services:
            self._supervise(spec)
        await self._all_ready()
        if self._plan.needs_broker:
            self._supervise(_REPLAYER)
        self._up = True
        self._note()

    async def watch(self) -> None:
        """Watches, until cancelled, for failures that no service detects. Raises StartFailed."""
        postgres = self._servers.postgres
        while True:
            await self._keep_house()
            ended = set() if postgres is None else {asyncio.create_task(asyncio.to_thread(postgres.wait))}
            try:
                while not await self._something_ended(ended):
                    await self._keep_house()
            finally:
                for waiting in ended:
                    waiting.cancel()  # its thread ends with the server
            await self._revive_postgres()

    async def _something_ended(self, postgres: set[asyncio.Task[None]]) -> bool:
        """Waits for an end until the next housekeeping. Returns whether PostgreSQL ended. Raises StartFailed,
        and what ended a service's supervision.
        """
        watched = {*self._tasks.values(), *postgres}
        await asyncio.wait(watched, timeout=_HOUSEKEEPING_S, return_when=asyncio.FIRST_COMPLETED)
        for name, task in self._tasks.items():
            if task.done() and not self._stopping:
                task.result()
                raise StartFailed(f"{name} is not supervised any more")
        return any(task.done() for task in postgres)

    async def stop(self) -> None:
        """Drains in order: the gateway, the services, then the servers below them."""
        self._stopping = True
        for names in _DRAIN_ORDER:
            grace_s = _REPLAYER_GRACE_S if names == ("replayer",) else _DRAIN_GRACE_S
            await asyncio.gather(
                *(self._services[name].stop(grace_s=grace_s) for name in names if name in self._services)
            )
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._servers.stop()
        for log in self._logs.values():
            log.close()

    def kill(self) -> None:
        """Kills all services at once. `stop` then has little left to do."""
        for service in self._services.values():
            service.kill()

    def _choose_ports(self) -> dict[str, tuple[int, int]]:
        names = [spec.name for spec in self._plan.services]
        ports = iter(free_ports(2 * len(names), but=[self._plan.port]))
        chosen = {name: (next(ports), next(ports)) for name in names}
        chosen["gateway"] = (self._plan.port, chosen["gateway"][1])
        return chosen

    async def _prepare(self) -> None:
        assert self._addresses is not None
        env = {
            **self._environ,
            **self._environments.of_platform(self._addresses),
            **self._environments.of_databases(self._addresses),
        }
        child = await start_child(_PREPARE.name, _PREPARE.module, env=env, log=self._log(_PREPARE.name))
        end = await child.ended
        if end.status != 0:
            raise StartFailed(f"the databases could not be prepared\n{tail(self._log(_PREPARE.name).path)}")
        self._console.done("databases")

    def _supervise(self, spec: ServiceSpec) -> None:
        service = SupervisedService(
            spec,
            ops_port=self._ports[spec.name][1] if spec.name in self._ports else None,
            start=self._start_child,
            log=self._log(spec.name).path,
            warn=self._console.warn,
            changed=self._note,
        )
        self._services[spec.name] = service
        self._tasks[spec.name] = asyncio.create_task(service.run(), name=f"supervise-{spec.name}")

    async def _all_ready(self) -> None:
        waiting: dict[asyncio.Task[Any], str] = {
            asyncio.create_task(service.ready.wait()): name for name, service in self._services.items()
        }
        try:
            while waiting:
                done, _ = await asyncio.wait(
                    {*waiting, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if task in waiting:
                        self._console.done(waiting.pop(task))
                    else:
                        await task  # raises the cause of its failure
        finally:
            for task in waiting:
                task.cancel()

    async def _start_child(self, spec: ServiceSpec) -> Child:
        assert self._addresses is not None
        env = (
            self._environments.of_replayer(self._addresses)
            if spec is _REPLAYER
            else self._environments.of_service(spec, self._addresses)
        )
        return await start_child(spec.name, spec.module, env=env, log=self._log(spec.name))

    async def _keep_house(self) -> None:
        """Writes the note and the ballast that a full disk prevented before, and trims PostgreSQL's log."""
        if not self._noted:
            self._note()
        if self._servers.postgres is not None:
            with suppress(OSError):
                await asyncio.to_thread(self._ballast.keep)
            await asyncio.to_thread(self._servers.postgres.trim_log)

    async def _start_postgres(self) -> None:
        if self._plan.needs_postgres:
            await self._ballast.make_room()
        await self._servers.start_postgres()

    async def _revive_postgres(self) -> None:
        """Restarts PostgreSQL, repeatedly if needed. Meanwhile services report that the database is away."""
        self._console.warn("postgres ended; starting it again")
        backoff_s = FIRST_BACKOFF_S
        while True:
            await self._ballast.make_room()
            try:
                await self._restart_postgres()
            except _POSTGRES_FAILURES as failure:
                why, *_ = (str(failure) or type(failure).__name__).splitlines()
                self._console.warn(f"postgres cannot start; trying again in {backoff_s:.1f} s: {why}")
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
            else:
                break
        # PostgreSQL has a new port now, and services read their settings once.
        await asyncio.gather(
            *(
                service.restart(grace_s=_REPLAYER_GRACE_S)
                for service in self._services.values()
                if service.spec.has_database or service.spec is _REPLAYER
            )
        )
        self._console.warn("postgres is ready again")

    async def _restart_postgres(self) -> None:
        await self._servers.restart_postgres()
        assert self._addresses is not None
        self._addresses = Addresses(
            services=self._addresses.services,
            kafka_bootstrap=self._addresses.kafka_bootstrap,
            databases=await self._servers.databases(),
        )

    def _log(self, name: str) -> ChildLog:
        if name not in self._logs:
            self._logs[name] = ChildLog(name, self._data.logs, warn=self._console.warn)
        return self._logs[name]

    def _note(self) -> None:
        """Writes the note of what runs, for the other commands. On a full disk it is written later."""
        if self._addresses is None or not self._up or self._stopping:
            return
        try:
            self._data.write_note(self._note_of(self._addresses))
        except OSError as error:
            if self._noted:
                self._console.warn(f"{self._data.run_note} cannot be written: {error.strerror}")
            self._noted = False
        else:
            self._noted = True

    def _note_of(self, addresses: Addresses) -> RunNote:
        postgres = self._servers.postgres
        return RunNote(
            pid=os.getpid(),
            url=self._plan.public_url,
            phone_url=phone_url(self._plan),
            started_at=self._started_at,
            kafka_bootstrap=addresses.kafka_bootstrap,
            embedded_broker=self._plan.needs_broker,
            embedded_postgres=self._plan.needs_postgres,
            event_secret=self._environments.event_secret(),
            s3_endpoint=self._environ.get("KAPPI_S3_ENDPOINT") if self._plan.uses_s3 else None,
            postgres_pid=postgres.pid if postgres is not None and postgres.is_running() else None,
            databases=addresses.databases,
            services={
                name: RunningService(
                    pid=self._services[name].pid if name in self._services else 0,
                    port=port,
                    ops_port=ops_port,
                )
                for name, (port, ops_port) in self._ports.items()
            },
        )
