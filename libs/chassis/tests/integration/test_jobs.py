"""The jobs of a deployment as real programs: exit status, effect, and no effect of a second run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from kappi_chassis.embedded.ports import LOOPBACK, free_port
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS
from kappi_testkit.plugin import BrokerUnderTest
from kappi_testkit.servers.s3 import S3Server

_ENV = """
from kappi_chassis.db.migrations import run_env
from sqlalchemy import MetaData
run_env(MetaData())
"""
_VERSION = """
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.execute("CREATE TABLE migrated (id int)")
"""


@pytest.fixture
def package(tmp_path: Path) -> str:
    name = f"made_up_{uuid.uuid4().hex[:8]}"
    versions = tmp_path / name / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions.parent.parent / "__init__.py").touch()
    (versions.parent / "env.py").write_text(_ENV)
    (versions / "0001_first.py").write_text(_VERSION)
    return name


def job(
    module: str, *arguments: str, env: Mapping[str, str], path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("KAPPI_")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**given, **env, **({"PYTHONPATH": str(path)} if path is not None else {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def has_table(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return bool(await connection.fetchval("SELECT to_regclass('migrated') IS NOT NULL"))
    finally:
        await connection.close()


class TestMigrate:
    MODULE = "kappi_chassis.db.migrate"

    async def test_it_migrates_once_and_a_waiter_sees_it(
        self, package: str, database_url: str, tmp_path: Path
    ) -> None:
        env = {f"{package.upper()}_DATABASE_URL": database_url}
        waiter = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self.MODULE, "--wait", package),
            env={**os.environ, **env, "PYTHONPATH": str(tmp_path)},
            stdout=subprocess.PIPE,
        )
        assert waiter.stdout is not None
        try:
            # It reports that it waits, so it is not merely slow to start.
            assert b"migrate.waiting" in await waiter.stdout.readline()
            assert not await has_table(database_url)
            first = await asyncio.to_thread(job, self.MODULE, package, env=env, path=tmp_path)
            assert first.returncode == 0, first.stdout + first.stderr
            assert "migrate.migrated" in first.stdout
            assert await has_table(database_url)
            await asyncio.wait_for(waiter.communicate(), 30)
            assert waiter.returncode == 0
        finally:
            if waiter.returncode is None:
                waiter.kill()
                await waiter.communicate()
        again = await asyncio.to_thread(job, self.MODULE, package, env=env, path=tmp_path)
        assert again.returncode == 0
        assert "migrate.up_to_date" in again.stdout

    async def test_an_older_release_leaves_a_newer_schema_alone(
        self, package: str, database_url: str, tmp_path: Path
    ) -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("CREATE TABLE alembic_version (version_num text)")
        await connection.execute("INSERT INTO alembic_version VALUES ('0002')")
        await connection.close()
        env = {f"{package.upper()}_DATABASE_URL": database_url}
        for arguments in ((package,), ("--wait", package)):
            done = await asyncio.to_thread(job, self.MODULE, *arguments, env=env, path=tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
            assert ("migrate.newer_already" in done.stdout) == (len(arguments) == 1)
        assert not await has_table(database_url)

    def test_a_missing_address_is_an_error(self, package: str, tmp_path: Path) -> None:
        done = job(self.MODULE, package, env={}, path=tmp_path)
        assert done.returncode == 1
        assert f"{package.upper()}_DATABASE_URL is not set" in done.stdout

    def test_a_missing_server_is_an_error(self, package: str, tmp_path: Path) -> None:
        url = f"postgresql://kappi:hidden-password@{LOOPBACK}:{free_port()}/nowhere"
        done = job(self.MODULE, package, env={f"{package.upper()}_DATABASE_URL": url}, path=tmp_path)
        assert done.returncode == 1
        assert "migrate.failed" in done.stdout
        assert "hidden-password" not in done.stdout + done.stderr

    def test_an_unknown_package_is_an_error(self, database_url: str) -> None:
        done = job(self.MODULE, "kappi_nothing", env={"KAPPI_NOTHING_DATABASE_URL": database_url})
        assert done.returncode == 1
        assert "no package kappi_nothing with migrations" in done.stdout

    @pytest.mark.parametrize("arguments", [(), ("--wait",), ("--help",), ("a", "b")])
    def test_wrong_arguments_are_an_error(self, arguments: tuple[str, ...]) -> None:
        done = job(self.MODULE, *arguments, env={})
        assert done.returncode == 2
        assert "python -m kappi_chassis.db.migrate" in done.stderr


class TestTopics:
    MODULE = "kappi_chassis.bus.create_topics"

    async def test_it_creates_every_topic(self, every_broker: BrokerUnderTest, topic_prefix: str) -> None:
        env = {"KAPPI_KAFKA_BOOTSTRAP": every_broker.bootstrap, "KAPPI_TOPIC_PREFIX": topic_prefix}
        # The embedded broker does not support CreateTopics, and the job must not pretend success.
        if every_broker.kind == "embedded":
            assert (await asyncio.to_thread(job, self.MODULE, env=env)).returncode == 1
            return
        for _ in range(2):
            done = await asyncio.to_thread(job, self.MODULE, env=env)
            assert done.returncode == 0, done.stdout + done.stderr
        admin = AIOKafkaAdminClient(bootstrap_servers=every_broker.bootstrap)
        await admin.start()
        try:
            described = await admin.describe_topics(
                [topic_prefix + topic.name + end for topic in TOPICS for end in ("", DLQ_SUFFIX)]
            )
        finally:
            await admin.close()
        partitions = {
            found["topic"].removeprefix(topic_prefix): len(found["partitions"]) for found in described
        }
        assert partitions == {
            **{topic.name: topic.partitions for topic in TOPICS},
            **{topic.name + DLQ_SUFFIX: 1 for topic in TOPICS},
        }

    def test_an_unreachable_broker_is_an_error(self) -> None:
        done = job(self.MODULE, env={"KAPPI_KAFKA_BOOTSTRAP": f"{LOOPBACK}:{free_port()}"})
        assert done.returncode == 1
        assert "topics.not_created" in done.stdout


class TestBucket:
    MODULE = "kappi_chassis.storage.create_bucket"

    async def test_it_is_created_once_and_accepts_signed_urls_from_any_page(
        self, s3_server: S3Server
    ) -> None:
        bucket = f"kappi-job-{uuid.uuid4().hex[:12]}"
        for said in ("bucket.created", "bucket.up_to_date"):
            done = await asyncio.to_thread(job, self.MODULE, env=s3_server.environment(bucket))
            assert done.returncode == 0, done.stdout + done.stderr
            assert said in done.stdout
        store = s3_server.store(bucket)
        try:
            await store.put("a", b"x", content_type="text/plain")
            assert (await store.head("a")).size_bytes == 1
        finally:
            await store.close()

    @pytest.mark.parametrize("missing", ["KAPPI_S3_SECRET_KEY", "KAPPI_S3_BUCKET"])
    def test_incomplete_settings_are_an_error(self, missing: str) -> None:
        env = {
            "KAPPI_S3_ENDPOINT": f"http://{LOOPBACK}:{free_port()}",
            "KAPPI_S3_BUCKET": "b",
            "KAPPI_S3_ACCESS_KEY": "a",
            "KAPPI_S3_SECRET_KEY": "hidden-secret",
        }
        del env[missing]
        done = job(self.MODULE, env=env)
        assert done.returncode == 1
        assert missing in done.stdout

    def test_an_unreachable_store_is_an_error(self) -> None:
        done = job(
            self.MODULE,
            env={
                "KAPPI_S3_ENDPOINT": f"http://{LOOPBACK}:{free_port()}",
                "KAPPI_S3_BUCKET": "b",
                "KAPPI_S3_ACCESS_KEY": "a",
                "KAPPI_S3_SECRET_KEY": "hidden-secret",
            },
        )
        assert done.returncode == 1
        assert "bucket.not_created" in done.stdout
        assert "hidden-secret" not in done.stdout + done.stderr
