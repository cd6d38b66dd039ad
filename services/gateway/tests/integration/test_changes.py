"""Changes of galleries drop grants, over a real broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from kappi_chassis.bus import KafkaConnection, Producer
from kappi_chassis.bus.mac import EventMac
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import AccountDeleted, ContributorRemoved, Event, GalleryDeleted, GalleryUpdated
from kappi_gateway import metrics
from kappi_gateway.auth.grant_cache import GrantCache, GrantKey, KeptGrant
from kappi_gateway.consumers import GalleryChanges
from kappi_gateway.live.stream import Stream
from kappi_gateway.live.streams import LiveStreams
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import BrokerUnderTest

from .live_client import live_streams, ready, removed, still_opens

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def updated(gallery_id: UUID) -> Event:
    return GalleryUpdated(
        gallery_id=gallery_id, owner_id=None, visibility="shared", expires_at=None, updated_at=NOW
    )


def deleted(gallery_id: UUID) -> Event:
    return GalleryDeleted(gallery_id=gallery_id, owner_id=None, reason="requested", deleted_at=NOW)


def contributor_removed(gallery_id: UUID) -> Event:
    return ContributorRemoved(
        contributor_id=uuid4(), gallery_id=gallery_id, items_deleted=False, removed_at=NOW
    )


@pytest.fixture
def connection(every_broker: BrokerUnderTest, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(
        bootstrap=every_broker.bootstrap,
        prefix=topic_prefix,
        fetch_max_wait_ms=20,
        mac=EventMac(["a-secret-of-the-deployment"]),
    )


@pytest.fixture
async def producer(connection: KafkaConnection) -> AsyncIterator[Producer]:
    producer = Producer(connection, source="/galleries")
    await producer.start()
    yield producer
    await producer.close()


@pytest.fixture
async def cache(connection: KafkaConnection) -> AsyncIterator[GrantCache]:
    """A cache that follows changes."""
    cache = GrantCache(size=100, monotonic=time.monotonic)
    async with following(connection, cache, live_streams()):
        yield cache


@asynccontextmanager
async def following(connection: KafkaConnection, cache: GrantCache, live: LiveStreams) -> AsyncIterator[None]:
    metrics.FEED_CONNECTED.set(0)
    running = asyncio.create_task(GalleryChanges(connection, cache, live).run())
    await eventually(_assert_connected, deadline_s=30)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _assert_connected() -> None:
    assert metrics.FEED_CONNECTED._value.get() == 1


async def keep(cache: GrantCache, gallery_id: UUID, *, account_id: UUID | None = None) -> GrantKey:
    key = GrantKey("view", str(gallery_id), b"")

    async def ask() -> KeptGrant:
        return KeptGrant(token="t", gallery_id=gallery_id, reusable_s=1000, account_id=account_id)

    await cache.obtain(key, ask)
    return key


async def send(producer: Producer, event: Event, *, sequence: int = 2) -> None:
    await producer.send_event(
        Envelope(id=uuid4(), source="/galleries", time=NOW, sequence=sequence, data=event)
    )


@pytest.mark.parametrize("change", [updated, deleted, contributor_removed])
async def test_a_change_drops_the_grants_of_its_gallery(
    cache: GrantCache, producer: Producer, connection: KafkaConnection, change: Callable[[UUID], Event]
) -> None:
    changed, other = uuid4(), uuid4()
    gone, kept = await keep(cache, changed), await keep(cache, other)

    async def published_and_dropped() -> None:
        # It is repeated, because the feed starts at the end of partitions that may be created by this record.
        await send(producer, change(changed))
        assert cache.find(gone) is None

    await eventually(published_and_dropped, deadline_s=30)
    assert cache.find(kept) is not None


@pytest.mark.parametrize("change", [updated, deleted, contributor_removed])
async def test_a_change_drops_grants_at_every_gateway(
    producer: Producer, connection: KafkaConnection, change: Callable[[UUID], Event]
) -> None:
    """A gateway may drop more: with each new connection to its feed it drops everything."""
    changed = uuid4()
    caches = [GrantCache(size=100, monotonic=time.monotonic) for _ in range(3)]
    async with AsyncExitStack() as gateways:
        for cache in caches:
            await gateways.enter_async_context(following(connection, cache, live_streams()))
        gone = [await keep(cache, changed) for cache in caches]

        async def published_and_dropped() -> None:
            await send(producer, change(changed))
            assert [cache.find(key) for cache, key in zip(caches, gone, strict=True)] == [None] * 3

        await eventually(published_and_dropped, deadline_s=30)


async def test_the_end_of_an_account_drops_its_grants(
    cache: GrantCache, producer: Producer, connection: KafkaConnection
) -> None:
    gone, other = uuid4(), uuid4()
    dropped, kept = await keep(cache, uuid4(), account_id=gone), await keep(cache, uuid4(), account_id=other)

    async def published_and_dropped() -> None:
        await send(producer, AccountDeleted(account_id=gone, deleted_at=NOW))
        assert cache.find(dropped) is None

    await eventually(published_and_dropped, deadline_s=30)
    assert cache.find(kept) is not None


async def test_a_record_that_is_no_event_is_skipped(
    cache: GrantCache, producer: Producer, connection: KafkaConnection
) -> None:
    gallery_id = uuid4()
    await producer.send(connection.topic("GalleryUpdated"), key=b"k", value=b"{", headers=())
    key = await keep(cache, gallery_id)

    async def dropped() -> None:
        await send(producer, updated(gallery_id))
        assert cache.find(key) is None

    await eventually(dropped, deadline_s=30)


async def test_forged_changes_are_skipped_and_counted(
    cache: GrantCache, producer: Producer, connection: KafkaConnection
) -> None:
    forged, true = uuid4(), uuid4()
    kept, dropped = await keep(cache, forged), await keep(cache, true)
    before = metrics.FEED_REFUSED._value.get()
    envelope = Envelope(id=uuid4(), source="/galleries", time=NOW, sequence=2, data=deleted(forged))

    async def the_genuine_event_was_handled_after_the_forged_one() -> None:
        for headers in (envelope.headers(), (*envelope.headers(), ("kappi_mac", b"0" * 64))):
            await producer.send(
                connection.topic("GalleryDeleted"), key=b"k", value=envelope.value(), headers=headers
            )
        await send(producer, deleted(true))
        assert cache.find(dropped) is None
        assert metrics.FEED_REFUSED._value.get() > before

    await eventually(the_genuine_event_was_handled_after_the_forged_one, deadline_s=30)
    assert cache.find(kept) is not None


async def test_an_unknown_version_is_passed_over_and_counted(
    cache: GrantCache, producer: Producer, connection: KafkaConnection
) -> None:
    gallery_id = uuid4()
    key = await keep(cache, gallery_id)
    counted = metrics.FEED_SKIPPED.labels("GalleryUpdated")
    before = counted._value.get()
    envelope = Envelope(id=uuid4(), source="/galleries", time=NOW, sequence=2, data=updated(gallery_id))
    headers = tuple({**dict(envelope.headers()), "ce_type": b"gg.kappi.GalleryUpdated.v2"}.items())
    signed = connection.mac.signed(topic="GalleryUpdated", key=b"k", value=b"{}", headers=headers)

    async def skipped_and_then_dropped() -> None:
        await producer.send(connection.topic("GalleryUpdated"), key=b"k", value=b"{}", headers=signed)
        await send(producer, updated(gallery_id))
        assert cache.find(key) is None
        assert counted._value.get() > before

    await eventually(skipped_and_then_dropped, deadline_s=30)


async def opened(live: LiveStreams, *, last_event_id: bytes | None = None) -> Stream:
    grant = await still_opens("abcd")
    assert grant is not None
    return live.open(grant, code="abcd", is_protected=False, last_event_id=last_event_id, cut=lambda: None)


async def told(stream: Stream) -> bytes:
    async with asyncio.timeout(30):
        chunk = await stream.read()
    assert chunk is not None
    return chunk


def id_of(chunk: bytes) -> bytes:
    return chunk.rpartition(b"id: ")[2].strip()


async def test_a_stream_continues_at_another_gateway(producer: Producer, connection: KafkaConnection) -> None:
    here, there = live_streams(), live_streams()
    cache = GrantCache(size=1, monotonic=time.monotonic)
    async with following(connection, cache, here), following(connection, cache, there):
        items = [uuid4() for _ in range(12)]
        for _ in range(12):
            await send(producer, ready(uuid4(), gallery_id=uuid4()))
        await eventually(lambda: _assert_read(12, here, there), deadline_s=30)
        stream = await opened(here)
        assert b"event: reset" in await told(stream)
        await send(producer, ready(items[0]))
        seen = await told(stream)
        assert str(items[0]).encode() in seen
        for item in items[1:]:
            await send(producer, ready(item))
        await send(producer, removed(items[0]), sequence=3)
        await eventually(lambda: _assert_read(25, here, there), deadline_s=30)
        missed = await told(await opened(there, last_event_id=id_of(seen)))
        assert b"event: reset" not in missed
        assert missed.count(b"event: item_ready") == 11
        assert missed.count(b"event: item_deleted") == 1
        assert id_of(await told(await opened(here))) == id_of(missed)


def _assert_read(records: int, *gateways: LiveStreams) -> None:
    for live in gateways:
        assert live._positions is not None
        assert sum(live._positions.next) == records
