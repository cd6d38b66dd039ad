"""All ends of an upload, and what its owner is charged for afterwards: nothing, or the item."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.bus import Processor
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.storage import SignedRequest
from kappi_contracts.events import GalleryDeleted, JanitorTick
from kappi_contracts.keys import original_key
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_arrivals, build_worker, tick_steps
from kappi_media.consumers import GROUP, handlers
from kappi_media.domain.store_events import Arrival
from kappi_media.rendering.renderer import Renderer
from kappi_media.scanning import Infected
from kappi_media.settings import MediaSettings
from kappi_media.use_cases import checksums
from kappi_testkit.asgi import Answer
from kappi_testkit.events import RecordingDeadLetters
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Http,
    Worker,
    redelivered,
)
from kappi_testkit.media.metadata_blocks import xmp_packet
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.signed_requests import call

JPEG = encode(quadrants(64, 48), "JPEG")
SIZE = len(JPEG)
LONG_AFTER = timedelta(days=8)


class _Infects:
    async def __call__(self, key: str, *, size_bytes: int) -> None:
        raise Infected("Kappi.Test")


@dataclass
class Scene:
    """One gallery of an account, and the callers that act on it. Files are sent in one request or in parts.
    xmp: the sidecar of each picture, if there are any.
    """

    gallery: Gallery
    http: Http
    store: FaultyStore
    deps: Dependencies
    settings: MediaSettings
    renderer: Renderer
    dead_letters: RecordingDeadLetters
    clock: Clock
    record: Callable[..., Any]
    published: Callable[..., Awaitable[list[Any]]]
    xmp: bytes

    @property
    def client(self) -> Client:
        return Client(self.http)

    async def reserve(self, **declared: Any) -> Any:
        file = {"filename": "a.jpg", "content_type": "image/jpeg", "size": SIZE, **declared}
        if not self.xmp:
            (promised,) = await self.client.sign(self.gallery, file)
            return promised
        beside = {"filename": "a.xmp", "content_type": "text/xml", "size": len(self.xmp)}
        sidecar, promised = await self.client.sign(self.gallery, beside, file)
        await self.put(sidecar, self.xmp)
        assert (await self.client.complete(self.gallery, sidecar["id"])).status == 202
        return promised

    async def put(self, promised: Any, body: bytes = JPEG) -> None:
        (part,) = promised["multipart"]["parts"] if "multipart" in promised else (promised["single"],)
        answer = await call(SignedRequest(part["url"], "PUT", part["headers"], utc_now()), body)
        assert answer.status == 200

    async def smuggle(self, promised: Any) -> None:
        """Puts the bytes, whatever was declared, into a store without checksums."""
        self.store.forgets_checksums = True
        if "multipart" in promised:
            await self.put(promised)
        else:
            key = original_key(self.gallery.id, promised["media_id"])
            await self.store.put(key, JPEG, content_type="image/jpeg")

    async def upload(self, **declared: Any) -> Any:
        promised = await self.reserve(**declared)
        await self.put(promised)
        assert (await self.client.complete(self.gallery, promised["id"])).status == 200
        return promised

    async def abort(self, promised: Any) -> Answer:
        path = f"/v1/uploads/{promised['id']}"
        return await self.http("DELETE", path, grant=self.gallery.grant("contribute"))

    async def post(self, body: bytes = JPEG, **said: Any) -> Answer:
        document = {"filename": "a.jpg", "content_base64": base64.b64encode(body).decode(), **said}
        path = f"/v1/galleries/{self.gallery.id}/media"
        sent = {"content-type": "application/json"}
        return await self.http(
            "POST", path, grant=self.gallery.grant("contribute"), body=document, headers=sent
        )

    async def work(self, scan: Any = None) -> None:
        process = build_worker(self.deps, self.renderer, concurrency=4, scan=scan)
        worker = Worker(self.deps, process, self.dead_letters)
        for event in await self.published("UploadCompleted"):
            await worker.process(redelivered(event))
            await worker.process(redelivered(event))

    async def tick(self, at: Any) -> None:
        known = handlers(self.deps.outbox, on_tick_first=tick_steps(self.deps, self.settings))
        processor = Processor(
            group=GROUP, handlers=known, dead_letters=self.dead_letters, clock=self.deps.clock
        )
        await processor.process(self.record(JanitorTick(schedule="hourly", at=at, origin="operator")))

    async def hear(self, event: Any) -> None:
        processor = Processor(
            group=GROUP,
            handlers=handlers(self.deps.outbox),
            dead_letters=self.dead_letters,
            clock=self.deps.clock,
        )
        await processor.process(self.record(event))

    async def told_by_the_store(self, promised: Any) -> None:
        told = Arrival("bucket", self.gallery.id, UUID(promised["media_id"]))
        await build_arrivals(self.deps, self.settings)([told, told], way="kafka")


async def completed(scene: Scene) -> None:
    await scene.upload()


async def ready(scene: Scene) -> None:
    await scene.upload()
    await scene.work()


async def completed_from_all_sides(scene: Scene) -> None:
    promised = await scene.reserve()
    await scene.put(promised)
    await asyncio.gather(
        *(scene.client.complete(scene.gallery, promised["id"]) for _ in range(5)),
        *(scene.told_by_the_store(promised) for _ in range(5)),
        scene.tick(scene.clock() + timedelta(hours=1)),
    )


async def completed_by_the_store(scene: Scene) -> None:
    promised = await scene.reserve()
    await scene.put(promised)
    if "multipart" in promised:
        await scene.client.complete(scene.gallery, promised["id"])
    await scene.told_by_the_store(promised)


async def completed_by_a_tick_after_its_time(scene: Scene) -> None:
    await scene.put(await scene.reserve())
    await scene.tick(scene.clock() + LONG_AFTER)


async def posted(scene: Scene) -> None:
    assert (await scene.post()).status == 201
    await scene.work()


KEEPING = [
    completed,
    ready,
    completed_from_all_sides,
    completed_by_the_store,
    completed_by_a_tick_after_its_time,
    posted,
]


async def aborted(scene: Scene) -> None:
    promised = await scene.reserve()
    await scene.put(promised)
    for _ in range(2):
        assert (await scene.abort(promised)).status == 204
    await scene.told_by_the_store(promised)


async def abandoned(scene: Scene) -> None:
    await scene.reserve()
    for _ in range(2):
        await scene.tick(scene.clock() + LONG_AFTER)


async def of_another_type(scene: Scene) -> None:
    promised = await scene.reserve()
    await scene.put(promised, b"MZ" + bytes(SIZE - 2))
    for _ in range(2):
        assert (await scene.client.complete(scene.gallery, promised["id"])).status == 422
    await scene.told_by_the_store(promised)


async def of_another_checksum(scene: Scene) -> None:
    promised = await scene.reserve(sha256="0" * 64)
    await scene.smuggle(promised)
    assert (await scene.client.complete(scene.gallery, promised["id"])).status == 422


async def of_another_checksum_found_late(scene: Scene) -> None:
    promised = await scene.reserve(sha256="0" * 64)
    await scene.smuggle(promised)
    assert (await scene.client.complete(scene.gallery, promised["id"])).status == 200
    await scene.work()


async def infected(scene: Scene) -> None:
    await scene.upload()
    await scene.work(_Infects())


async def gone_from_the_store(scene: Scene) -> None:
    promised = await scene.upload()
    await scene.store.delete_batch([original_key(scene.gallery.id, promised["media_id"])])
    await scene.work()


async def deleted(scene: Scene) -> None:
    promised = await scene.upload()
    await scene.work()
    for _ in range(2):
        await scene.http("DELETE", f"/v1/media/{promised['media_id']}", grant=scene.gallery.grant())


async def deleted_with_its_gallery(scene: Scene) -> None:
    await scene.upload()
    await scene.reserve()
    for _ in range(2):
        await scene.hear(
            GalleryDeleted(
                gallery_id=scene.gallery.id,
                owner_id=scene.gallery.owner_id,
                reason="requested",
                deleted_at=scene.clock(),
            )
        )


async def posted_and_refused(scene: Scene) -> None:
    assert (await scene.post(sha256="0" * 64)).status == 422
    assert (await scene.post(b"MZ" + bytes(SIZE))).status in {415, 422}
    scene.store.down = True
    assert (await scene.post()).status == 503
    scene.store.down = False


async def posted_and_deleted(scene: Scene) -> None:
    item = (await scene.post()).json
    await scene.work()
    await scene.http("DELETE", f"/v1/media/{item['id']}", grant=scene.gallery.grant())


RELEASING = [
    aborted,
    abandoned,
    of_another_type,
    of_another_checksum,
    of_another_checksum_found_late,
    infected,
    gone_from_the_store,
    deleted,
    deleted_with_its_gallery,
    posted_and_refused,
    posted_and_deleted,
]


@pytest.fixture(params=["single", "parts", "with a sidecar"])
def scene(
    request: pytest.FixtureRequest,
    make_gallery: Callable[..., Gallery],
    make_http: Callable[..., Http],
    make_settings: Callable[..., MediaSettings],
    store: FaultyStore,
    deps: Dependencies,
    renderer: Renderer,
    dead_letters: RecordingDeadLetters,
    clock: Clock,
    record: Callable[..., Any],
    published: Callable[..., Awaitable[list[Any]]],
) -> Scene:
    in_parts = {"multipart_threshold_bytes": 1} if request.param == "parts" else {}
    return Scene(
        make_gallery(owner_id=new_id(), expires_at=None),
        make_http(**in_parts),
        store,
        deps,
        make_settings(store_events_topic="store", **in_parts),
        renderer,
        dead_letters,
        clock,
        record,
        published,
        xmp_packet() if request.param == "with a sidecar" else b"",
    )


async def charged(database: Database, scene: Scene) -> tuple[int, int]:
    row = await database.hot.fetchrow(
        "SELECT reserved_bytes, used_bytes FROM accounts WHERE id = $1", scene.gallery.owner_id
    )
    return row["reserved_bytes"], row["used_bytes"]


@pytest.mark.parametrize("end", KEEPING, ids=lambda end: end.__name__)
async def test_an_item_is_charged_once(
    scene: Scene,
    database: Database,
    dead_letters: RecordingDeadLetters,
    end: Callable[[Scene], Awaitable[None]],
) -> None:
    await end(scene)
    beside = 0 if end is posted else len(scene.xmp)
    assert await charged(database, scene) == (0, SIZE + beside)
    assert await database.hot.fetchval("SELECT count(*) FROM items") == 1
    assert len(await scene.published("UploadCompleted")) == 1
    assert dead_letters.letters == []


@pytest.mark.parametrize("end", RELEASING, ids=lambda end: end.__name__)
async def test_what_did_not_become_an_item_is_not_charged(
    scene: Scene,
    database: Database,
    dead_letters: RecordingDeadLetters,
    end: Callable[[Scene], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if end is of_another_checksum_found_late:
        monkeypatch.setattr(checksums, "INLINE_LIMIT_BYTES", 1)
    await end(scene)
    assert await charged(database, scene) == (0, 0)
    assert dead_letters.letters == []
