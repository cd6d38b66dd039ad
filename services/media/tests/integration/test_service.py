"""The whole service as a process of its own, on real servers: from signed URLs to items that are ready."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import av
import pytest
from aiokafka import AIOKafkaConsumer
from kappi_chassis.auth import SigningKey
from kappi_chassis.bus import KafkaConnection, Producer
from kappi_chassis.embedded.ports import free_port
from kappi_contracts.events import GalleryDeleted
from kappi_contracts.grants import GRANT_HEADER
from kappi_contracts.keys import rendition_key
from kappi_contracts.rendition_formats import PLAYBACK_SIZE, SMALL_PLAYBACK_SIZE
from kappi_media.use_cases.make_film import LEASE
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.film_making import Interrupted
from kappi_testkit.media.films import FilmShape, film
from kappi_testkit.media.harness import Clock, Gallery
from kappi_testkit.media.jwks_server import serving_key_set
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.plugin import BrokerUnderTest
from kappi_testkit.processes import ManagedProcess, answers_http
from kappi_testkit.servers.local_store import ServedLocalStore

JPEG = encode(quadrants(300, 200), "JPEG")
TIMEOUT_S = 60.0


@pytest.fixture
def connection(every_broker: BrokerUnderTest, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(bootstrap=every_broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20)


@pytest.fixture
def jwks_url(grant_key: SigningKey) -> Iterator[str]:
    """Serves the galleries service's key set over HTTP."""
    with serving_key_set(grant_key) as url:
        yield url


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest) -> dict[str, str]:
    """Returns the environment that names the store."""
    if request.param == "local":
        local: ServedLocalStore = request.getfixturevalue("served_store")
        return local.environment()
    s3 = request.getfixturevalue("s3_server")
    environment: dict[str, str] = s3.environment(s3.create_bucket())
    return environment


ProcessMaker = Callable[..., tuple[ManagedProcess, str]]


@pytest.fixture
def process(
    url: str, connection: KafkaConnection, every_broker: BrokerUnderTest, jwks_url: str, tmp_path: Path
) -> ProcessMaker:
    """`process(storage, …)` returns the service, not yet started, and its address."""

    def make(storage: dict[str, str], **more: str) -> tuple[ManagedProcess, str]:
        port, ops_port = free_port(), free_port()
        managed = ManagedProcess(
            [sys.executable, "-m", "kappi_media.main"],
            log=tmp_path / "media.log",
            ready=lambda: answers_http(f"http://127.0.0.1:{ops_port}/readyz"),
            env={
                "KAPPI_LOG_LEVEL": "DEBUG",
                "KAPPI_KAFKA_BOOTSTRAP": connection.bootstrap,
                "KAPPI_KAFKA_CREATE_TOPICS": str(every_broker.kind == "kafka"),
                "KAPPI_KAFKA_FETCH_MAX_WAIT_MS": "20",
                "KAPPI_TOPIC_PREFIX": connection.prefix,
                "KAPPI_MEDIA_DATABASE_URL": url,
                "KAPPI_MEDIA_IDEMPOTENCY_SECRET": "0123456789abcdef",
                "KAPPI_MEDIA_GRANT_JWKS_URL": jwks_url,
                "KAPPI_MEDIA_PORT": str(port),
                "KAPPI_MEDIA_OPS_PORT": str(ops_port),
                **storage,
                **more,
            },
        )
        return managed, f"http://127.0.0.1:{port}"

    return make


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Uploader:
    """An app on a bad day: whatever fails is tried again."""

    def __init__(self, session: aiohttp.ClientSession, address: str, gallery: Gallery) -> None:
        self._session = session
        self._address = address
        self._gallery = gallery

    async def upload(self, number: int, body: bytes = JPEG, *, content_type: str = "image/jpeg") -> str:
        """Uploads a file and returns the item's id, once completing it was acknowledged."""
        declared = {"filename": f"{number}.jpg", "size": len(body), "content_type": content_type}
        path = f"/v1/galleries/{self._gallery.id}/uploads"
        promised = (await self._insist("POST", path, {"files": [declared]}))["uploads"][0]
        single = promised["single"]
        async with self._session.put(single["url"], data=body, headers=single["headers"]) as answer:
            assert answer.status == 200, await answer.text()
        item = await self._insist("POST", f"/v1/uploads/{promised['id']}/complete", None)
        assert item["id"] == promised["media_id"]
        return str(item["id"])

    async def play(self, media_id: str) -> None:
        """Requests the film's playlist."""
        await self._insist("GET", f"/v1/media/{media_id}/playback.m3u8", None)

    async def page(self) -> Any:
        return await self._insist("GET", f"/v1/g/{self._gallery.public.code}?limit=500", None)

    async def _insist(self, method: str, path: str, body: Any) -> Any:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                headers = {GRANT_HEADER: self._gallery.grant()}
                try:
                    async with self._session.request(
                        method, self._address + path, json=body, headers=headers
                    ) as answer:
                        if answer.status < 500:
                            assert answer.status in {200, 201, 202}, await answer.text()
                            return await answer.json()
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)  # it is being restarted


async def test_from_signed_url_to_ready_and_to_the_end(
    process: ProcessMaker,
    storage: dict[str, str],
    session: aiohttp.ClientSession,
    gallery: Gallery,
    connection: KafkaConnection,
    record: Any,
    clock: Clock,
    database: Any,
) -> None:
    managed, address = process(storage)
    with managed:
        uploader = Uploader(session, address, gallery)
        ids = await asyncio.gather(*(uploader.upload(number) for number in range(5)))

        async def all_ready() -> None:
            page = await uploader.page()
            assert [item["status"] for item in page["items"]] == ["ready"] * 5

        await eventually(all_ready, TIMEOUT_S)
        page = await uploader.page()
        assert {item["id"] for item in page["items"]} == set(ids)
        for url, expected in (
            (page["items"][0]["original"]["url"], JPEG),
            (page["items"][0]["renditions"]["400"]["url"], None),
        ):
            async with session.get(url) as answer:
                assert answer.status == 200
                assert expected is None or await answer.read() == expected

        deleted = GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock())
        told = record(deleted)
        producer = Producer(connection, source="/galleries")
        topic = connection.topic(told.topic)
        await producer.send(topic, key=told.key, value=told.value, headers=told.headers)
        await producer.close()

        async def gone() -> None:
            assert await database.hot.fetchval("SELECT count(*) FROM items") == 0

        await eventually(gone, TIMEOUT_S)
        assert await asyncio.to_thread(managed.stop) == 0
    log = managed.log.read_text()
    assert "service.stopped" in log
    for secret in ("signature=", "Signature=", gallery.grant().split(".")[0]):
        assert secret not in log


async def test_what_was_completed_becomes_ready_whenever_it_is_killed(
    process: ProcessMaker,
    served_store: ServedLocalStore,
    session: aiohttp.ClientSession,
    gallery: Gallery,
    connection: KafkaConnection,
    database: Any,
) -> None:
    managed, address = process(served_store.environment())
    files, kills = 60, 3
    done: list[str] = []
    with managed:
        uploader = Uploader(session, address, gallery)
        waiting = iter(range(files))

        async def work() -> None:
            for number in waiting:
                media_id = await uploader.upload(number)
                done.append(media_id)

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(work())
            for kill in range(1, kills + 1):

                async def far_enough(kill: int = kill) -> None:
                    assert len(done) >= kill * files // (kills + 1)

                await eventually(far_enough, TIMEOUT_S)
                managed.kill()
                await asyncio.to_thread(managed.start)

        async def all_ready() -> None:
            assert await database.hot.fetchval("SELECT count(*) FROM items WHERE status = 'ready'") == files

        await eventually(all_ready, 2 * TIMEOUT_S)

        async def all_sent() -> None:
            assert await database.hot.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0

        await eventually(all_sent, TIMEOUT_S)
        assert len(set(done)) == files
        assert {item["id"] for item in (await uploader.page())["items"]} == set(done)
    # The uploader's requests for the page are counted as well, at any time.
    counts = await database.hot.fetch(
        "SELECT topic, key, count(*) FROM outbox WHERE topic <> 'MediaAccessed' GROUP BY topic, key"
    )
    assert {(row["topic"], row["count"]) for row in counts} == {("UploadCompleted", 1), ("MediaReady", 1)}
    assert {row["key"] for row in counts} == set(done)
    assert await _delivered(connection, "MediaReady") >= set(done)


async def test_a_film_whose_maker_is_killed_is_continued_by_another(
    process: ProcessMaker,
    served_store: ServedLocalStore,
    session: aiohttp.ClientSession,
    gallery: Gallery,
    database: Any,
    store: FaultyStore,
    working: Callable[..., Any],
    making: Interrupted,
    clock: Clock,
) -> None:
    managed, address = process(served_store.environment(), KAPPI_MEDIA_HLS_ABOVE="PT10S")
    seconds = 80
    body = await asyncio.to_thread(film, FilmShape(codec="libx265", seconds=seconds, frame_rate=25))
    with managed:
        uploader = Uploader(session, address, gallery)
        media_id = await uploader.upload(1, body, content_type="video/mp4")

        async def ready() -> None:
            assert (await uploader.page())["items"][0]["status"] == "ready"

        await eventually(ready, TIMEOUT_S)
        await uploader.play(media_id)

        async def begun() -> None:
            assert await database.hot.fetchval("SELECT cardinality(pieces) FROM playbacks") > 0

        await eventually(begun, TIMEOUT_S)
        managed.kill()
    made = await database.hot.fetchrow("SELECT ticks, leased_until FROM playbacks")
    assert 0 < made["ticks"] < seconds * 90_000, "it was killed in the middle"
    assert made["leased_until"] is not None
    clock.pass_by(LEASE + timedelta(seconds=1))
    async with working():

        async def streamed() -> None:
            assert await database.hot.fetchval("SELECT count(*) FROM film_streams") == 2

        await eventually(streamed, 2 * TIMEOUT_S)
    assert making.begun == [made["ticks"]]
    for size in (PLAYBACK_SIZE, SMALL_PLAYBACK_SIZE):
        key = rendition_key(gallery.id, UUID(media_id), size, "mp4")
        shown = b"".join([chunk async for chunk in store.stream(key)])
        with av.open(io.BytesIO(shown), "r") as container:
            times = [round((frame.time or 0.0) * 25) for frame in container.decode(video=0)]
        assert times == list(range(seconds * 25))


async def _delivered(connection: KafkaConnection, topic: str) -> set[str]:
    """Returns the keys that a reader of the topic finds from its beginning."""
    consumer = AIOKafkaConsumer(
        connection.topic(topic), **connection.client_options(), auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found: set[str] = set()
        async with asyncio.timeout(TIMEOUT_S):
            while any([await consumer.position(p) < end for p, end in ends.items()]):
                for messages in (await consumer.getmany(timeout_ms=100)).values():
                    found |= {message.key.decode() for message in messages}
    finally:
        await consumer.stop()
    return found
