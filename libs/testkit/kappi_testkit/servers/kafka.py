"""A real Apache Kafka: one KRaft node in a JVM, from jars that Maven fetched.

    python -m kappi_testkit.servers.kafka install    (in the project's root)

fetches the jars into `.tools/kafka/<version>/`. Needs Java 17 or newer to run, and Maven to install.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from kappi_chassis.embedded.ports import LOOPBACK, accepts_tcp, free_port

from kappi_testkit.processes import ManagedProcess
from kappi_testkit.servers.docker import Container

VERSION = "4.3.1"
BOOTSTRAP_VARIABLE = "KAPPI_TEST_KAFKA_BOOTSTRAP"
KafkaSource = Literal["given", "docker", "java", "embedded"]
_POM = Path("tests/servers/kafka/pom.xml")
_START_TIMEOUT_S = 60.0
_PARTITIONS = 4  # as many as the embedded broker gives a topic on first use

# The quick compiler and the small collector: a broker for tests lives for minutes on a shared machine.
_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def jars(root: Path) -> Path:
    """Returns the folder of this version's jars, existing or not."""
    return root / ".tools" / "kafka" / VERSION


def runnable(root: Path) -> bool:
    """Whether the jars and a Java are installed."""
    return jars(root).is_dir() and shutil.which("java") is not None


def install(root: Path) -> Path:
    """Fetches the jars unless they exist. Raises CalledProcessError, FileNotFoundError (no Maven)."""
    target = jars(root)
    if target.is_dir():
        return target
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    mvn = shutil.which("mvn")
    if mvn is None:
        raise FileNotFoundError("Maven (mvn) is needed to fetch Kafka. On Debian: apt-get install maven")
    subprocess.run(  # noqa: S603
        [
            *(mvn, "--quiet", "--batch-mode", "--file", str(root / _POM)),
            *(f"-Dkafka.version={VERSION}", "dependency:copy-dependencies"),
            *(f"-DoutputDirectory={partial}", "-DincludeScope=runtime"),
        ],
        check=True,
    )
    partial.rename(target)
    return target


class KafkaServer:
    """A broker and controller in one JVM, with its data in `folder`. It may be killed and started again."""

    def __init__(self, *, root: Path, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._java = [
            *("java", *_JVM, "-cp", f"{jars(root)}/*"),
            # slf4j-simple is its only logger: warnings and errors to stderr, which is the log file.
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ]
        self._properties = folder / "server.properties"
        self._process = ManagedProcess(
            [*self._java, "kafka.Kafka", str(self._properties)],
            log=folder / "kafka.log",
            ready=lambda: accepts_tcp(self._port),
            start_timeout_s=_START_TIMEOUT_S,
        )

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Formats the storage on first use and starts. Blocks for 2 to 5 s. Raises ChildNotReady."""
        if not self._properties.exists():
            self._format()
        self._process.start()

    def stop(self) -> None:
        if self._process.is_running():
            # The data of a test's broker is not needed: no orderly shutdown, which takes seconds.
            self._process.kill()

    def kill(self) -> None:
        """Kills the broker with SIGKILL."""
        self._process.kill()

    def _format(self) -> None:
        controller = free_port()
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self._port},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self._port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._folder / "data"),
            "num.partitions": str(_PARTITIONS),
            "auto.create.topics.enable": "true",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        draft = self._folder / "format.properties"
        draft.write_text(text)
        subprocess.run(  # noqa: S603
            # With an equals sign, because an id may begin with a dash.
            [
                *self._java,
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={cluster_id}",
                "-c",
                str(draft),
            ],
            check=True,
            capture_output=True,
        )
        draft.rename(self._properties)


def start_kafka(
    source: Literal["given", "docker", "java"], *, root: Path, folder: Path, running: ExitStack
) -> str:
    """Returns the address of a real broker. The callback that ends it is pushed on `running`."""
    if source == "given":
        return os.environ[BOOTSTRAP_VARIABLE]
    if source == "docker":
        port = free_port()
        container = Container.kafka(port=port)
        running.callback(container.stop)
        return _answering(f"{LOOPBACK}:{port}")
    server = KafkaServer(root=root, folder=folder)
    server.start()
    running.callback(server.stop)
    return server.bootstrap


def _answering(bootstrap: str) -> str:
    """Waits for a container's broker: Docker accepts connections on its port long before."""
    from confluent_kafka.admin import AdminClient

    AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=_START_TIMEOUT_S)
    return bootstrap


def main(arguments: list[str]) -> int:
    if arguments != ["install"]:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    sys.stdout.write(f"Apache Kafka {VERSION}: {install(Path.cwd())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
