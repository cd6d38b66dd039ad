"""A real S3 server notifies the running service of uploads that only these notifications complete."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from kappi_chassis.auth import SigningKey
from kappi_chassis.bus import KafkaConnection, Producer
from kappi_chassis.bus.dead_letters import DeadLetterAdmin
from kappi_chassis.db import Database
from kappi_chassis.embedded.ports import LOOPBACK, accepts_tcp, free_port
from kappi_chassis.storage.s3_client import S3Address, make_client
from kappi_chassis.storage.sigv4 import Credentials
from kappi_contracts.grants import GRANT_HEADER
from kappi_contracts.keys import original_key
from kappi_testkit.eventually import eventually
from kappi_testkit.media.harness import Gallery
from kappi_testkit.media.jwks_server import serving_key_set
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.plugin import BrokerUnderTest
from kappi_testkit.processes import ManagedProcess, answers_http
from kappi_testkit.servers.plan import REQUIRE_REAL
from kappi_testkit.servers.s3 import S3Server, find_versitygw

JPEG = encode(quadrants(300, 200), "JPEG")
TOKEN = "a-token-of-the-stores-own"
TOPIC = "arrivals"
TIMEOUT_S = 60.0

StoreMaker = Callable[..., ManagedProcess]


def required(program: Path | None, name: str) -> Path:
    """Returns the program. Skips without it, unless the run requires real servers."""
    if program is None or not program.is_file():
        message = f"no {name} here"
        if os.environ.get(REQUIRE_REAL):
            pytest.fail(message)
        pytest.skip(message)
    return program


@pytest.fixture
def connection(every_broker: BrokerUnderTest, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(bootstrap=every_broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20)


@pytest.fixture
def server() -> S3Server:
    """Returns the address of the store."""
    credentials = Credentials(access_key="K" + secrets.token_hex(9).upper(), secret_key=secrets.token_hex(20))
    return S3Server(endpoint=f"http://{LOOPBACK}:{free_port()}", region="us-east-1", credentials=credentials)


@pytest.fixture
def store(server: S3Server, pytestconfig: pytest.Config, tmp_path: Path) -> StoreMaker:
    """`store("--event-…", …)` returns the S3 server, not yet started, with notifications by these options."""
    program = required(find_versitygw(pytestconfig.rootpath), "versitygw (make real-servers)")
    port = int(server.endpoint.rpartition(":")[2])
    data, metadata = tmp_path / "data", tmp_path / "metadata"
    data.mkdir()
    metadata.mkdir()

    def make(*options: str) -> ManagedProcess:
        address = ("--port", f"{LOOPBACK}:{port}", "--quiet", "--keep-alive")
        backend = ("posix", "--sidecar", str(metadata), str(data))
        return ManagedProcess(
            [str(program), *address, *options, *backend],
            log=tmp_path / "versitygw.log",
            ready=lambda: accepts_tcp(port),
            env={
                "ROOT_ACCESS_KEY": server.credentials.access_key,
                "ROOT_SECRET_KEY": server.credentials.secret_key,
            },
        )

    return make


@pytest.fixture
def seaweedfs(
    server: S3Server, media_port: int, pytestconfig: pytest.Config, tmp_path: Path
) -> Iterator[ManagedProcess]:
    """Runs SeaweedFS, whose filer has a message format of its own."""
    tools = pytestconfig.rootpath / ".tools" / "deploy" / "bin"
    program = required(tools / "weed", "weed (.ci/deploy-tools)")
    keys = {"accessKey": server.credentials.access_key, "secretKey": server.credentials.secret_key}
    account = {"name": "kappi", "credentials": [keys], "actions": ["Admin"]}
    (tmp_path / "s3.json").write_text(json.dumps({"identities": [account]}))
    (tmp_path / "notification.toml").write_text(
        "[notification.webhook]\n"
        "enabled = true\n"
        f'endpoint = "http://127.0.0.1:{media_port}/internal/store-events"\n'
        f'bearer_token = "{TOKEN}"\n'
        'event_types = ["create", "update"]\n'
        'path_prefixes = ["/buckets/kappi/galleries"]\n'
        "timeout_seconds = 30\n"
        "max_retries = 10\n"
    )
    data = tmp_path / "data"
    data.mkdir()
    port = int(server.endpoint.rpartition(":")[2])
    parts = ("master", "volume", "filer")
    ports = [f"-{part}.port{kind}={free_port()}" for part in parts for kind in ("", ".grpc")]
    process = ManagedProcess(
        [
            *(str(program), "-logtostderr=true", "server", f"-dir={data}", f"-ip={LOOPBACK}"),
            *(f"-ip.bind={LOOPBACK}", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"),
            *("-volume.max=0", "-filer", "-s3", f"-s3.config={tmp_path / 's3.json'}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.port={port}", f"-s3.port.grpc={free_port()}"),
            *(*ports, f"-s3.localSocket={data}/s3.sock", f"-filer.localSocket={data}/filer.sock"),
        ],
        log=tmp_path / "seaweedfs.log",
        ready=lambda: answers_http(f"{server.endpoint}/healthz"),
        cwd=tmp_path,
        start_timeout_s=TIMEOUT_S,
    )
    process.start()
    yield process
    process.kill()  # its orderly end takes longer than the test


@pytest.fixture
def jwks_url(grant_key: SigningKey) -> Iterator[str]:
    with serving_key_set(grant_key) as url:
        yield url


@pytest.fixture
def media_port() -> int:
    return free_port()


@pytest.fixture
def media(
    url: str,
    connection: KafkaConnection,
    every_broker: BrokerUnderTest,
    jwks_url: str,
    server: S3Server,
    media_port: int,
    tmp_path: Path,
) -> Callable[..., ManagedProcess]:
    """`media(**environment)` returns the service, not yet started."""

    def make(**environment: str) -> ManagedProcess:
        ops_port = free_port()
        return ManagedProcess(
            [sys.executable, "-m", "kappi_media.main"],
            log=tmp_path / "media.log",
            ready=lambda: answers_http(f"http://127.0.0.1:{ops_port}/readyz"),
            env={
                "KAPPI_LOG_LEVEL": "DEBUG",
                "KAPPI_KAFKA_BOOTSTRAP": connection.bootstrap,
                "KAPPI_KAFKA_CREATE_TOPICS": str(every_broker.kind == "kafka"),
                "KAPPI_KAFKA_FETCH_MAX_WAIT_MS": "20",
                "KAPPI_KAFKA_SESSION_TIMEOUT_MS": "6000",
                "KAPPI_TOPIC_PREFIX": connection.prefix,
                "KAPPI_MEDIA_DATABASE_URL": url,
                "KAPPI_MEDIA_IDEMPOTENCY_SECRET": "0123456789abcdef",
                "KAPPI_MEDIA_GRANT_JWKS_URL": jwks_url,
                "KAPPI_MEDIA_PORT": str(media_port),
                "KAPPI_MEDIA_OPS_PORT": str(ops_port),
                **server.environment("kappi"),
                **environment,
            },
        )

    return make


class Phone:
    """A phone that sends bytes and never completes the upload."""

    def __init__(self, session: aiohttp.ClientSession, address: str, gallery: Gallery) -> None:
        self._session = session
        self._address = address
        self.gallery = gallery

    async def reserve(self) -> Any:
        file = {"filename": "a.jpg", "size": len(JPEG), "content_type": "image/jpeg"}
        return (await self._ask("POST", f"/v1/galleries/{self.gallery.id}/uploads", {"files": [file]}))[
            "uploads"
        ][0]

    async def put(self, promised: Any) -> None:
        single = promised["single"]
        async with self._session.put(single["url"], data=JPEG, headers=single["headers"]) as answer:
            assert answer.status == 200, await answer.text()

    async def send(self) -> str:
        promised = await self.reserve()
        await self.put(promised)
        return str(promised["media_id"])

    async def page(self) -> dict[str, str]:
        """Returns the status by id."""
        found = await self._ask("GET", f"/v1/g/{self.gallery.public.code}")
        return {item["id"]: item["status"] for item in found["items"]}

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {GRANT_HEADER: self.gallery.grant()}
        async with self._session.request(method, self._address + path, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()


@pytest.fixture
async def phone(media_port: int, gallery: Gallery) -> AsyncIterator[Phone]:
    async with aiohttp.ClientSession() as session:
        yield Phone(session, f"http://127.0.0.1:{media_port}", gallery)


def make_bucket(server: S3Server, *, versioned: bool = False) -> None:
    client = make_client(
        S3Address(bucket="kappi", region=server.region, endpoint=server.endpoint),
        credentials=server.credentials,
        connections=1,
    )
    client.create_bucket(Bucket="kappi")
    if versioned:
        client.put_bucket_versioning(Bucket="kappi", VersioningConfiguration={"Status": "Enabled"})
    client.close()


async def completed_events(database: Database) -> list[str]:
    rows = await database.hot.fetch("SELECT key FROM outbox WHERE topic = 'UploadCompleted'")
    return sorted(row["key"] for row in rows)


async def test_by_webhook(
    media: Callable[..., ManagedProcess],
    store: StoreMaker,
    server: S3Server,
    media_port: int,
    phone: Phone,
    database: Database,
) -> None:
    address = f"http://kappi:{TOKEN}@127.0.0.1:{media_port}/internal/store-events"
    # The store sends a test message, and does not start without an answer.
    with media(KAPPI_MEDIA_STORE_EVENTS_TOKEN=TOKEN) as service, store("--event-webhook-url", address):
        make_bucket(server)
        sent = [await phone.send() for _ in range(3)]

        async def ready() -> None:
            assert await phone.page() == dict.fromkeys(sent, "ready")

        await eventually(ready, TIMEOUT_S)
        assert await completed_events(database) == sorted(sent)
    assert TOKEN not in service.log.read_text()


@pytest.mark.parametrize("versioned", [False, True])
async def test_by_the_webhook_of_seaweedfs(
    media: Callable[..., ManagedProcess],
    seaweedfs: ManagedProcess,
    server: S3Server,
    phone: Phone,
    database: Database,
    versioned: bool,
) -> None:
    with media(KAPPI_MEDIA_STORE_EVENTS_TOKEN=TOKEN):
        make_bucket(server, versioned=versioned)
        sent = [await phone.send() for _ in range(3)]

        async def ready() -> None:
            assert await phone.page() == dict.fromkeys(sent, "ready")

        await eventually(ready, TIMEOUT_S)
        assert await completed_events(database) == sorted(sent)


async def test_by_kafka(
    media: Callable[..., ManagedProcess],
    store: StoreMaker,
    server: S3Server,
    connection: KafkaConnection,
    every_broker: BrokerUnderTest,
    phone: Phone,
    database: Database,
) -> None:
    topic = connection.topic(TOPIC)
    kafka = ("--event-kafka-url", connection.bootstrap, "--event-kafka-topic", topic)
    with media(KAPPI_MEDIA_STORE_EVENTS_TOPIC=TOPIC) as service:
        if every_broker.kind == "kafka":
            await topic_is_there(connection, topic)
        with store(*kafka):
            await all_that_is_sent_arrives_once(service, server, phone, database)


async def topic_is_there(connection: KafkaConnection, topic: str) -> None:
    """The service has declared it and is ready; a broker has it a little later. The store asks once."""
    admin = AIOKafkaAdminClient(**connection.client_options())
    await admin.start()

    async def led() -> None:
        (described,) = await admin.describe_topics([topic])
        assert described["error_code"] == 0
        assert all(partition["leader"] >= 0 for partition in described["partitions"])

    try:
        await eventually(led, TIMEOUT_S)
    finally:
        await admin.close()


async def all_that_is_sent_arrives_once(
    service: ManagedProcess, server: S3Server, phone: Phone, database: Database
) -> None:
    make_bucket(server)
    sent = [await phone.send() for _ in range(3)]

    async def ready() -> None:
        assert await phone.page() == dict.fromkeys(sent, "ready")

    await eventually(ready, TIMEOUT_S)
    # Files that arrive while the service is stopped are completed when it is back, and nothing is done twice.
    late = await phone.reserve()
    service.kill()
    await phone.put(late)
    service.start()
    sent.append(late["media_id"])
    await eventually(ready, TIMEOUT_S)
    assert await completed_events(database) == sorted(sent)


async def test_poison_goes_to_the_dead_letters_and_blocks_nothing(
    media: Callable[..., ManagedProcess],
    store: StoreMaker,
    server: S3Server,
    connection: KafkaConnection,
    phone: Phone,
) -> None:
    topic = connection.topic(TOPIC)
    producer = Producer(connection, source="/a-store")
    with media(KAPPI_MEDIA_STORE_EVENTS_TOPIC=TOPIC), store():
        make_bucket(server)
        promised = await phone.reserve()
        await phone.put(promised)
        key = original_key(phone.gallery.id, UUID(promised["media_id"]))
        told = {"bucket": {"name": "kappi"}, "object": {"key": key.replace("/", "%2F")}}
        name = "s3:ObjectCreated:Put"
        message = {"EventName": name, "Key": f"kappi/{key}", "Records": [{"eventName": name, "s3": told}]}
        for value in (b"\x0a\x05proto", json.dumps(message).encode()):
            await producer.send(topic, key=f"kappi/{key}".encode(), value=value, headers=())

        async def ready() -> None:
            assert await phone.page() == {promised["media_id"]: "ready"}

        await eventually(ready, TIMEOUT_S)
    await producer.close()
    async with DeadLetterAdmin(connection, foreign=[TOPIC]) as admin:
        (letters,) = [letter async for letter in admin.letters()]
    assert (letters.value, letters.why("topic")) == (b"\x0a\x05proto", TOPIC)
    async with DeadLetterAdmin(connection) as admin:
        assert [letter async for letter in admin.letters()] == []
