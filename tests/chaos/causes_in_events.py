"""Causes of alerts: records that no consumer can use, and topics that are changed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import aiohttp
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import Producer as KafkaProducer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, but not for mypy
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from kappi_contracts.envelope import Envelope, Headers
from kappi_contracts.events import KindCount, MediaAccessed
from kappi_testkit.eventually import eventually

from tests.chaos.alert_scene import Scene
from tests.chaos.system import System

_TIMEOUT_S: Final = 10.0
_UNREADABLE: Final = 250
"""More than both workers of identity send to the dead letters before they stop, 100 each."""
_BACKLOG: Final = 6_000
_Record = tuple[bytes, bytes, Headers]
"""Key, value and headers."""
_PARKED, _UNREAD, _LOST = "GalleryUpdated", "CommentAdded", "MediaAccessed"


@asynccontextmanager
async def strangers(scene: Scene) -> AsyncIterator[None]:
    """A program without the deployment's secrets writes an event and calls a service."""
    await asyncio.to_thread(_send, scene.system, "MediaReady", [(b"key", b"{}", ())])
    port = scene.system.of("galleries", "api")[0].port
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/v1/galleries") as answer,
    ):
        assert answer.status == 401
    yield


@asynccontextmanager
async def unreadable_events(scene: Scene) -> AsyncIterator[None]:
    """A faulty release of galleries publishes many events that no consumer can read."""
    mac, value = scene.system.events.mac, b"not an event"
    key = uuid4().bytes  # one partition, so that one worker stops after the other
    headers = mac.signed(topic=_UNREAD, key=key, value=value, headers=())
    await asyncio.to_thread(_send, scene.system, _UNREAD, [(key, value, headers)] * _UNREADABLE)
    yield


@asynccontextmanager
async def topic_takes_less(scene: Scene) -> AsyncIterator[None]:
    """An operator lowers the largest size of a topic's events."""
    await asyncio.to_thread(_limit, scene.system, "100")
    try:
        assert await scene.rename_gallery() == 200
        yield
    finally:
        await asyncio.to_thread(_limit, scene.system, "1048588")  # the broker's default


@asynccontextmanager
async def far_behind(scene: Scene) -> AsyncIterator[None]:
    """Galleries' workers are away. The broker removes records that they have not read, and more arrive.

    Then they start, and a forgotten session locks their inbox.
    """
    system, workers = scene.system, scene.system.of("galleries", "worker")
    for worker in workers:
        worker.is_kept = False
        worker.signal(signal.SIGKILL)
    begun = await asyncio.to_thread(_ends, system)
    await eventually(lambda: _assert_more(system, begun), _TIMEOUT_S)
    await asyncio.to_thread(_remove_all, system)
    await asyncio.to_thread(_send, system, _LOST, _accesses(system))
    async with scene.database("galleries") as connection, connection.transaction():
        await connection.execute("LOCK TABLE inbox")
        await scene.restarted(*workers)
        yield


def _accesses(system: System) -> list[_Record]:
    """Returns records about galleries that do not exist."""
    day, kinds = datetime.now(UTC), (KindCount(kind="view", count=1),)
    records = []
    for _ in range(_BACKLOG):
        data = MediaAccessed(gallery_id=uuid4(), day=day.date(), kinds=kinds, traits=(), items=())
        envelope = Envelope(id=uuid4(), source="/media", time=day, sequence=1, data=data)
        key, value = envelope.key.encode(), envelope.value()
        headers = system.events.mac.signed(topic=_LOST, key=key, value=value, headers=envelope.headers())
        records.append((key, value, headers))
    return records


def _send(system: System, topic: str, records: Iterable[_Record]) -> None:
    producer = KafkaProducer({"bootstrap.servers": system.kafka.bootstrap})
    for key, value, headers in records:
        producer.produce(topic, value=value, key=key, headers=[*headers])
    assert producer.flush(_TIMEOUT_S) == 0


def _limit(system: System, size_bytes: str) -> None:
    entry = ConfigEntry("max.message.bytes", size_bytes, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, _PARKED, incremental_configs=[entry])
    # A client that is not kept ends, and its order with it.
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(_TIMEOUT_S)


def _ends(system: System) -> dict[int, int]:
    """Returns the offset after the last record, by partition."""
    reader = Consumer({"bootstrap.servers": system.kafka.bootstrap, "group.id": "operator"})
    try:
        partitions = reader.list_topics(_LOST, timeout=_TIMEOUT_S).topics[_LOST].partitions
        return {
            each: reader.get_watermark_offsets(TopicPartition(_LOST, each), timeout=_TIMEOUT_S)[1]
            for each in partitions
        }
    finally:
        reader.close()


async def _assert_more(system: System, before: dict[int, int]) -> None:
    assert await asyncio.to_thread(_ends, system) != before


def _remove_all(system: System) -> None:
    places = [TopicPartition(_LOST, partition, end) for partition, end in _ends(system).items()]
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    for done in admin.delete_records(places).values():
        done.result(_TIMEOUT_S)
