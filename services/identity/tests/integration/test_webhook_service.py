"""Webhooks of the whole wired service, on a real database and a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import standardwebhooks
from aiohttp import web
from kappi_chassis.bus import KafkaConnection, Producer
from kappi_chassis.bus.processor import Record
from kappi_chassis.clock import utc_now
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.settings import PlatformSettings
from kappi_contracts.events import MediaReady
from kappi_identity.main import build
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import BrokerUnderTest
from kappi_testkit.processes import answers_http

BROKER_TIMEOUT_S = 60.0


@pytest.fixture
def clock(clock: Any) -> Any:
    """Returns the clock set to the current time, because a wired service runs by the wall clock."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def connection(every_broker: BrokerUnderTest, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(bootstrap=every_broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20)


@pytest.fixture
async def send(connection: KafkaConnection) -> AsyncIterator[Callable[[Record], Any]]:
    producer = Producer(connection, source="/tests")
    await producer.start()

    async def send(record: Record) -> None:
        await producer.send(
            connection.topic(record.topic), key=record.key, value=record.value, headers=record.headers
        )

    yield send
    await producer.close()


@pytest.fixture
async def service(
    every_broker: BrokerUnderTest, topic_prefix: str, make_settings: Any
) -> AsyncIterator[Callable[[], Any]]:
    """Returns `await service()`, which runs the wired service in this process."""
    stop = asyncio.Event()
    platform = PlatformSettings(
        kafka_bootstrap=every_broker.bootstrap,
        kafka_create_topics=every_broker.kind == "kafka",
        kafka_fetch_max_wait_ms=20,
        topic_prefix=topic_prefix,
    )
    async with asyncio.TaskGroup() as running:

        async def start() -> None:
            settings = make_settings(
                port=free_port(),
                ops_port=free_port(),
                webhook_plain_http=True,
                webhook_ports=frozenset(),
                webhook_networks=["127.0.0.0/8"],
            )
            running.create_task(build(platform, settings).run_until(stop.wait))
            ready = f"http://127.0.0.1:{settings.ops_port}/readyz"

            async def answers() -> None:
                assert await asyncio.to_thread(answers_http, ready)

            await eventually(answers, BROKER_TIMEOUT_S)

        yield start
        stop.set()


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[str, list[Any]]]:
    """Yields the URL of a receiver, and the calls that it got."""
    calls: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        calls.append((headers, await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/", calls
    await runner.cleanup()


def ready(owner_id: str, clock: Any) -> MediaReady:
    return MediaReady(
        media_id=uuid4(),
        gallery_id=uuid4(),
        kind="image",
        content_type="image/jpeg",
        size_bytes=100,
        width=4,
        height=3,
        duration_ms=None,
        ready_at=clock.now,
        owner_id=UUID(owner_id),
    )


async def test_events_from_the_broker_reach_the_receiver_once(
    service: Any,
    send: Any,
    record: Any,
    sign_up: Any,
    hook: Any,
    receiver: Any,
    processor: Any,
    clock: Any,
    database: Any,
    connection: KafkaConnection,
    dead_letters: Any,
) -> None:
    url, calls = receiver
    ada = await sign_up()
    made = await hook(ada, url)
    clock.now = utc_now()
    first = record(ready(ada.id, clock))
    poison = Record(first.topic, 0, 0, first.key, b"{}", first.headers)
    await send(first)
    # A consumer that died after its commit and before its offset: the effect is there, the offset is not.
    await processor.process(first)
    await service()
    await send(poison)
    await send(first)
    second = record(ready(ada.id, clock))
    await send(second)

    async def told() -> None:
        bodies = [json.loads(body) for _, body in calls]
        told = {body["data"]["media_id"] for body in bodies}
        assert told == {each.key.decode() for each in (first, second)}
        handled = await database.hot.fetchval("SELECT count(*) FROM inbox")
        waiting = await database.hot.fetchval(
            "SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'"
        )
        assert (handled, waiting) == (2, 0)

    await eventually(told, BROKER_TIMEOUT_S)
    assert len(calls) == 2
    verifier = standardwebhooks.Webhook(made["secret"])
    for headers, body in calls:
        verifier.verify(body, headers)
