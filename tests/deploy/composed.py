"""Runs docker-compose.yml: its jobs and services as processes, in its order, with its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kappi_chassis.embedded.ports import LOOPBACK, free_ports
from kappi_testkit.processes import ManagedProcess, answers_http

from tests.deploy.composition import ROOT, Container
from tests.deploy.known_settings import SERVICES
from tests.deploy.servers import Dependencies, environment_of, start_kafka, start_postgres, start_seaweedfs

_JOB_TIMEOUT_S = 120.0
_START_TIMEOUT_S = 60.0
_GRACE_S = 40.0  # stop_grace_period


class Runner(Protocol):
    """Runs a container of an image. files: local paths by the paths in the container. image: as composed."""

    def files(self, secrets: Path, folder: Path) -> Mapping[str, str]: ...

    def argv(self, image: str, command: Sequence[str], environment: Mapping[str, str]) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class InVenv:
    """Runs the image's entry point on this environment's packages, with only the container's variables.

    tree: where the code of Kappi's packages is; another tree may be that of another release.
    """

    tree: Path = ROOT

    def files(self, secrets: Path, folder: Path) -> Mapping[str, str]:
        mail = folder / "mail"
        mail.mkdir(exist_ok=True)
        return {"/run/secrets/grant_key": str(secrets / "grant-key.pem"), "/var/lib/kappi/mail": str(mail)}

    def argv(self, image: str, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        path = f"{Path(sys.executable).parent}:{self.tree / 'deploy/docker'}:{os.environ['PATH']}"
        packages = ":".join(str(each.parent) for each in self.tree.glob("*/*/pyproject.toml"))
        given = [f"{name}={value}" for name, value in environment.items()]
        return [
            *("env", "-i", f"PATH={path}", f"PYTHONPATH={packages}", "KAPPI_DATA_DIR=/nonexistent", *given),
            *("entrypoint", *command),
        ]


@dataclass(slots=True)
class Composed:
    """The running system. base_url: of the gateway. addresses: local addresses by the names in the file."""

    composition: Mapping[str, Container]
    runner: Runner
    deps: Dependencies
    addresses: dict[str, str] = field(default_factory=dict)
    ops_ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, ManagedProcess] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://{self.addresses['gateway:8000']}"

    def start(self) -> None:
        """Starts servers, jobs and services, each after its dependencies have ended or run."""
        self._choose_ports()
        for name in _in_order(self.composition):
            container = self.composition[name]
            if name == "postgres":
                self.addresses |= start_postgres(container, self.deps)
            elif name == "kafka":
                self.addresses |= start_kafka(container, self.deps)
            elif name == "seaweedfs":
                self.addresses |= start_seaweedfs(container, self.deps, addresses=self.addresses)
            elif container.is_job:
                done = self.run(container)
                assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        self.serve()

    def serve(self) -> None:
        """Starts the services, each after those that it depends on."""
        for name in _in_order(self.composition):
            container = self.composition[name]
            if container.runs_kappi and not container.is_job and "profiles" not in container.definition:
                self._serve(container)

    def run(self, container: Container, *command: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a container to its end. command: replaces the container's own."""
        return subprocess.run(
            self.runner.argv(container.image, command or container.command, self._environment(container)),
            input=typed,
            capture_output=True,
            text=True,
            timeout=_JOB_TIMEOUT_S,
            check=False,
        )

    def operator(self, *command: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Runs `docker compose run --rm operator …`."""
        return self.run(self.composition["operator"], *command, typed=typed)

    def stop(self) -> dict[str, int]:
        """Drains the services in the opposite order. Returns their exit statuses."""
        return {name: process.stop(grace_s=_GRACE_S) for name, process in reversed(self.processes.items())}

    def _choose_ports(self) -> None:
        for name, settings in SERVICES.items():
            port, ops_port = free_ports(2)
            self.addresses[f"{name}:{settings.model_fields['port'].default}"] = f"{LOOPBACK}:{port}"
            self.ops_ports[name] = ops_port
        self.addresses["localhost:8000"] = self.addresses["gateway:8000"]

    def _serve(self, container: Container) -> None:
        ops_port = self.ops_ports[container.name]
        process = ManagedProcess(
            self.runner.argv(container.image, container.command, self._environment(container)),
            log=self.deps.folder / f"{container.name}.log",
            ready=lambda: answers_http(f"http://{LOOPBACK}:{ops_port}/readyz"),
            start_timeout_s=_START_TIMEOUT_S,
        )
        process.start()
        self.deps.running.callback(process.kill)
        self.processes[container.name] = process

    def _environment(self, container: Container) -> dict[str, str]:
        files = self.runner.files(self.deps.secrets, self.deps.folder)
        environment = environment_of(container, addresses=self.addresses, files=files)
        if container.name in SERVICES:
            prefix = f"KAPPI_{container.name.upper()}_"
            address = next(
                value for key, value in self.addresses.items() if key.startswith(f"{container.name}:")
            )
            environment |= {
                f"{prefix}PORT": address.rpartition(":")[2],
                f"{prefix}OPS_PORT": str(self.ops_ports[container.name]),
            }
        return environment


@contextmanager
def composed(
    composition: Mapping[str, Container], *, runner: Runner, secrets: Path, folder: Path
) -> Iterator[Composed]:
    """Yields the running system. secrets: the folder where `make-env` ran."""
    with ExitStack() as running:
        system = Composed(
            composition,
            runner=runner,
            deps=Dependencies(folder=folder, secrets=secrets / "deploy/docker/secrets", running=running),
        )
        system.start()
        yield system


def _in_order(composition: Mapping[str, Container]) -> list[str]:
    """Yields the containers, each after its dependencies."""
    done: list[str] = []
    while len(done) < len(composition):
        ready = [
            name
            for name, each in composition.items()
            if name not in done and set(each.depends_on) <= set(done)
        ]
        assert ready, "containers wait for one another"
        done += ready
    return done
