"""The choice of the servers behind the fixtures of this run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kappi_testkit.servers import kafka as kafka_server
from kappi_testkit.servers import postgres as postgres_server
from kappi_testkit.servers.docker import KAFKA_IMAGE, POSTGRES_IMAGE, docker_has
from kappi_testkit.servers.kafka import KafkaSource
from kappi_testkit.servers.postgres import PostgresSource
from kappi_testkit.servers.s3 import S3Source, s3_source

REQUIRE_REAL = "KAPPI_TEST_REQUIRE_REAL"
HOW_TO_GET = "make real-servers"


class RealServerMissing(RuntimeError):
    """The run requires real servers, and one is not available."""


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """The servers of a run.

    The process that pytest was started as chooses them once, so that all workers collect the same tests.
    given: the environment has its address. embedded, for PostgreSQL: a real one, from a wheel.
    """

    postgres: PostgresSource
    kafka: KafkaSource
    s3: S3Source

    @property
    def real_kafka(self) -> bool:
        return self.kafka != "embedded"

    @property
    def real_s3(self) -> bool:
        return self.s3 != "absent"

    def header(self) -> str:
        kafka = {
            "given": f"the one {kafka_server.BOOTSTRAP_VARIABLE} names",
            "docker": f"{KAFKA_IMAGE} in Docker",
            "java": f"Apache Kafka {kafka_server.VERSION}",
            "embedded": f"embedded broker only ({HOW_TO_GET} for a real one)",
        }[self.kafka]
        postgres = {
            "given": f"the one {postgres_server.URL_VARIABLE} names",
            "docker": f"{POSTGRES_IMAGE} in Docker",
            "embedded": "18, from its wheel",
        }[self.postgres]
        s3 = {
            "given": "the one KAPPI_TEST_S3_ENDPOINT names",
            "docker": "versitygw in Docker",
            "binary": "versitygw",
            "absent": f"local folder only ({HOW_TO_GET} for a real one)",
        }[self.s3]
        return f"servers: PostgreSQL: {postgres}; Kafka: {kafka}; S3: {s3}"


def plan_servers(root: Path) -> ServerPlan:
    """Chooses by what is installed; it starts, fetches and awaits nothing.

    Raises RealServerMissing if KAPPI_TEST_REQUIRE_REAL is set and a real server is not available.
    """
    plan = ServerPlan(postgres=_postgres(), kafka=_kafka(root), s3=s3_source(root))
    if os.environ.get(REQUIRE_REAL):
        missing = [
            name for name, real in (("Apache Kafka", plan.real_kafka), ("S3", plan.real_s3)) if not real
        ]
        if missing:
            raise RealServerMissing(
                f"{REQUIRE_REAL} is set, but there is no {' and no '.join(missing)}: {HOW_TO_GET}"
            )
    return plan


def _postgres() -> PostgresSource:
    if os.environ.get(postgres_server.URL_VARIABLE):
        return "given"
    return "docker" if docker_has(POSTGRES_IMAGE) else "embedded"


def _kafka(root: Path) -> KafkaSource:
    if os.environ.get(kafka_server.BOOTSTRAP_VARIABLE):
        return "given"
    if docker_has(KAFKA_IMAGE):
        return "docker"
    return "java" if kafka_server.runnable(root) else "embedded"
