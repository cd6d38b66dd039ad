"""Two processes of each role behind load balancers, kept running as Kubernetes keeps containers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.bus.mac import EventMac
from kappi_chassis.embedded.ports import LOOPBACK, free_port, free_ports
from kappi_contracts.services import DATABASES
from kappi_testkit.processes import ManagedProcess
from kappi_testkit.servers.kafka import KafkaServer
from kappi_testkit.stack import GENEROUS

from tests.chaos.relay import Relay, listening
from tests.chaos.servers import Postgres, Store, start_kafka
from tests.deploy.composed import InVenv
from tests.deploy.composition import (
    COMPOSE_FILE,
    ROOT,
    Container,
    make_secrets,
    read_composition,
    read_env,
)
from tests.deploy.servers import environment_of

ROLES: Mapping[str, tuple[str, ...]] = {
    "identity": ("api", "worker", "relay"),
    "galleries": ("api", "worker", "relay"),
    "media": ("api", "worker", "relay"),
    "janitor": ("worker", "relay"),
    "gateway": ("api",),
}
COPIES = 2
_PROBE_EVERY_S, _PROBE_TIMEOUT_S = 1.0, 1.0
_READY_S = 180.0
_DRAIN_DELAY = "PT3S"  # longer than load balancers need to notice
_DRAIN_S = 40.0
_FAKE_CLOCK = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_SETTINGS: Mapping[str, str] = {
    **GENEROUS,
    "KAPPI_IDENTITY_ACCESS_TOKEN_LIFETIME": "PT4H",
    "KAPPI_JANITOR_PURGE_LEASE": "PT5S",
    # Signed upload URLs of this test live for minutes at most: the second sweep of a prefix comes soon.
    "KAPPI_JANITOR_RESWEEP_AFTER": "PT30S",
    "KAPPI_MEDIA_DECODER_PROCESSES": "1",
    # The receiver of webhooks is in the process of the test.
    "KAPPI_IDENTITY_WEBHOOK_PLAIN_HTTP": "true",
    "KAPPI_IDENTITY_WEBHOOK_PORTS": "",
    "KAPPI_IDENTITY_WEBHOOK_NETWORKS": "127.0.0.0/8",
}


@dataclass(slots=True, kw_only=True)
class Replica:
    """One process of a service. is_ready: its last probe; a load balancer sends it connections then.

    probed: what its last probe found.
    is_kept: whether it is started again when it has ended. before: words before its command.
    """

    service: str
    role: str
    number: int
    port: int
    ops_port: int
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    program: InVenv = field(default_factory=InVenv)
    is_ready: bool = False
    probed: str = ""
    is_kept: bool = True
    before: Sequence[str] = ()
    clock_offset_s: int = 0
    process: ManagedProcess | None = None

    @property
    def name(self) -> str:
        return f"{self.service}-{self.role}-{self.number}"

    def start(self) -> None:
        """Starts the process and does not wait until it is ready."""
        clock = (
            {
                "LD_PRELOAD": str(_FAKE_CLOCK),
                "FAKETIME": f"{self.clock_offset_s:+d}s",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            if self.clock_offset_s
            else {}
        )
        argv = [*self.before, *self.program.argv("", [self.service], {**self.environment, **clock})]
        self.process = ManagedProcess(argv, log=self.log, ready=lambda: True)
        self.process.start()

    def stop(self) -> int:
        """Ends the process as a platform does, with time to drain. Returns its exit status."""
        assert self.process is not None
        return self.process.stop(grace_s=_DRAIN_S)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.is_running():
            os.kill(self.process.pid, number)


@dataclass(slots=True)
class System:
    """The running system.

    disk: the folder of the store's objects, a file system of its own. settings: of all processes, beside the
    usual ones. addresses: of servers and services by their names in docker-compose.yml.
    """

    folder: Path
    disk: Path
    postgres: Postgres
    kafka: KafkaServer
    store: Store
    bucket: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list)
    relays: dict[str, Relay] = field(default_factory=dict)
    gateway_port: int = field(default_factory=free_port)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://{LOOPBACK}:{self.gateway_port}"

    def database_url(self, service: str) -> str:
        return self.postgres.direct_url(service)

    @property
    def events(self) -> KafkaConnection:
        """The connection of a service to the broker, with the secret of the events."""
        secret = self.replicas[0].environment["KAPPI_EVENT_SECRET"]
        return KafkaConnection(self.kafka.bootstrap, mac=EventMac([secret]))

    def of(self, service: str, role: str) -> list[Replica]:
        return [each for each in self.replicas if (each.service, each.role) == (service, role)]

    def ready_targets(self, service: str) -> list[tuple[str, int]]:
        return [(LOOPBACK, replica.port) for replica in self.of(service, "api") if replica.is_ready]

    async def until_ready(self) -> None:
        """Waits until every process is ready. Raises TimeoutError with the states of the others."""
        try:
            async with asyncio.timeout(_READY_S):
                while not all(replica.is_ready for replica in self.replicas):  # noqa: ASYNC110 - probes see it
                    await asyncio.sleep(0.2)
        except TimeoutError as late:
            others = [_state(replica) for replica in self.replicas if not replica.is_ready]
            raise TimeoutError("\n\n".join(["not ready:", *others])) from late

    async def deploy(self, tree: Path, *, with_jobs: bool = True) -> None:
        """Lets processes that start from now on run a tree's code with its settings.

        with_jobs: runs the jobs of its deployment first. The way back to an older release has none.
        """
        composition = read_composition(read_env(self.folder / "secrets/.env"), tree / COMPOSE_FILE.name)
        for replica in self.replicas:
            replica.program = InVenv(tree)
            replica.environment = self._environment(replica, composition)
        if with_jobs:
            await asyncio.to_thread(self._run_jobs)

    async def replace(self, replica: Replica) -> None:
        """Stops a process in order; the supervision starts it again. Returns once it is ready."""
        assert await asyncio.to_thread(replica.stop) == 0, replica.name
        await self.until_ready()

    async def supervise(self) -> None:
        """Probes all processes and starts those that have ended, until it is cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_TIMEOUT_S)) as session:
            while True:
                await asyncio.gather(*(self._look_at(replica, session) for replica in self.replicas))
                await asyncio.sleep(_PROBE_EVERY_S)

    async def _look_at(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        process = replica.process
        if process is not None and not process.is_running():
            replica.is_ready, replica.probed = False, "it has ended"
            if replica.is_kept:
                try:
                    await asyncio.to_thread(replica.start)
                except OSError as error:  # the machine has no room for it at the moment
                    replica.probed = f"it cannot start: {error!r}"
            return
        # As with a Service of Kubernetes, open connections to a process that is not ready stay open.
        replica.is_ready, replica.probed = await _probe(replica, session)

    def _environment(self, replica: Replica, composition: Mapping[str, Container]) -> dict[str, str]:
        grant_key = self.folder / "secrets/deploy/docker/secrets/grant-key.pem"
        found = environment_of(
            composition[replica.service],
            addresses=self.addresses,
            files={"/run/secrets/grant_key": str(grant_key)},
        )
        if "KAPPI_S3_ENDPOINT" in found:
            del found["KAPPI_S3_PUBLIC_ENDPOINT"]
            found |= self.store.server.environment(self.bucket)
        prefix = f"KAPPI_{replica.service.upper()}"
        own = {
            f"{prefix}_DRAIN_DELAY": _DRAIN_DELAY,
            f"{prefix}_PORT": str(replica.port),
            f"{prefix}_OPS_PORT": str(replica.ops_port),
            "KAPPI_PUBLIC_URL": self.base_url,
            "KAPPI_DATA_DIR": "/nonexistent",
        }
        if replica.service in DATABASES:
            own[f"{prefix}_DATABASE_URL"] = self.postgres.url(replica.service)
        if replica.service == "identity":
            own["KAPPI_IDENTITY_MAIL_DIR"] = str(self.folder)
        if replica.service != "gateway":
            own[f"{prefix}_ROLES"] = replica.role
        return {**found, **_SETTINGS, **self.settings, **own}

    def _run_jobs(self) -> None:
        """Brings the tables of each database up to date and creates the topics, as a deployment does."""
        for replica in self.replicas:
            if replica.number > 1 or replica.role != ROLES[replica.service][0]:
                continue
            job = ["migrate", replica.service] if replica.service in DATABASES else ["create-topics"]
            argv = replica.program.argv("", job, replica.environment)
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (job, done.stdout + done.stderr)


async def _probe(replica: Replica, session: aiohttp.ClientSession) -> tuple[bool, str]:
    """Returns whether the process is ready, and what it answered."""
    try:
        async with session.get(f"http://{LOOPBACK}:{replica.ops_port}/readyz") as answer:
            return answer.status == 200, await answer.text()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return False, repr(error)


def _state(replica: Replica) -> str:
    assert replica.process is not None
    return f"{replica.name}: {replica.probed}\n{replica.process.log_tail(lines=60)}"


@asynccontextmanager
async def running_system(
    folder: Path, *, disk: Path, tree: Path = ROOT, settings: Mapping[str, str] | None = None
) -> AsyncIterator[System]:
    """Yields the system once every process is ready; ends everything afterwards. tree: of Kappi's code."""
    with ExitStack() as running:
        async with AsyncExitStack() as serving:
            system = await _start_servers(folder, disk, running)
            system.settings = settings or {}
            for relay, port in (
                (system.postgres.relay, system.postgres.port),
                (system.store.relay, system.store.port),
            ):
                await serving.enter_async_context(listening(port, relay))
            (folder / "secrets").mkdir()
            make_secrets(folder / "secrets")
            system.addresses = await _serve_relays(system, serving)
            system.replicas = _replicas(folder / "logs")
            await system.deploy(tree)
            for replica in system.replicas:
                await asyncio.to_thread(replica.start)
                running.callback(_end, replica)
            async with asyncio.TaskGroup() as group:
                supervising = group.create_task(system.supervise())
                await system.until_ready()
                yield system
                supervising.cancel()


async def _start_servers(folder: Path, disk: Path, running: ExitStack) -> System:
    postgres, store = Postgres(folder / "postgres"), Store(folder, data=disk)
    await asyncio.to_thread(postgres.start)
    running.callback(postgres.stop)
    for service in DATABASES:
        await postgres.create_database(service)
    await asyncio.to_thread(store.start)
    running.callback(store.stop)
    kafka = await asyncio.to_thread(start_kafka, folder / "kafka", running)
    system = System(folder, disk, postgres, kafka, store)
    system.bucket = await asyncio.to_thread(store.inner.create_bucket)
    return system


async def _serve_relays(system: System, serving: AsyncExitStack) -> dict[str, str]:
    """Returns the addresses of the servers and services by their names in docker-compose.yml."""
    addresses = {"kafka:9092": system.kafka.bootstrap, "localhost:8000": f"{LOOPBACK}:{system.gateway_port}"}
    own_ports = {"identity": 8001, "galleries": 8002, "media": 8003}
    for service, own_port in own_ports.items():
        port = free_port()
        addresses[f"{service}:{own_port}"] = f"{LOOPBACK}:{port}"
        await _serve_relay(system, service, port, serving)
    await _serve_relay(system, "gateway", system.gateway_port, serving)
    return addresses


async def _serve_relay(system: System, service: str, port: int, serving: AsyncExitStack) -> None:
    relay = Relay(lambda: system.ready_targets(service))
    system.relays[service] = await serving.enter_async_context(listening(port, relay))


def _replicas(logs: Path) -> list[Replica]:
    logs.mkdir()
    replicas = []
    for service, roles in ROLES.items():
        for role in roles:
            for number in range(1, COPIES + 1):
                port, ops_port = free_ports(2)
                log = logs / f"{service}-{role}-{number}.log"
                replicas.append(
                    Replica(service=service, role=role, number=number, port=port, ops_port=ops_port, log=log)
                )
    return replicas


def _end(replica: Replica) -> None:
    replica.signal(signal.SIGCONT)
    if replica.process is not None and replica.process.is_running():
        replica.process.kill()
