"""One server of each kind per run, started on first use and shared by all workers.

They are children of the process that pytest was started as, which outlives every worker: they die with it,
also by kill -9. Workers ask for addresses at its Unix socket.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from kappi_testkit.servers.kafka import start_kafka
from kappi_testkit.servers.plan import RealServerMissing, ServerPlan
from kappi_testkit.servers.postgres import start_postgres
from kappi_testkit.servers.s3 import start_s3

_TIMEOUT_S = 90.0


class ServerFailed(RuntimeError):
    """A server could not be started; the message says why."""


class SharedServers:
    """Starts each kind of server at most once. An address is a string; its form depends on the kind."""

    def __init__(self, plan: ServerPlan, *, root: Path) -> None:
        self._plan = plan
        self._root = root
        self._running = ExitStack()
        self._starters: dict[str, Callable[[], str]] = {
            "postgres": self._postgres,
            "kafka": self._kafka,
            "s3": self._s3,
        }
        self._locks = {kind: threading.Lock() for kind in self._starters}
        self._addresses: dict[str, str] = {}

    def address(self, kind: str) -> str:
        """Returns the server's address and starts it unless it runs. Raises what its start raises."""
        with self._locks[kind]:
            if kind not in self._addresses:
                self._addresses[kind] = self._starters[kind]()
            return self._addresses[kind]

    def started(self, kind: str) -> bool:
        return kind in self._addresses

    def close(self) -> None:
        """Ends all servers; their addresses are invalid afterwards."""
        self._running.close()

    def _folder(self, kind: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"kappi-test-{kind}-"))
        self._running.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _postgres(self) -> str:
        return start_postgres(self._plan.postgres, folder=self._folder("postgres"), running=self._running)

    def _kafka(self) -> str:
        if self._plan.kafka == "embedded":
            raise RealServerMissing("this run has no real Kafka")
        folder = self._folder("kafka")
        return start_kafka(self._plan.kafka, root=self._root, folder=folder, running=self._running)

    def _s3(self) -> str:
        return start_s3(folder=self._folder("s3"), running=self._running, root=self._root)


class AddressServer:
    """Answers workers that ask for addresses, on a Unix socket of the process that owns the servers.

    location, key: arguments of `ask`.
    """

    def __init__(self, servers: SharedServers) -> None:
        self._servers = servers
        self._folder = tempfile.mkdtemp(prefix="kappi-servers-")
        self.location = f"{self._folder}/s"
        self.key = secrets.token_bytes(32)
        self._listener = Listener(self.location, family="AF_UNIX", authkey=self.key)
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="shared-servers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._open = False
        with Client(self.location, family="AF_UNIX", authkey=self.key):  # wakes the accept
            self._thread.join()
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        while True:
            caller = self._listener.accept()
            if not self._open:
                caller.close()
                return
            # One thread per question, so that the slow start of a JVM does not delay a database's address.
            threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: Connection[tuple[str, str], str]) -> None:
        with caller:
            kind = caller.recv()
            try:
                caller.send(("address", self._servers.address(kind)))
            except Exception as failure:  # noqa: BLE001 - the worker that asked reports it
                caller.send(("failed", f"{type(failure).__name__}: {failure}"))


def ask(location: str, key: bytes, kind: str) -> str:
    """Returns the address of the run's server of this kind, started on first use. Raises ServerFailed."""
    with Client(location, family="AF_UNIX", authkey=key) as connection:
        connection.send(kind)
        if not connection.poll(_TIMEOUT_S):
            raise ServerFailed(f"{kind}: no answer in {_TIMEOUT_S:.0f} s")
        outcome, text = connection.recv()
    if outcome != "address":
        raise ServerFailed(f"{kind}: {text}")
    return str(text)
