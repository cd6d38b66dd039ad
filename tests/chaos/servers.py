"""The servers of the system under faults: PostgreSQL, Apache Kafka, and an S3 server that checks signatures.

Each may be stopped and started again with its data, at the same address.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from kappi_chassis.embedded.ports import LOOPBACK, accepts_tcp, free_port
from kappi_chassis.embedded.postgres import DURABLE, EmbeddedPostgres
from kappi_chassis.storage.sigv4 import Credentials
from kappi_testkit.processes import ManagedProcess
from kappi_testkit.servers.kafka import KafkaServer
from kappi_testkit.servers.s3 import S3Server, find_versitygw

from tests.chaos.relay import Address, Relay
from tests.deploy.composition import ROOT

# A killed server keeps what it has committed, but a power cut is not part of these tests.
_POSTGRES = {**DURABLE, "fsync": "off", "max_connections": "800", "shared_buffers": "128MB"}


class Postgres:
    """relay: gives the server one port, because it starts on another one each time."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder, settings=_POSTGRES)
        self.port = free_port()
        self.relay = Relay(self._targets)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    async def create_database(self, name: str) -> None:
        await self._server.create_database(name)

    def url(self, database: str) -> str:
        """Returns the address of a database by the relay's port."""
        direct = self.direct_url(database)
        return direct.replace(f":{urlsplit(direct).port}/", f":{self.port}/")

    def direct_url(self, database: str) -> str:
        return self._server.url(database)

    def _targets(self) -> Sequence[Address]:
        if not self._server.is_running():
            return ()
        port = urlsplit(self._server.url("postgres")).port
        assert port is not None
        return ((LOOPBACK, port),)


class Store:
    """data: the folder of the objects. Credentials are checked, as in any S3 server."""

    def __init__(self, folder: Path, *, data: Path) -> None:
        program = find_versitygw(ROOT)
        assert program is not None, "make real-servers"
        self.port, inner = free_port(), free_port()
        self.relay = Relay(lambda: ((LOOPBACK, inner),))
        account = Credentials(access_key=secrets.token_hex(10).upper(), secret_key=secrets.token_hex(20))
        # Signatures are over the name and port that clients use.
        self.server = S3Server(
            endpoint=f"http://{LOOPBACK}:{self.port}", region="us-east-1", credentials=account
        )
        self.inner = S3Server(endpoint=f"http://{LOOPBACK}:{inner}", region="us-east-1", credentials=account)
        metadata = data / "metadata"
        buckets = data / "buckets"
        for each in (metadata, buckets):
            each.mkdir()
        self._process = ManagedProcess(
            [
                *(str(program), "--port", f"{LOOPBACK}:{inner}", "--quiet", "--keep-alive"),
                *("posix", "--sidecar", str(metadata), str(buckets)),
            ],
            log=folder / "versitygw.log",
            ready=lambda: accepts_tcp(inner),
            env={"ROOT_ACCESS_KEY": account.access_key, "ROOT_SECRET_KEY": account.secret_key},
        )

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        if self._process.is_running():
            self._process.kill()


def start_kafka(folder: Path, running: ExitStack) -> KafkaServer:
    """Returns a running broker, which the exit stack ends."""
    folder.mkdir()
    kafka = KafkaServer(root=ROOT, folder=folder)
    kafka.start()
    running.callback(kafka.stop)
    return kafka
