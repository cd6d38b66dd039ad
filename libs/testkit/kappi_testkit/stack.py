"""The whole stack, for tests and benchmarks that go through the gateway.

A conftest gets the fixtures by `from kappi_testkit.stack import embedded_stack, stack_settings`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.embedded.ports import LOOPBACK, free_ports
from kappi_chassis.http.internal import HEADER
from kappi_embedded.backlog import BacklogReader
from kappi_embedded.data_dir import DataDir, RunNote
from kappi_embedded.readiness import is_ready
from kappi_embedded.stack import Stack, find_stack
from kappi_embedded.ticking import Ticker, TickReport

from kappi_testkit.processes import ManagedProcess

GENEROUS: Mapping[str, str] = {
    "KAPPI_GATEWAY_CREATION_BURST": "1000000",
    "KAPPI_GATEWAY_CREATIONS_PER_HOUR": "1000000000",
    "KAPPI_GATEWAY_GUESS_BURST": "1000000",
    "KAPPI_GATEWAY_GUESSES_PER_MINUTE": "1000000000",
    "KAPPI_GATEWAY_CONNECTIONS_PER_ADDRESS": "1000000",
    "KAPPI_GATEWAY_REQUESTS_PER_ADDRESS": "1000000",
    "KAPPI_GATEWAY_RENDITION_REQUESTS_PER_ADDRESS": "1000000",
    "KAPPI_GATEWAY_ARCHIVES_PER_ADDRESS": "1000000",
    "KAPPI_GATEWAY_PICTURES_PER_ADDRESS": "1000000",
    "KAPPI_GATEWAY_PICTURES_PER_ACCOUNT": "1000000",
    "KAPPI_GATEWAY_TRANSFERS_PER_ADDRESS": "1000000",
    "KAPPI_GATEWAY_SIGN_UP_BURST": "1000000",
    "KAPPI_GATEWAY_SIGN_UPS_PER_HOUR": "1000000000",
    "KAPPI_GATEWAY_WEBHOOK_BURST": "1000000",
    "KAPPI_GATEWAY_WEBHOOKS_PER_HOUR": "1000000000",
    "KAPPI_GATEWAY_SIGNING_BURST": "1000000000",
    "KAPPI_GATEWAY_SIGNINGS_PER_MINUTE": "1000000000",
    "KAPPI_MEDIA_PROMISED_FILES_PER_ADDRESS": "1000000000",
    "KAPPI_MEDIA_PROMISED_BYTES_PER_ADDRESS": "1000000000000000000",
    "KAPPI_MEDIA_PROMISED_FILES_PER_GALLERY": "1000000000",
    "KAPPI_MEDIA_PROMISED_BYTES_PER_GALLERY": "1000000000000000000",
    "KAPPI_GALLERIES_PASSWORD_SHARE": "64",
    "KAPPI_IDENTITY_LOGIN_BURST_PER_ADDRESS": "1000000",
    "KAPPI_IDENTITY_PASSWORD_SHARE": "64",
    "KAPPI_IDENTITY_RESET_BURST_PER_ADDRESS": "1000000",
}
"""Raises the limits per address, because all clients of a test share one address."""

_START_TIMEOUT_S = 90.0
_COMMAND_TIMEOUT_S = 90.0
_POLL_S = 0.05


class EmbeddedStack:
    """`kappi up` as a child process on free ports. It ends with this process, also when this one is killed.

    settings: added to the embedded defaults; KAPPI_KAFKA_BOOTSTRAP, KAPPI_<SERVICE>_DATABASE_URL and
    KAPPI_S3_* select other servers. This process's own KAPPI_* variables are not passed on. python: the
    interpreter of the environment whose `kappi` runs.
    """

    def __init__(
        self, data_dir: Path, *, settings: Mapping[str, str] | None = None, python: str = sys.executable
    ) -> None:
        self.data_dir = data_dir
        self._python = python
        self.port = free_ports(1)[0]
        self.base_url = f"http://{LOOPBACK}:{self.port}"
        self.env: dict[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KAPPI_")},
            "KAPPI_DATA_DIR": str(data_dir),
            "KAPPI_PORT": str(self.port),
            "KAPPI_PUBLIC_URL": self.base_url,
            "KAPPI_EMBEDDED_DURABLE": "0",
            **(settings or {}),
        }
        self._data = DataDir(data_dir.absolute())
        self.output = data_dir.parent / f"{data_dir.name}.out"
        self._process: ManagedProcess | None = None

    @property
    def note(self) -> RunNote:
        """The current pids and addresses. Raises LookupError when the stack does not run."""
        note = self._data.read_note()
        if note is None:
            raise LookupError("the stack does not run")
        return note

    @property
    def introduction(self) -> dict[str, str]:
        """The headers by which services identify themselves to each other."""
        return {HEADER: self._data.secret("internal")}

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.is_running()

    def start(self) -> None:
        """Blocks until everything is ready. Raises ChildNotReady with the end of its output."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._process = ManagedProcess(
            [*_without_own_settings(self.env), self._python, "-m", "kappi_embedded.cli", "up"],
            log=self.output,
            ready=lambda: self._data.read_note() is not None,
            env=self.env,
            start_timeout_s=_START_TIMEOUT_S,
        )
        self._process.start()

    def stop(self) -> int:
        """Stops in order, as Ctrl-C does. Returns the exit status."""
        return self._started().stop(grace_s=30)

    def restart(self) -> None:
        """Stops in order and starts again on the same data and port."""
        if self.running:
            self.stop()
        self.start()

    def crash(self) -> None:
        """Kills the supervisor with SIGKILL and waits until all its processes have ended."""
        pids = descendants(self.note.pid)
        self._started().kill()
        deadline = time.monotonic() + 20
        while any(is_alive(pid) for pid in pids):
            if time.monotonic() > deadline:
                raise TimeoutError(f"still alive: {[pid for pid in pids if is_alive(pid)]}")
            time.sleep(_POLL_S)

    def kill(self, service: str) -> int:
        """Kills one service with SIGKILL. The supervisor restarts it. Returns the killed pid."""
        pid = self.note.services[service].pid
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pid

    def database_url(self, service: str) -> str:
        """Returns the `postgresql://` URL of a service's database, which changes when PostgreSQL restarts."""
        return self.note.databases[service]

    def connection(self) -> KafkaConnection:
        return self.stack().connection

    def stack(self) -> Stack:
        """Returns the stack in the form that the `kappi` commands use."""
        return find_stack(self.env)

    async def wait_ready(self, *, timeout_s: float = 30.0) -> None:
        """Waits until every service runs and is ready, for example after a `kill`. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not await self._all_ready():  # noqa: ASYNC110 - readiness is in other processes
                await asyncio.sleep(_POLL_S)

    async def wait_idle(self, *, timeout_s: float = 60.0) -> None:
        """Waits until no event is unsent or unhandled. Raises TimeoutError."""
        async with BacklogReader(*self._backlog()) as reader:
            if not await reader.settle(timeout_s=timeout_s):
                raise TimeoutError(f"not idle after {timeout_s:.0f} s: {await reader.read()}")

    async def tick(self, at: datetime, *, timeout_s: float = 60.0) -> TickReport:
        """Does what `kappi tick --at` does. Raises TimeoutError when it does not settle."""
        connection, databases = self._backlog()
        async with BacklogReader(connection, databases) as reader:
            report = await Ticker(connection, reader).tick(at, timeout_s=timeout_s)
        if not report.settled:
            raise TimeoutError(f"the tick did not settle in {timeout_s:.0f} s: {report}")
        return report

    def _backlog(self) -> tuple[KafkaConnection, Mapping[str, str]]:
        stack = self.stack()
        return stack.connection, stack.databases

    async def _all_ready(self) -> bool:
        services = self.note.services.values()
        ready = await asyncio.gather(*(is_ready(service.ops_port) for service in services))
        return all(ready) and all(is_alive(service.pid) for service in services)

    def _started(self) -> ManagedProcess:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process


def call_kappi(*arguments: str, env: Mapping[str, str], typed: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the command to its end. env: its whole environment. typed: its standard input, not a terminal."""
    return subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "kappi_embedded.cli", *arguments],
        env=dict(env),
        input=typed,
        capture_output=True,
        text=True,
        timeout=_COMMAND_TIMEOUT_S,
        check=False,
    )


def _without_own_settings(kept: Iterable[str]) -> list[str]:
    """Returns the start of a command that removes this process's settings: ManagedProcess passes them on."""
    stray = sorted(name for name in os.environ if name.startswith("KAPPI_") and name not in kept)
    return ["env", *(part for name in stray for part in ("-u", name))]


def is_alive(pid: int) -> bool:
    """Returns whether a process runs; a zombie does not."""
    return _status(pid)[0] not in {"", "Z"}


def parent_of(pid: int) -> int:
    """Returns the parent's pid; 0 when there is no such process."""
    return int(_status(pid)[1])


def descendants(pid: int) -> list[int]:
    """Returns all descendants of this process that are connected to it by living parents."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    children: dict[int, list[int]] = {}
    for each in pids:
        children.setdefault(parent_of(each), []).append(each)
    found = [pid]
    for each in found:
        found += children.get(each, ())
    return found[1:]


def _status(pid: int) -> tuple[str, str]:
    """Returns (state, parent), see proc_pid_stat(5)."""
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", "0"
    return fields[0], fields[1]


@pytest.fixture(scope="module")
def stack_settings() -> Mapping[str, str]:
    """Returns the stack's settings; a test module may override this fixture."""
    return GENEROUS


@pytest.fixture(scope="module")
def embedded_stack(
    tmp_path_factory: pytest.TempPathFactory, stack_settings: Mapping[str, str]
) -> Iterator[EmbeddedStack]:
    """Yields the running stack, one per module. A test that stops it starts it again."""
    stack = EmbeddedStack(tmp_path_factory.mktemp("stack") / "data", settings=stack_settings)
    stack.start()
    try:
        yield stack
    finally:
        if stack.running:
            stack.stop()
