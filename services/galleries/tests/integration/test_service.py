"""The whole wired service, on a real database and a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer
from kappi_chassis.auth import SigningKey, jwks_document
from kappi_chassis.bus import KafkaConnection, Processor, Producer
from kappi_chassis.bus.processor import Record
from kappi_chassis.clock import utc_now
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.settings import PlatformSettings
from kappi_contracts.events import GalleryExpired, MediaReady
from kappi_galleries.main import build
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import BrokerUnderTest
from kappi_testkit.processes import ManagedProcess, answers_http

THEN = datetime(2026, 5, 1, tzinfo=UTC)
BROKER_TIMEOUT_S = 40.0


@pytest.fixture
def clock(clock: Any) -> Any:
    """Returns the clock set to the current time, because a wired service runs by the wall clock."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def connection(every_broker: BrokerUnderTest, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(bootstrap=every_broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20)


@pytest.fixture
def platform(every_broker: BrokerUnderTest, topic_prefix: str) -> PlatformSettings:
    return PlatformSettings(
        kafka_bootstrap=every_broker.bootstrap,
        kafka_create_topics=every_broker.kind == "kafka",
        kafka_fetch_max_wait_ms=20,
        topic_prefix=topic_prefix,
    )


@pytest.fixture
async def producer(connection: KafkaConnection) -> AsyncIterator[Producer]:
    producer = Producer(connection, source="/tests")
    await producer.start()
    yield producer
    await producer.close()


@pytest.fixture
def send(producer: Producer, connection: KafkaConnection) -> Callable[[Record], Any]:
    async def send(record: Record) -> None:
        await producer.send(
            connection.topic(record.topic), key=record.key, value=record.value, headers=record.headers
        )

    return send


@pytest.fixture
async def service(platform: PlatformSettings, make_settings: Any) -> AsyncIterator[Callable[[], Any]]:
    """Returns `await service()`, which runs the wired service in this process and returns its address."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as running:

        async def start() -> str:
            settings = make_settings(port=free_port(), ops_port=free_port())
            running.create_task(build(platform, settings).run_until(stop.wait))
            ready = f"http://127.0.0.1:{settings.ops_port}/readyz"

            async def answers() -> None:
                assert await asyncio.to_thread(answers_http, ready)

            await eventually(answers)
            return f"http://127.0.0.1:{settings.port}"

        yield start
        stop.set()


def ready(gallery: Any, media_id: UUID, *, size_bytes: int) -> MediaReady:
    return MediaReady(
        media_id=media_id,
        gallery_id=UUID(gallery["id"]),
        kind="image",
        content_type="image/jpeg",
        size_bytes=size_bytes,
        width=4,
        height=3,
        duration_ms=None,
        ready_at=THEN,
    )


async def _gallery(session: aiohttp.ClientSession, address: str) -> Any:
    async with session.post(f"{address}/v1/galleries", json={"title": "Lisbon"}) as answer:
        assert answer.status == 201
        return await answer.json()


async def _read(session: aiohttp.ClientSession, address: str, gallery: Any) -> tuple[int, Any]:
    headers = {"X-Gallery-Key": gallery["access_key"]}
    async with session.get(f"{address}/v1/galleries/{gallery['id']}", headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def _messages(
    connection: KafkaConnection, topic: str, *, until: Callable[[list[Any]], bool]
) -> list[Any]:
    consumer = AIOKafkaConsumer(
        connection.topic(topic),
        **connection.client_options(),
        auto_offset_reset="earliest",
        metadata_max_age_ms=500,
    )
    await consumer.start()
    found: list[Any] = []
    try:
        async with asyncio.timeout(BROKER_TIMEOUT_S):
            while not until(found):
                for messages in (await consumer.getmany(timeout_ms=100)).values():
                    found += messages
    finally:
        await consumer.stop()
    return found


async def test_events_go_out_come_in_and_decide(
    service: Any, connection: KafkaConnection, send: Any, record: Any
) -> None:
    address = await service()
    async with aiohttp.ClientSession() as session:
        gallery = await _gallery(session, address)

        (created,) = await _messages(connection, "GalleryCreated", until=lambda found: len(found) == 1)
        assert created.key.decode() == gallery["id"]
        assert dict(created.headers)["ce_source"] == b"/galleries"

        poison = record(ready(gallery, uuid4(), size_bytes=1))
        await send(Record(poison.topic, 0, 0, poison.key, b"{}", poison.headers))
        twice = record(ready(gallery, uuid4(), size_bytes=100))
        for each in (twice, twice, record(ready(gallery, uuid4(), size_bytes=20))):
            await send(each)

        async def counted() -> None:
            _, seen = await _read(session, address, gallery)
            assert (seen["item_count"], seen["size_bytes"]) == (2, 120)

        await eventually(counted, BROKER_TIMEOUT_S)
        (letter,) = await _messages(connection, "MediaReady.dlq", until=lambda found: len(found) == 1)
        assert letter.value == b"{}"
        assert dict(letter.headers)["dlq_error_type"] == b"MalformedEvent"

        deadline = datetime.fromisoformat(gallery["expires_at"])
        claim = GalleryExpired(
            gallery_id=UUID(gallery["id"]),
            expires_at=deadline,
            as_of=deadline + timedelta(days=1),
            origin="operator",
        )
        await send(record(claim))

        async def gone() -> None:
            status, _ = await _read(session, address, gallery)
            assert status == 404

        await eventually(gone, BROKER_TIMEOUT_S)
        (deletion,) = await _messages(connection, "GalleryDeleted", until=lambda found: len(found) == 1)
        assert json.loads(deletion.value)["reason"] == "expired"
        assert dict(deletion.headers)["ce_sequence"] == b"00000000000000000002"


async def test_a_consumer_that_died_after_its_commit_and_before_its_offset_counts_once(
    service: Any,
    connection: KafkaConnection,
    send: Any,
    record: Any,
    http: Any,
    processor: Processor,
    database: Any,
) -> None:
    gallery = (await http("POST", "/v1/galleries")).json
    media_id = uuid4()
    first = record(ready(gallery, media_id, size_bytes=100))
    await send(first)
    await processor.process(first)  # the effect is committed; the group has no offset

    address = await service()
    async with aiohttp.ClientSession() as session:
        # The same key, hence the same partition: once this is seen, the repetition was too.
        await send(record(ready(gallery, media_id, size_bytes=80), sequence=2))

        async def counted() -> None:
            _, seen = await _read(session, address, gallery)
            assert seen["size_bytes"] == 80

        await eventually(counted, BROKER_TIMEOUT_S)
        _, seen = await _read(session, address, gallery)
        assert seen["item_count"] == 1
    assert await database.hot.fetchval("SELECT count(*) FROM inbox") == 2


@pytest.fixture
def process(make_settings: Any, platform: PlatformSettings, tmp_path: Path, identity_key: SigningKey) -> Any:
    """Returns `process(kafka=…)`: the service as its own process, with another broker's address."""

    def make(*, kafka: str | None = None) -> tuple[ManagedProcess, str]:
        settings = make_settings()
        port, ops_port = free_port(), free_port()
        key_file = tmp_path / "grant.pem"
        key_file.write_text(settings.grant_key_pem())
        published = tmp_path / "jwks.json"
        published.write_text(json.dumps(jwks_document(identity_key)))
        managed = ManagedProcess(
            [sys.executable, "-m", "kappi_galleries.main"],
            log=tmp_path / "galleries.log",
            ready=lambda: answers_http(f"http://127.0.0.1:{ops_port}/readyz"),
            env={
                "KAPPI_LOG_LEVEL": "DEBUG",
                "KAPPI_KAFKA_BOOTSTRAP": kafka or platform.kafka_bootstrap,
                "KAPPI_KAFKA_CREATE_TOPICS": str(platform.kafka_create_topics),
                "KAPPI_TOPIC_PREFIX": platform.topic_prefix,
                "KAPPI_GALLERIES_DATABASE_URL": settings.database_url.get_secret_value(),
                "KAPPI_GALLERIES_IDEMPOTENCY_SECRET": settings.idempotency_secret.get_secret_value(),
                "KAPPI_GALLERIES_GRANT_KEY_FILE": os.fspath(key_file),
                "KAPPI_GALLERIES_ACCOUNT_JWKS_URL": published.as_uri(),
                "KAPPI_GALLERIES_PORT": str(port),
                "KAPPI_GALLERIES_OPS_PORT": str(ops_port),
            },
        )
        return managed, f"http://127.0.0.1:{port}"

    return make


async def test_what_was_acknowledged_survives_kill_9(process: Any, connection: KafkaConnection) -> None:
    managed, address = process()
    acknowledged: list[Any] = []

    async def client(session: aiohttp.ClientSession) -> None:
        try:
            while True:
                acknowledged.append(await _gallery(session, address))
        except aiohttp.ClientError:
            return

    with managed:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as clients:
            for _ in range(4):
                clients.create_task(client(session))

            async def busy() -> None:
                assert len(acknowledged) >= 200

            await eventually(busy, BROKER_TIMEOUT_S)
            managed.kill()
        await asyncio.to_thread(managed.start)
        async with aiohttp.ClientSession() as session:
            for gallery in acknowledged[-20:]:
                status, _ = await _read(session, address, gallery)
                assert status == 200
        wanted = {gallery["id"] for gallery in acknowledged}
        await _messages(
            connection,
            "GalleryCreated",
            until=lambda found: wanted <= {message.key.decode() for message in found},
        )
        assert await asyncio.to_thread(managed.stop) == 0


async def _protected(session: aiohttp.ClientSession, address: str, *, token: str, password: str) -> list[str]:
    """Create an account's gallery, view and manage it. Returns the grants in the answers."""
    headers = {"Authorization": f"Bearer {token}"}
    body = {"title": "Lisbon", "password": password}
    async with session.post(f"{address}/v1/galleries", json=body, headers=headers) as answer:
        assert answer.status == 201
        gallery = await answer.json()
    grants = []
    for path, asked, status in (
        ("view", {"code": gallery["code"], "password": password, "client": "203.0.113.7"}, 200),
        ("view", {"code": gallery["code"], "password": f"{password}!", "client": "203.0.113.7"}, 401),
        ("owner", {"gallery_id": gallery["id"], "token": token}, 200),
        ("owner", {"gallery_id": gallery["id"], "token": f"{token}AAAA"}, 401),
    ):
        async with session.post(f"{address}/internal/grants/{path}", json=asked) as answer:
            assert answer.status == status
            if status == 200:
                grants.append((await answer.json())["grant"])
    return grants


async def test_it_serves_without_a_broker_and_logs_no_secret(process: Any, account: Any) -> None:
    token, password = account.token, "open-sesame-of-lisbon"
    managed, address = process(kafka=f"127.0.0.1:{free_port()}")
    with managed:
        async with aiohttp.ClientSession(headers={"Idempotency-Key": "a-secret-of-the-client"}) as session:
            gallery = await _gallery(session, address)
            status, _ = await _read(session, address, gallery)
            assert status == 200
            body = {"access_key": gallery["access_key"]}
            async with session.post(f"{address}/internal/grants/key", json=body) as answer:
                grant = (await answer.json())["grant"]
            wrong = gallery | {"access_key": gallery["access_key"][:-1] + "#"}
            assert (await _read(session, address, wrong))[0] == 403
            grants = await _protected(session, address, token=token, password=password)
            rotated = f"{address}/v1/galleries/{gallery['id']}/rotate-key"
            async with session.post(rotated, headers={"X-Gallery-Key": gallery["access_key"]}) as answer:
                new_key = (await answer.json())["access_key"]
        assert await asyncio.to_thread(managed.stop) == 0

    log = managed.log.read_text()
    assert "service.started" in log
    assert "service.stopped" in log
    secrets = [gallery["access_key"], gallery["access_key"][6:], new_key, grant, "a-secret-of-the-client"]
    for secret in (*secrets, token, token.split(".")[-1], password, "203.0.113.7", "argon2id", *grants):
        assert secret not in log
