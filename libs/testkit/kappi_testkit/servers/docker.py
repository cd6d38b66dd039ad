"""Servers in containers, used if a Docker engine is available and has their images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from kappi_chassis.embedded.ports import LOOPBACK

POSTGRES_IMAGE = "postgres:18-alpine"
KAFKA_IMAGE = "apache/kafka:4.3.1"
_PROBE_TIMEOUT_S = 1
_LOCAL_SOCKET = "/var/run/docker.sock"


def docker_has(image: str) -> bool:
    """Returns whether an engine answers within a second and has the image. A pull would take minutes."""
    if "DOCKER_HOST" not in os.environ and not os.path.exists(_LOCAL_SOCKET):
        return False
    import docker  # type: ignore[import-untyped] # publishes no types
    from docker.errors import DockerException  # type: ignore[import-untyped] # as above
    from requests.exceptions import RequestException
    from testcontainers.core.config import testcontainers_config

    # Ryuk removes the leftovers of a killed run.
    needed = [image] if testcontainers_config.ryuk_disabled else [image, testcontainers_config.ryuk_image]
    try:
        client = docker.from_env(timeout=_PROBE_TIMEOUT_S)
        try:
            for each in needed:
                client.images.get(each)
        finally:
            client.close()
    except (DockerException, RequestException):
        return False
    return True


class Container:
    """A container with one port published on the loopback interface, from construction to `stop()`."""

    def __init__(
        self, image: str, *, container_port: int, host_port: int, env: Mapping[str, str], command: str = ""
    ) -> None:
        from testcontainers.core.container import DockerContainer

        self._container = DockerContainer(image)
        # `with_bind_ports` would publish it on every interface of the machine; the engine accepts pairs, too.
        self._container.ports[f"{container_port}/tcp"] = (LOOPBACK, host_port)  # type: ignore[assignment]
        for name, value in env.items():
            self._container.with_env(name, value)
        if command:
            self._container.with_command(command)
        self._container.start()

    @classmethod
    def postgres(cls, *, port: int, password: str) -> Self:
        return cls(
            POSTGRES_IMAGE,
            container_port=5432,
            host_port=port,
            env={"POSTGRES_USER": "kappi", "POSTGRES_PASSWORD": password},
            command="-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=500",
        )

    @classmethod
    def kafka(cls, *, port: int) -> Self:
        return cls(
            KAFKA_IMAGE,
            container_port=9092,
            host_port=port,
            env={
                "KAFKA_NODE_ID": "1",
                "KAFKA_PROCESS_ROLES": "broker,controller",
                "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
                "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{LOOPBACK}:{port}",
                "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
                "KAFKA_NUM_PARTITIONS": "4",
                "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
                "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
                "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
                "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            },
        )

    def stop(self) -> None:
        self._container.stop()
