"""Facts in tags of the originals: shown before the worker has processed them, written afterwards."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.bus import Processor
from kappi_chassis.clock import utc_now
from kappi_chassis.db import Database
from kappi_chassis.storage import StorageRefused, StorageUnavailable
from kappi_contracts.events import JanitorTick
from kappi_contracts.keys import original_key
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_facts, build_worker, tick_steps
from kappi_media.consumers import GROUP, handlers
from kappi_media.domain.media import MediaId
from kappi_media.domain.object_tags import TaggedFacts, tags_of
from kappi_media.rendering.renderer import Renderer
from kappi_media.repository.tags import TagQueries
from kappi_media.settings import MediaSettings
from kappi_media.tagging import fill, write
from kappi_media.use_cases.facts_from_tags import FactsFromTags, FactsOnRead
from kappi_media.use_cases.renditions import MakeRendition
from kappi_media.use_cases.tag_originals import TagOriginal
from kappi_testkit.events import RecordingDeadLetters
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Http,
    Published,
    Worker,
    redelivered,
)
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.servers.local_store import ServedLocalStore

JPEG = encode(quadrants(64, 48), "JPEG")
PHOTO = TaggedFacts("image", 4032, 3024)

Publications = Callable[..., Awaitable[list[Published]]]


class SlowStore(FaultyStore):
    """A store whose tags can be delayed, and are counted. refused: keys whose tags it refuses."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.looks = 0
        self.refused: set[str] = set()
        self.open = asyncio.Event()
        self.open.set()

    async def tags(self, key: str) -> dict[str, str]:
        self.looks += 1
        await self.open.wait()
        if key in self.refused:
            raise StorageRefused("S3 refused the request: MethodNotAllowed (405)")
        return await super().tags(key)


@pytest.fixture
def store(served_store: Any) -> SlowStore:
    return SlowStore(served_store.store)


@pytest.fixture
def facts(deps: Dependencies, make_settings: Callable[..., MediaSettings]) -> FactsFromTags:
    return build_facts(deps, make_settings())


@pytest.fixture
async def on_read(facts: FactsFromTags) -> AsyncIterator[FactsOnRead]:
    """Waits long enough for a busy machine."""
    on_read = FactsOnRead(facts, timeout=timedelta(seconds=30))
    yield on_read
    await on_read.close()


@pytest.fixture
def http(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    make_rendition: MakeRendition,
    on_read: FactsOnRead,
) -> Http:
    return Http(build_app(deps, make_settings(), make_rendition, on_read))


def key_of(gallery: Gallery, item: Mapping[str, Any]) -> str:
    return original_key(gallery.id, UUID(item["id"]))


def seen(item: Mapping[str, Any]) -> tuple[Any, ...]:
    return (item["kind"], item["status"], item["width"], item["height"], item.get("duration_ms"))


async def test_a_page_shows_what_the_tags_say_on_its_first_read(
    client: Client, gallery: Gallery, store: SlowStore, published: Publications
) -> None:
    item = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, item), tags_of(PHOTO) | {"team": "travel"})
    (shown,) = (await client.view(gallery)).json["items"]
    assert seen(shown) == ("image", "processing", 4032, 3024, None)
    # Nothing is published, because only the worker's result counts.
    assert [event.topic for event in await published()] == ["UploadCompleted"]


async def test_an_item_shows_what_the_tags_say_on_its_first_read(
    client: Client, gallery: Gallery, http: Http, store: SlowStore
) -> None:
    item = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, item), tags_of(PHOTO))
    answer = await http("GET", f"/v1/media/{item['id']}", grant=gallery.grant("view"))
    assert seen(answer.json) == ("image", "processing", 4032, 3024, None)


async def test_who_has_an_older_page_sees_that_it_changed(
    client: Client, gallery: Gallery, store: SlowStore, database: Database, facts: FactsFromTags
) -> None:
    item = await client.upload(gallery, JPEG)
    before = await client.view(gallery)
    assert (await client.view(gallery, if_none_match=before.headers["etag"])).status == 304
    await store.set_tags(key_of(gallery, item), tags_of(PHOTO))
    await database.hot.execute("UPDATE items SET tags_missed_at = NULL")
    assert await facts.fill([MediaId(UUID(item["id"]))]) == {UUID(item["id"])}
    after = await client.view(gallery, if_none_match=before.headers["etag"])
    assert after.status == 200
    assert seen(after.json["items"][0]) == ("image", "processing", 4032, 3024, None)


async def test_the_worker_has_the_last_word(
    client: Client,
    gallery: Gallery,
    store: SlowStore,
    worker: Worker,
    dead_letters: RecordingDeadLetters,
    published: Publications,
) -> None:
    item = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, item), tags_of(PHOTO))
    assert (await client.view(gallery)).json["items"][0]["width"] == 4032
    (completed,) = await published("UploadCompleted")
    await worker.process(redelivered(completed))
    assert dead_letters.letters == []
    (shown,) = (await client.view(gallery)).json["items"]
    assert seen(shown) == ("image", "ready", 64, 48, None)
    (ready,) = await published("MediaReady")
    assert (ready.sequence, ready.data["width"]) == (3, 64), "the filling was the item's second change"


async def test_what_the_worker_found_is_not_looked_for(
    client: Client, gallery: Gallery, store: SlowStore, worker: Worker, published: Publications
) -> None:
    item = await client.upload(gallery, JPEG)
    (completed,) = await published("UploadCompleted")
    await worker.process(redelivered(completed))
    await store.set_tags(key_of(gallery, item), tags_of(PHOTO))
    (shown,) = (await client.view(gallery)).json["items"]
    assert seen(shown) == ("image", "ready", 64, 48, None)
    assert store.looks == 0


async def test_a_look_begun_before_the_worker_was_done_changes_nothing_after_it(
    client: Client,
    gallery: Gallery,
    store: SlowStore,
    worker: Worker,
    published: Publications,
    facts: FactsFromTags,
) -> None:
    item = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, item), tags_of(PHOTO))
    store.open.clear()
    looking = asyncio.create_task(facts.fill([MediaId(UUID(item["id"]))]))
    await eventually(lambda: _looked(store, 1))
    (completed,) = await published("UploadCompleted")
    await worker.process(redelivered(completed))
    store.open.set()
    assert await looking == set()
    (shown,) = (await client.view(gallery)).json["items"]
    assert seen(shown) == ("image", "ready", 64, 48, None)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"team": "travel"},
        tags_of(PHOTO) | {"kappi-width": "0"},
        tags_of(PHOTO) | {"kappi-kind": "script"},
        tags_of(TaggedFacts("video", 1920, 1080, 5)),  # the bytes are a picture's
    ],
)
async def test_what_cannot_be_believed_is_not_shown(
    client: Client, gallery: Gallery, store: SlowStore, database: Database, tags: dict[str, str]
) -> None:
    item = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, item), tags)
    (shown,) = (await client.view(gallery)).json["items"]
    assert seen(shown) == ("image", "processing", None, None, None)
    assert tuple(await database.hot.fetchrow("SELECT version, tags_missed_at IS NULL FROM items")) == (
        1,
        False,
    )


async def test_a_films_duration_is_shown(
    client: Client, gallery: Gallery, store: SlowStore, database: Database
) -> None:
    item = await client.upload(gallery, JPEG)
    await database.hot.execute("UPDATE items SET kind = NULL")
    await store.set_tags(key_of(gallery, item), tags_of(TaggedFacts("video", 1920, 1080, 61_500)))
    (shown,) = (await client.view(gallery)).json["items"]
    assert seen(shown) == ("video", "processing", 1920, 1080, 61_500)


async def test_the_store_is_asked_once_however_many_read(
    client: Client, gallery: Gallery, store: SlowStore, database: Database
) -> None:
    items = [await client.upload(gallery, JPEG) for _ in range(3)]
    pages = await asyncio.gather(*(client.view(gallery, f"limit={number}") for number in range(1, 20)))
    assert {page.status for page in pages} == {200}
    assert store.looks == 3
    # Each change of the gallery builds its page again.
    for number in range(3):
        await client.http(
            "PATCH", f"/v1/media/{items[0]['id']}", grant=gallery.grant(), body={"caption": str(number)}
        )
        await client.view(gallery)
    assert store.looks == 3


async def test_replicas_share_a_look_that_found_nothing_until_it_is_old(
    client: Client, gallery: Gallery, store: SlowStore, deps: Dependencies, clock: Clock
) -> None:
    item = await client.upload(gallery, JPEG)
    replicas = [
        FactsFromTags(TagQueries(deps.database), store=store, clock=clock, retry_after=timedelta(hours=1))
        for _ in range(5)
    ]
    id_ = MediaId(UUID(item["id"]))
    assert await asyncio.gather(*(replica.fill([id_]) for replica in replicas)) == [set()] * 5
    assert store.looks == 1
    clock.pass_by(timedelta(minutes=59))
    assert await replicas[0].fill([id_]) == set()
    assert store.looks == 1
    await store.set_tags(key_of(gallery, item), tags_of(PHOTO))
    clock.pass_by(timedelta(minutes=2))
    assert await replicas[0].fill([id_]) == {id_}


async def test_a_reader_does_not_wait_for_a_slow_store(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    make_rendition: MakeRendition,
    facts: FactsFromTags,
    gallery: Gallery,
    store: SlowStore,
) -> None:
    hasty = FactsOnRead(facts, timeout=timedelta(milliseconds=20))
    client = Client(Http(build_app(deps, make_settings(), make_rendition, hasty)))
    item = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, item), tags_of(PHOTO))
    store.open.clear()
    async with asyncio.timeout(10):
        (shown,) = (await client.view(gallery)).json["items"]
    assert seen(shown) == ("image", "processing", None, None, None)
    store.open.set()

    # The look-up continues by itself, and the next reader gets its result.
    async def filled() -> None:
        (shown,) = (await client.view(gallery)).json["items"]
        assert seen(shown) == ("image", "processing", 4032, 3024, None)

    await eventually(filled)
    store.open.clear()
    await client.upload(gallery, JPEG)
    await client.view(gallery)

    def looking() -> None:
        assert store.looks == 2

    await eventually(looking)
    await hasty.close()
    assert store.looks == 2


async def test_a_store_that_is_away_harms_no_reader(
    client: Client, gallery: Gallery, store: SlowStore, clock: Clock
) -> None:
    await client.upload(gallery, JPEG)
    store.down = True
    page = await client.view(gallery)
    assert page.status == 200
    assert seen(page.json["items"][0]) == ("image", "processing", None, None, None)


async def test_a_look_that_is_refused_keeps_no_other_from_its_facts(
    client: Client, gallery: Gallery, store: SlowStore, facts: FactsFromTags
) -> None:
    items = [await client.upload(gallery, JPEG) for _ in range(3)]
    for item in items:
        await store.set_tags(key_of(gallery, item), tags_of(PHOTO))
    store.refused.add(key_of(gallery, items[1]))

    filled = await facts.fill([MediaId(UUID(item["id"])) for item in items])

    assert filled == {UUID(items[0]["id"]), UUID(items[2]["id"])}


async def test_a_tick_fills_what_nobody_read(
    client: Client,
    gallery: Gallery,
    make_gallery: Callable[..., Gallery],
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    dead_letters: RecordingDeadLetters,
    record: Any,
    clock: Clock,
    store: SlowStore,
    database: Database,
) -> None:
    other = make_gallery(code="zzzz")
    for home in (gallery, other):
        for _ in range(3):
            item = await client.upload(home, JPEG)
            await store.set_tags(key_of(home, item), tags_of(PHOTO))
    known = handlers(deps.outbox, on_tick_first=tick_steps(deps, make_settings()))
    processor = Processor(group=GROUP, handlers=known, dead_letters=dead_letters, clock=deps.clock)
    await processor.process(
        record(JanitorTick(schedule="hourly", at=clock() + timedelta(days=7, hours=7), origin="operator"))
    )
    assert store.looks == 0, "so old an item is left to the command"
    # An upload in parts may be completed days after it was reserved.
    await processor.process(
        record(JanitorTick(schedule="hourly", at=clock() + timedelta(days=6), origin="operator"))
    )
    assert dead_letters.letters == []
    assert await database.hot.fetchval("SELECT count(*) FROM items WHERE width = 4032") == 6
    rows = await database.hot.fetch("SELECT version, item_count FROM contents")
    assert [tuple(row) for row in rows] == [(4, 3), (4, 3)]


async def test_the_settings_turn_it_off(
    deps: Dependencies, make_settings: Callable[..., MediaSettings]
) -> None:
    without = tick_steps(deps, make_settings(fill_from_tags=False))
    assert len(without) == len(tick_steps(deps, make_settings())) - 1


async def test_the_command_fills_and_writes_everything(
    client: Client,
    gallery: Gallery,
    store: SlowStore,
    database: Database,
    worker: Worker,
    published: Publications,
) -> None:
    ready = await client.upload(gallery, JPEG)
    (completed,) = await published("UploadCompleted")
    await worker.process(redelivered(completed))
    waiting = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, waiting), tags_of(PHOTO))
    assert await fill(database, store, retry_after=timedelta(minutes=1), since=None) == "1 filled"
    assert await write(database, store, since=None) == "1 tagged, 0 failed"
    assert await store.tags(key_of(gallery, ready)) == tags_of(TaggedFacts("image", 64, 48))
    await store.delete_batch([key_of(gallery, ready)])
    assert await write(database, store, since=None) == "0 tagged, 1 failed"


async def test_the_command_as_an_operator_runs_it(
    client: Client, gallery: Gallery, store: SlowStore, url: str, served_store: ServedLocalStore
) -> None:
    item = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, item), tags_of(PHOTO))
    settings = {
        "KAPPI_MEDIA_DATABASE_URL": url,
        "KAPPI_MEDIA_IDEMPOTENCY_SECRET": "0123456789abcdef",
        "KAPPI_MEDIA_GRANT_JWKS_URL": "http://127.0.0.1:1/never-asked",
        **served_store.environment(),
    }

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kappi_media.tagging", *arguments]
        return await asyncio.to_thread(
            lambda: subprocess.run(
                command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
            )
        )

    tomorrow = (utc_now() + timedelta(days=1)).isoformat()
    for arguments, filled in (("fill", "--since", tomorrow), 0), (("fill",), 1), (("fill",), 0):
        done = await run(*arguments)
        assert (done.returncode, done.stdout) == (0, f"{filled} filled\n"), done.stderr
    done = await run("write")
    assert (done.returncode, done.stdout) == (0, "0 tagged, 0 failed\n"), "it is not ready"
    for wrong in (("fill", "--since", "2026-11-20"), ("fill", "--since", "yesterday"), ("look",), ()):
        assert (await run(*wrong)).returncode == 2


@pytest.fixture
def tagging_worker(deps: Dependencies, renderer: Renderer, dead_letters: RecordingDeadLetters) -> Worker:
    return Worker(deps, build_worker(deps, renderer, concurrency=4, write_tags=True), dead_letters)


async def test_the_worker_writes_what_it_found(
    client: Client,
    gallery: Gallery,
    store: SlowStore,
    tagging_worker: Worker,
    published: Publications,
) -> None:
    item = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, item), {"team": "travel"})
    (completed,) = await published("UploadCompleted")
    await tagging_worker.process(redelivered(completed))
    found = await store.tags(key_of(gallery, item))
    assert found == {"team": "travel", **tags_of(TaggedFacts("image", 64, 48))}


async def test_tags_that_cannot_be_written_keep_no_item_from_being_ready(
    client: Client,
    gallery: Gallery,
    store: SlowStore,
    tagging_worker: Worker,
    dead_letters: RecordingDeadLetters,
    published: Publications,
) -> None:
    item = await client.upload(gallery, JPEG)
    await store.set_tags(key_of(gallery, item), {f"team-{number}": "x" for number in range(8)})
    (completed,) = await published("UploadCompleted")
    await tagging_worker.process(redelivered(completed))
    assert dead_letters.letters == []
    assert len(await published("MediaReady")) == 1
    assert len(await store.tags(key_of(gallery, item))) == 8


async def test_a_store_that_stumbles_is_asked_again(
    client: Client, gallery: Gallery, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = await client.upload(gallery, JPEG)
    key, calls = key_of(gallery, item), 0
    inner = store.set_tags

    async def stumbling(key: str, tags: Mapping[str, str]) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise StorageUnavailable("not now")
        await inner(key, tags)

    monkeypatch.setattr(store, "set_tags", stumbling)
    assert await TagOriginal(store, first_pause_s=0)(key, PHOTO)
    assert await store.tags(key) == tags_of(PHOTO)
    monkeypatch.setattr(store, "down", True)
    assert not await TagOriginal(store, first_pause_s=0)(key, PHOTO)


async def _looked(store: SlowStore, times: int) -> None:
    assert store.looks == times
