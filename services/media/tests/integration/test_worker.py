from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.bus import Processor
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.storage import SignedRequest
from kappi_contracts.events import GalleryDeleted, UploadCompleted
from kappi_contracts.keys import original_key, rendition_key
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_worker
from kappi_media.domain.shares import NO_SHARE, Share
from kappi_media.rendering.failures import (
    DecoderKilled,
    DecoderLacksLibrary,
    DecoderNotStarted,
    DecoderStalled,
)
from kappi_media.rendering.sizes import GridPicture, RenderedImage, RenditionSize
from kappi_media.repository.processing import ProcessingQueries
from kappi_media.repository.upload_jobs import UploadJobQueries
from kappi_media.use_cases import process_upload as worker_module
from kappi_media.use_cases.process_upload import ATTEMPTS, FIRST_PAUSE, LEASE, STALL_COUNTS
from kappi_mediameta.probing import MediaFormat, Probe, ProbeLimits, RangedSource, probe
from kappi_testkit.events import RecordingDeadLetters
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Published,
    Worker,
    redelivered,
)
from kappi_testkit.media.samples import MovieShape, Shot, encode, movie, quadrants
from kappi_testkit.signed_requests import call
from PIL import Image

SHOT = Shot(
    orientation=6,
    make="Canon",
    model="R6",
    taken="2026:05:30 06:41:12",
    offset="+02:00",
    place=(46.5, 7.1, 9.0),
)
JPEG = encode(quadrants(900, 600), "JPEG", shot=SHOT)
SMALL = encode(quadrants(64, 48), "JPEG")
# A GIF by its first bytes, without width and height.
HOLLOW_GIF = b"GIF89a" + bytes(20)
Publications = Callable[..., Awaitable[list[Published]]]


async def completed(published: Publications) -> Published:
    return (await published("UploadCompleted"))[-1]


async def read_item(client: Client, gallery: Gallery, media_id: str) -> dict[str, Any]:
    answer = await client.http("GET", f"/v1/media/{media_id}", grant=gallery.grant("view"))
    assert answer.status == 200, answer.body
    item: dict[str, Any] = answer.json
    return item


async def test_a_photograph_becomes_ready_with_its_facts_and_its_picture(
    client: Client, gallery: Gallery, worker: Worker, published: Publications, database: Database
) -> None:
    media_id = (await client.upload(gallery, JPEG))["id"]
    await worker.process(redelivered(await completed(published)))

    item = await read_item(client, gallery, media_id)
    assert (item["status"], item["kind"]) == ("ready", "image")
    # The picture is shown upright: 900 x 600, stored on its side.
    assert (item["width"], item["height"]) == (900, 600)
    assert item["taken_at"] == "2026-05-30T04:41:12Z"
    facts = await database.hot.fetchrow("SELECT camera, gps, orientation, version FROM items")
    assert facts["camera"] == {"make": "Canon", "model": "R6"}
    assert facts["gps"]["latitude"] == pytest.approx(46.5, abs=1e-3)
    assert (facts["orientation"], facts["version"]) == (6, 2)

    fetched = await call(SignedRequest(item["renditions"]["400"]["url"], "GET", {}, Clock()()))
    picture = Image.open(io.BytesIO(fetched.body))
    assert (picture.format, picture.size) == ("JPEG", (600, 400))
    answer = await client.http("GET", f"/v1/media/{media_id}/renditions/400", grant=gallery.grant("view"))
    assert (answer.status, answer.headers["location"]) == (302, item["renditions"]["400"]["url"])

    (event,) = await published("MediaReady")
    assert (event.key, event.sequence) == (media_id, 2)
    assert {name: event.data[name] for name in ("kind", "width", "height", "size_bytes")} == {
        "kind": "image",
        "width": 900,
        "height": 600,
        "size_bytes": len(JPEG),
    }
    assert tuple(await database.hot.fetchrow("SELECT version, item_count FROM contents")) == (2, 1)


async def test_the_event_names_the_account_that_owns_the_gallery(
    client: Client,
    gallery: Gallery,
    make_gallery: Callable[..., Gallery],
    worker: Worker,
    published: Publications,
) -> None:
    owner = new_id()
    for home in (gallery, make_gallery(owner_id=owner, code="h2me")):
        await client.upload(home, SMALL)
        await worker.process(redelivered(await completed(published)))
    of_nobody, of_owner = await published("MediaReady")
    assert "owner_id" not in of_nobody.data
    assert of_owner.data["owner_id"] == str(owner)


async def test_a_film_gets_a_poster(
    client: Client, gallery: Gallery, worker: Worker, published: Publications
) -> None:
    film = movie(MovieShape(width=640, height=480, rotation=-90, seconds=1))
    media_id = (await client.upload(gallery, film, content_type="video/mp4", filename="a.mp4"))["id"]
    await worker.process(redelivered(await completed(published)))
    item = await read_item(client, gallery, media_id)
    assert (item["status"], item["kind"]) == ("ready", "video")
    assert (item["width"], item["height"]) == (480, 640)
    assert item["duration_ms"] == pytest.approx(1000, abs=150)
    assert "400" in item["renditions"]


async def test_an_object_that_is_of_another_type_than_when_it_was_completed_is_rejected(
    client: Client, gallery: Gallery, worker: Worker, published: Publications, store: FaultyStore
) -> None:
    """Uploads are create-only. In a store that let one be replaced, the reader of the known type refuses."""
    media_id = (await client.upload(gallery, JPEG))["id"]
    key = original_key(gallery.id, media_id)
    await store.put(key, encode(quadrants(900, 600), "PNG"), content_type="image/jpeg")
    await worker.process(redelivered(await completed(published)))
    assert (await read_item(client, gallery, media_id))["status"] == "rejected"


async def test_what_turns_out_to_be_no_picture_is_rejected(
    client: Client, gallery: Gallery, worker: Worker, published: Publications, database: Database
) -> None:
    media_id = (await client.upload(gallery, HOLLOW_GIF, content_type="image/gif"))["id"]
    await worker.process(redelivered(await completed(published)))

    item = await read_item(client, gallery, media_id)
    assert (item["status"], item["rejection_reason"]) == ("rejected", "corrupt")
    assert (item["original"], item["renditions"]) == (None, {})
    (event,) = await published("MediaRejected")
    assert (event.key, event.sequence, event.data["reason"]) == (media_id, 2, "corrupt")
    assert (await client.view(gallery)).json["items"] == []
    assert await database.hot.fetchval("SELECT item_count FROM contents") == 0
    for path in ("download", "renditions/400"):
        answer = await client.http("GET", f"/v1/media/{media_id}/{path}", grant=gallery.grant())
        assert (answer.status, answer.code) == (404, "media_not_found")
    again = await client.complete(gallery, (await completed(published)).data["upload_id"])
    assert (again.status, again.json["status"]) == (200, "rejected")
    # Deleting an invisible item does not change the count of visible ones.
    await client.http("DELETE", f"/v1/media/{media_id}", grant=gallery.grant())
    assert await database.hot.fetchval("SELECT item_count FROM contents") == 0
    assert [event.sequence for event in await published("MediaDeleted")] == [3]


async def test_an_original_that_is_gone_is_a_rejection(
    client: Client, gallery: Gallery, worker: Worker, published: Publications, store: FaultyStore
) -> None:
    media_id = (await client.upload(gallery, SMALL))["id"]
    await store.delete_batch([original_key(gallery.id, UUID(media_id))])
    await worker.process(redelivered(await completed(published)))
    assert (await read_item(client, gallery, media_id))["rejection_reason"] == "missing"


async def test_a_duplicate_does_nothing(
    client: Client,
    gallery: Gallery,
    worker: Worker,
    published: Publications,
    store: FaultyStore,
    dead_letters: RecordingDeadLetters,
) -> None:
    await client.upload(gallery, SMALL)
    event = await completed(published)
    await asyncio.gather(*(worker.process(redelivered(event)) for _ in range(3)))
    assert len(await published("MediaReady")) == 1
    reads = store.reads
    # A crash between the commit and the offset, or a replay of the outbox: the same event once more.
    await worker.process(redelivered(event))
    assert store.reads == reads
    # The same upload in another event, as after a restored backup.
    await worker.process(redelivered(replace(event, id=new_id())))
    assert [event.topic for event in await published()] == ["UploadCompleted", "MediaReady"]
    assert dead_letters.letters == []


async def test_an_upload_told_after_its_gallerys_deletion_is_only_purged(
    client: Client,
    gallery: Gallery,
    worker: Worker,
    processor: Processor,
    published: Publications,
    record: Any,
    clock: Clock,
    store: FaultyStore,
    database: Database,
) -> None:
    media_id = (await client.upload(gallery, SMALL))["id"]
    event = await completed(published)
    deleted = GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock())
    await processor.process(record(deleted))
    reads = store.reads
    for _ in range(2):
        await worker.process(redelivered(event))
    assert store.reads == reads
    assert [(e.topic, e.key, e.sequence) for e in await published()] == [
        ("UploadCompleted", media_id, 1),
        ("MediaDeleted", media_id, 2),
    ]
    assert await database.hot.fetchval("SELECT count(*) FROM items") == 0


class Interrupted:
    """A renderer during whose work something else happens."""

    def __init__(self, meanwhile: Callable[[], Awaitable[Any]]) -> None:
        self._meanwhile = meanwhile

    async def probe(
        self, source: RangedSource, fmt: MediaFormat, limits: ProbeLimits, *, share: Share = NO_SHARE
    ) -> Probe:
        return await probe(source, fmt, limits)

    async def render(
        self,
        source: RangedSource,
        probe: Probe,
        sizes: Sequence[RenditionSize],
        *,
        fmt: RenditionFormat = "jpeg",
        share: Share = NO_SHARE,
    ) -> tuple[RenderedImage, ...]:
        raise AssertionError("asked for by nobody")

    async def render_grid(
        self, source: RangedSource, probe: Probe, size: RenditionSize, *, share: Share = NO_SHARE
    ) -> GridPicture:
        await self._meanwhile()
        return GridPicture(RenderedImage(body=SMALL, width=64, height=48), b"placeholder")


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the pauses of postponed work."""
    monkeypatch.setattr(worker_module, "FIRST_PAUSE", timedelta(milliseconds=1))
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE", timedelta(milliseconds=5))
    monkeypatch.setattr(worker_module, "POLL", timedelta(milliseconds=5))


async def never(*_: Any, **__: Any) -> None:
    await asyncio.get_running_loop().create_future()


def worker_with(rendering: Any, deps: Dependencies, dead_letters: RecordingDeadLetters) -> Worker:
    return Worker(deps, build_worker(deps, rendering, concurrency=4), dead_letters)


async def test_an_item_deleted_during_the_work_is_purged_once_more(
    client: Client,
    gallery: Gallery,
    deps: Dependencies,
    dead_letters: RecordingDeadLetters,
    published: Publications,
    store: FaultyStore,
) -> None:
    media_id = (await client.upload(gallery, SMALL))["id"]
    worker = worker_with(
        Interrupted(lambda: client.http("DELETE", f"/v1/media/{media_id}", grant=gallery.grant())),
        deps,
        dead_letters,
    )
    await worker.process(redelivered(await completed(published)))
    # The rendition was stored after the item was deleted: the second event has it removed.
    assert await store.head(rendition_key(gallery.id, UUID(media_id), "400"))
    assert [(e.topic, e.sequence) for e in await published()] == [
        ("UploadCompleted", 1),
        ("MediaDeleted", 2),
        ("MediaDeleted", 3),
    ]
    assert (await client.view(gallery)).json["items"] == []


async def test_an_item_described_during_the_work_keeps_its_description(
    client: Client,
    gallery: Gallery,
    deps: Dependencies,
    dead_letters: RecordingDeadLetters,
    published: Publications,
) -> None:
    media_id = (await client.upload(gallery, SMALL))["id"]
    path = f"/v1/media/{media_id}"
    worker = worker_with(
        Interrupted(lambda: client.http("PATCH", path, grant=gallery.grant(), body={"caption": "new"})),
        deps,
        dead_letters,
    )
    await worker.process(redelivered(await completed(published)))
    item = await read_item(client, gallery, media_id)
    assert (item["status"], item["caption"]) == ("ready", "new")
    assert [event.sequence for event in await published("MediaReady")] == [3]


async def test_a_crash_after_the_rendition_and_before_the_commit_repeats_harmlessly(
    client: Client,
    gallery: Gallery,
    worker: Worker,
    published: Publications,
    store: FaultyStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media_id = (await client.upload(gallery, SMALL))["id"]
    event = await completed(published)
    about_to_commit = asyncio.Event()

    async def never(*_: Any, **__: Any) -> bool:
        about_to_commit.set()
        await asyncio.get_running_loop().create_future()
        return True

    with monkeypatch.context() as patched:
        patched.setattr(ProcessingQueries, "ready", never)
        dying = asyncio.ensure_future(worker.process(redelivered(event)))
        await asyncio.wait_for(about_to_commit.wait(), 20)
        dying.cancel()
        await asyncio.wait([dying])
    assert await store.head(rendition_key(gallery.id, UUID(media_id), "400"))
    assert (await read_item(client, gallery, media_id))["status"] == "processing"

    await worker.process(redelivered(event))
    assert (await read_item(client, gallery, media_id))["status"] == "ready"
    assert len(await published("MediaReady")) == 1


async def test_a_store_that_is_away_is_waited_for(
    client: Client,
    gallery: Gallery,
    worker: Worker,
    published: Publications,
    store: FaultyStore,
    dead_letters: RecordingDeadLetters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    media_id = (await client.upload(gallery, SMALL))["id"]
    store.down = True
    working = asyncio.ensure_future(worker.process(redelivered(await completed(published))))

    def tried_more_often_than_a_file_at_fault() -> None:
        assert store.refusals > ATTEMPTS

    await eventually(tried_more_often_than_a_file_at_fault)
    assert not working.done()
    store.down = False
    await asyncio.wait_for(working, 20)
    assert (await read_item(client, gallery, media_id))["status"] == "ready"
    assert dead_letters.letters == []


@pytest.mark.parametrize("failure", [DecoderNotStarted, DecoderLacksLibrary, DecoderKilled])
async def test_an_original_is_not_condemned_for_a_decoder_that_fails_for_a_while(
    client: Client,
    gallery: Gallery,
    deps: Dependencies,
    published: Publications,
    dead_letters: RecordingDeadLetters,
    monkeypatch: pytest.MonkeyPatch,
    failure: type[Exception],
) -> None:
    impatient(monkeypatch)
    media_id = (await client.upload(gallery, SMALL))["id"]
    failures_left = ATTEMPTS - 1 if failure is DecoderKilled else 2 * ATTEMPTS

    async def unwell() -> None:
        nonlocal failures_left
        if failures_left:
            failures_left -= 1
            raise failure("out of memory")

    await worker_with(Interrupted(unwell), deps, dead_letters).process(
        redelivered(await completed(published))
    )
    assert (await read_item(client, gallery, media_id))["status"] == "ready"
    assert dead_letters.letters == []


@pytest.mark.parametrize(
    ("failure", "times"), [(DecoderKilled, ATTEMPTS), (DecoderStalled, ATTEMPTS // STALL_COUNTS)]
)
async def test_an_original_that_ends_its_decoder_each_time_is_given_up(
    client: Client,
    gallery: Gallery,
    deps: Dependencies,
    published: Publications,
    dead_letters: RecordingDeadLetters,
    monkeypatch: pytest.MonkeyPatch,
    failure: type[Exception],
    times: int,
) -> None:
    impatient(monkeypatch)
    media_id = (await client.upload(gallery, SMALL))["id"]
    tried = 0

    async def unwell() -> None:
        nonlocal tried
        tried += 1
        raise failure("ended with -9")

    event = await completed(published)
    await worker_with(Interrupted(unwell), deps, dead_letters).process(redelivered(event))
    assert tried == times
    item = await read_item(client, gallery, media_id)
    assert (item["status"], item["rejection_reason"]) == ("rejected", "too_complex")
    (rejected,) = await published("MediaRejected")
    assert rejected.data["reason"] == "too_complex"


async def test_an_original_that_ends_the_worker_each_time_is_given_up(
    client: Client,
    gallery: Gallery,
    deps: Dependencies,
    published: Publications,
    dead_letters: RecordingDeadLetters,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers that die release nothing: their leases expire."""
    impatient(monkeypatch)
    media_id = (await client.upload(gallery, SMALL))["id"]
    tried = 0

    async def deadly() -> None:
        nonlocal tried
        tried += 1
        await asyncio.Event().wait()

    await worker_with(Interrupted(deadly), deps, dead_letters).processor.process(
        redelivered(await completed(published))
    )
    with monkeypatch.context() as patched:
        patched.setattr(UploadJobQueries, "postpone", never)
        patched.setattr(worker_module, "LEAVE_WITHIN_S", 0.01)
        for life in range(1, ATTEMPTS + 1):
            dying = asyncio.ensure_future(build_worker(deps, Interrupted(deadly), concurrency=1).run())

            def begun(life: int = life) -> None:
                assert tried == life

            await eventually(begun)
            dying.cancel()
            await asyncio.wait([dying])
            clock.pass_by(LEASE)
    running = asyncio.ensure_future(build_worker(deps, Interrupted(deadly), concurrency=1).run())

    async def given_up() -> None:
        item = await read_item(client, gallery, media_id)
        assert (item["status"], item.get("rejection_reason")) == ("rejected", "too_complex")

    await eventually(given_up)
    running.cancel()
    await asyncio.wait([running])
    assert tried == ATTEMPTS


async def test_a_worker_that_is_stopped_leaves_its_work_to_the_next_at_once(
    client: Client,
    gallery: Gallery,
    deps: Dependencies,
    worker: Worker,
    published: Publications,
    dead_letters: RecordingDeadLetters,
    database: Database,
) -> None:
    media_id = (await client.upload(gallery, SMALL))["id"]
    event = redelivered(await completed(published))
    begun = asyncio.Event()

    async def long() -> None:
        begun.set()
        await asyncio.Event().wait()

    stopped = asyncio.ensure_future(worker_with(Interrupted(long), deps, dead_letters).process(event))
    await asyncio.wait_for(begun.wait(), 20)
    stopped.cancel()
    await asyncio.wait([stopped])
    job = await database.hot.fetchrow("SELECT attempts, leased_until FROM upload_jobs")
    assert tuple(job) == (0, None)
    await worker.process(event)
    assert (await read_item(client, gallery, media_id))["status"] == "ready"


async def test_a_fault_of_ours_costs_nobody_an_original(
    client: Client,
    gallery: Gallery,
    deps: Dependencies,
    worker: Worker,
    published: Publications,
    dead_letters: RecordingDeadLetters,
    database: Database,
    clock: Clock,
) -> None:
    """The upload waits, longer each time, for the fault to be fixed; its record blocks no other."""

    async def bug() -> None:
        raise ZeroDivisionError("a bug")

    media_id = (await client.upload(gallery, SMALL))["id"]
    event = redelivered(await completed(published))
    broken = asyncio.ensure_future(worker_with(Interrupted(bug), deps, dead_letters).process(event))

    async def put_off() -> None:
        assert await database.hot.fetchval("SELECT failures FROM upload_jobs") == 1

    await eventually(put_off)
    broken.cancel()
    await asyncio.wait([broken])
    await database.hot.execute("UPDATE upload_jobs SET failures = 100")
    clock.pass_by(FIRST_PAUSE)
    await worker.process(event)
    assert (await read_item(client, gallery, media_id))["status"] == "ready"
    await worker.processor.process(replace(event, value=b"{"))
    assert [type(error).__name__ for _, error in dead_letters.letters] == ["MalformedEvent"]


async def test_no_more_items_are_worked_on_at_once_than_set(
    client: Client,
    make_gallery: Callable[..., Gallery],
    deps: Dependencies,
    dead_letters: RecordingDeadLetters,
    record: Any,
    published: Publications,
) -> None:
    """Two, and a third for a gallery without an item in processing."""
    crowded, other = make_gallery(), make_gallery()
    for _ in range(6):
        await client.upload(crowded, SMALL)
    await client.upload(other, SMALL)
    busy, most = 0, 0
    side_by_side = asyncio.Event()

    async def count() -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        if busy == 3:
            side_by_side.set()
        await asyncio.wait_for(side_by_side.wait(), 20)
        await asyncio.sleep(0.01)
        busy -= 1

    worker = Worker(deps, build_worker(deps, Interrupted(count), concurrency=2), dead_letters)
    *queued, last = await published("UploadCompleted")
    for event in queued:
        await worker.processor.process(redelivered(event))
    await worker.process(redelivered(last))
    assert most == 3
    assert len(await published("MediaReady")) == 7


async def test_an_event_of_an_upload_nobody_knows_is_only_purged(
    worker: Worker, record: Any, clock: Clock, published: Publications, dead_letters: RecordingDeadLetters
) -> None:
    media_id, gallery_id = new_id(), new_id()
    event = UploadCompleted(
        media_id=media_id,
        gallery_id=gallery_id,
        upload_id=new_id(),
        object_key=original_key(gallery_id, media_id),
        content_type="image/jpeg",
        size_bytes=1,
        completed_at=clock(),
    )
    await worker.process(record(event))
    assert [e.topic for e in await published()] == ["MediaDeleted"]
    assert dead_letters.letters == []
