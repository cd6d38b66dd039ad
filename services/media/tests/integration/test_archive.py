"""A gallery as one ZIP: its bytes, its conditions, its resumption, and everything that can end it early."""

from __future__ import annotations

import asyncio
import io
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.http.server import HttpServer
from kappi_chassis.storage import ObjectStore, StorageUnavailable
from kappi_chassis.testing.background import Background
from kappi_chassis.testing.eventually import eventually
from kappi_chassis.testing.local_store import ServedLocalStore
from kappi_chassis.testing.s3_server import S3Server
from kappi_contracts.events import GalleryDeleted
from kappi_contracts.grants import GRANT_HEADER
from kappi_contracts.keys import original_key
from kappi_media.archive import reading
from kappi_media.main import Ground, build_app, build_archives, build_copies
from kappi_media.settings import MediaSettings
from kappi_media.testing.harness import Answer, Gallery, Http, Teller
from kappi_media.testing.troubled_store import TroubledStore
from kappi_media.use_cases.archive import Archives
from kappi_media.use_cases.renditions import MakeRendition

pytestmark = pytest.mark.integration

WINDOW = 1 << 18
"""Small, so that files of some hundred kilobytes are large ones."""
BIG = 900_000


@pytest.fixture(params=["local", "s3"])
async def any_store(
    request: pytest.FixtureRequest, served_store: ServedLocalStore
) -> AsyncIterator[TroubledStore]:
    """Every kind of store there is here."""
    if request.param == "local":
        yield TroubledStore(served_store.store)
        return
    server: S3Server = request.getfixturevalue("s3_server")
    store = server.store(server.create_bucket())
    yield TroubledStore(store)
    await store.close()


@pytest.fixture
async def make_app(
    ground: Ground, make_settings: Callable[..., MediaSettings], make_rendition: MakeRendition
) -> AsyncIterator[Callable[..., Any]]:
    """`make_app(store, archives_at_once=…)`: the service with archives out of that store."""
    made: list[Archives] = []
    copies = build_copies(ground)

    def make(store: ObjectStore, **changed: Any) -> Any:
        settings = make_settings(**{"archive_window_bytes": WINDOW, **changed})
        made.append(build_archives(ground, settings, copies, store=store))
        return build_app(ground, settings, make_rendition, archives=made[-1], copies=copies)

    yield make
    for archives in made:
        await archives.close()
    await copies.close()


class Shelf:
    """Puts ready items into a gallery, as uploads and the worker would have."""

    def __init__(self, database: Database, store: ObjectStore, gallery: Gallery) -> None:
        self._database = database
        self._store = store
        self._gallery = gallery

    async def add(self, filename: str, body: bytes, *, status: str = "ready", **columns: Any) -> UUID:
        media_id = new_id()
        key = original_key(self._gallery.id, media_id)
        head = await self._store.put(key, body, content_type="image/jpeg")
        await self._database.hot.execute(
            "INSERT INTO contents (gallery_id, version, item_count) VALUES ($1, 1, 1) "
            "ON CONFLICT (gallery_id) DO UPDATE SET version = contents.version + 1, "
            "item_count = contents.item_count + 1",
            self._gallery.id,
        )
        values = {
            "id": media_id,
            "gallery_id": self._gallery.id,
            "upload_id": media_id,
            "filename": filename,
            "content_type": "image/jpeg",
            "kind": "image",
            "width": 1,
            "height": 1,
            "status": status,
            "size_bytes": len(body),
            "etag": head.etag,
            "created_at": datetime(2026, 5, 6, 7, 8, 10, tzinfo=UTC),
            **columns,
        }
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self._database.hot.execute(
            f"INSERT INTO items ({', '.join(values)}) VALUES ({places})",
            *values.values(),
        )
        return media_id

    async def crcs(self) -> list[int | None]:
        """As the database has them, in order."""
        rows = await self._database.hot.fetch(
            "SELECT crc32 FROM items WHERE gallery_id = $1 ORDER BY id", self._gallery.id
        )
        return [row["crc32"] for row in rows]


def noise(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


FILES = {
    "first.jpg": noise(40_000, 1),
    "big.mp4": noise(BIG, 2),
    "IMG.JPG": b"x",
    "img.jpg": noise(5_000, 3),
    "夏 été.heic": noise(WINDOW, 4),
    "last.mp4": noise(BIG + 17, 5),
}
NAMES = ["first.jpg", "big.mp4", "IMG.JPG", "img (2).jpg", "夏 été.heic", "last.mp4"]


@pytest.fixture
async def shelf(database: Database, any_store: TroubledStore, gallery: Gallery) -> Shelf:
    return Shelf(database, any_store, gallery)


@pytest.fixture
async def local_shelf(database: Database, store: TroubledStore, gallery: Gallery) -> Shelf:
    return Shelf(database, store, gallery)


async def fill(shelf: Shelf) -> None:
    for filename, body in FILES.items():
        await shelf.add(filename, body)


async def archive(app: Any, gallery: Gallery, method: str = "GET", **headers: str) -> Answer:
    """Header names with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/v1/g/{gallery.public.code}/archive"
    return await Http(app)(method, path, grant=gallery.grant("view"), headers=named)


def contents(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert opened.testzip() is None
        return {info.filename: opened.read(info) for info in opened.infolist()}


async def test_the_whole_gallery(
    make_app: Callable[..., Any], any_store: TroubledStore, shelf: Shelf, gallery: Gallery
) -> None:
    await fill(shelf)

    answer = await archive(make_app(any_store), gallery)

    assert answer.status == 200
    assert contents(answer.body) == dict(zip(NAMES, FILES.values(), strict=True))
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["content-disposition"] == 'attachment; filename="Alps.zip"'


@pytest.mark.parametrize("counted", [False, True])
async def test_any_rest_completes_any_beginning(
    make_app: Callable[..., Any],
    any_store: TroubledStore,
    shelf: Shelf,
    gallery: Gallery,
    database: Database,
    *,
    counted: bool,
) -> None:
    await fill(shelf)
    whole = await archive(make_app(any_store), gallery)
    size, etag = len(whole.body), whole.headers["etag"]
    places = [1, 30, 40_000, 40_070, 500_000, 941_000, size - 800, size - 22, size - 1]

    for place in places:
        if not counted:
            await database.hot.execute("UPDATE items SET crc32 = NULL")
        # Another process each time: nothing is remembered but what is in the database.
        app = make_app(any_store)
        rest = await archive(app, gallery, range=f"bytes={place}-", if_range=etag)

        assert rest.status == 206
        assert rest.headers["etag"] == etag
        assert rest.headers["content-range"] == f"bytes {place}-{size - 1}/{size}"
        assert rest.headers["content-length"] == str(size - place)
        assert whole.body[:place] + rest.body == whole.body


async def test_parts_of_it(
    make_app: Callable[..., Any], store: TroubledStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await fill(local_shelf)
    app = make_app(store)
    whole = (await archive(app, gallery)).body

    for asked, part in {
        "bytes=0-0": whole[:1],
        "bytes=10-99": whole[10:100],
        "bytes=-100": whole[-100:],
        f"bytes=50000-{10**12}": whole[50_000:],
    }.items():
        answer = await archive(app, gallery, range=asked)
        assert (answer.status, answer.body) == (206, part)
    # What is no single range is none.
    for asked in ("bytes=0-1,5-6", "bytes=9-3", "pages=1-2", "bytes=-"):
        answer = await archive(app, gallery, range=asked)
        assert (answer.status, answer.body) == (200, whole)


async def test_a_range_beyond_the_end(
    make_app: Callable[..., Any], store: TroubledStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await local_shelf.add("a.jpg", b"abc")
    app = make_app(store)
    size = int((await archive(app, gallery, "HEAD")).headers["content-length"])

    answer = await archive(app, gallery, range=f"bytes={size}-")

    assert (answer.status, answer.code) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{size}"


async def test_head_tells_the_length_and_reads_nothing(
    make_app: Callable[..., Any], store: TroubledStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await fill(local_shelf)
    app = make_app(store, archives_at_once=1)

    told = await archive(app, gallery, "HEAD", range="bytes=5-")

    assert (told.status, told.body, store.reads) == (200, b"", 0)
    assert told.headers["content-length"] == str(len((await archive(app, gallery)).body))


async def test_conditions(
    make_app: Callable[..., Any], store: TroubledStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await local_shelf.add("a.jpg", b"abc")
    app = make_app(store)
    etag = (await archive(app, gallery, "HEAD")).headers["etag"]

    same = await archive(app, gallery, if_none_match=f'"x", W/{etag}')
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
    assert "content-length" not in same.headers
    assert (await archive(app, gallery, if_match=etag)).status == 200
    other = await archive(app, gallery, if_match='"x"')
    assert (other.status, other.code, other.headers["etag"]) == (412, "archive_changed", etag)
    for stale in ('"x"', f"W/{etag}", "Fri, 20 Nov 2026 10:00:00 GMT"):
        assert (await archive(app, gallery, range="bytes=1-", if_range=stale)).status == 200


async def test_a_gallery_that_changed_begins_anew(
    make_app: Callable[..., Any],
    store: TroubledStore,
    local_shelf: Shelf,
    gallery: Gallery,
    database: Database,
) -> None:
    first = await local_shelf.add("a.jpg", b"abc")
    app = make_app(store)
    before = await archive(app, gallery)

    await database.hot.execute("UPDATE items SET caption = 'new', version = version + 1 WHERE id = $1", first)
    unchanged = await archive(app, gallery, range="bytes=5-", if_range=before.headers["etag"])
    assert unchanged.status == 206
    await local_shelf.add("b.jpg", b"def")
    changed = await archive(app, gallery, range="bytes=5-", if_range=before.headers["etag"])

    assert changed.status == 200
    assert changed.headers["etag"] != before.headers["etag"]
    assert list(contents(changed.body)) == ["a.jpg", "b.jpg"]


async def test_times_are_those_of_the_shot(
    make_app: Callable[..., Any], store: TroubledStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    taken = datetime(2025, 8, 9, 22, 30, 40, tzinfo=UTC)
    await local_shelf.add("zone.jpg", b"a", taken_at=taken, taken_offset_minutes=540)
    await local_shelf.add("clock.jpg", b"b", taken_at=taken)
    await local_shelf.add("none.jpg", b"c")

    packed = await archive(make_app(store), gallery)

    with zipfile.ZipFile(io.BytesIO(packed.body)) as opened:
        zone, clock, none = opened.infolist()
    assert zone.date_time == (2025, 8, 10, 7, 30, 40)
    assert int(taken.timestamp()).to_bytes(4, "little") in zone.extra
    assert (clock.date_time, clock.extra) == ((2025, 8, 9, 22, 30, 40), b"")
    assert none.date_time == (2026, 5, 6, 7, 8, 10)


async def test_only_what_is_ready(
    make_app: Callable[..., Any], store: TroubledStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await local_shelf.add("ready.jpg", b"a")
    await local_shelf.add("processing.jpg", b"b", status="processing")
    await local_shelf.add("rejected.jpg", b"c", status="rejected")

    assert list(contents((await archive(make_app(store), gallery)).body)) == ["ready.jpg"]


class TestWhoMayNot:
    async def test_without_a_grant(
        self, make_app: Callable[..., Any], store: TroubledStore, gallery: Gallery
    ) -> None:
        answer = await Http(make_app(store))("GET", f"/v1/g/{gallery.public.code}/archive")
        assert (answer.status, answer.code) == (401, "credentials_missing")

    async def test_by_the_code_of_another(
        self, make_app: Callable[..., Any], store: TroubledStore, gallery: Gallery
    ) -> None:
        answer = await Http(make_app(store))("GET", "/v1/g/zzzz/archive", grant=gallery.grant("view"))
        assert (answer.status, answer.code) == (404, "gallery_not_found")

    async def test_of_a_tier_without_originals(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        database: Database,
        make_gallery: Callable[..., Gallery],
    ) -> None:
        gallery = make_gallery(owner_id=new_id(), expires_at=None)
        await Shelf(database, store, gallery).add("a.jpg", b"a")
        for method in ("GET", "HEAD"):
            answer = await archive(make_app(store), gallery, method)
            assert (answer.status, answer.code) == (403, "original_not_in_tier")

    async def test_of_a_deleted_gallery(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
        tell: Teller,
    ) -> None:
        await local_shelf.add("a.jpg", b"a")
        gone = GalleryDeleted(
            gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=datetime.now(UTC)
        )
        await tell(gone)
        answer = await archive(make_app(store), gallery)
        assert (answer.status, answer.code) == (404, "gallery_not_found")

    async def test_an_empty_gallery_has_none(
        self, make_app: Callable[..., Any], store: TroubledStore, local_shelf: Shelf, gallery: Gallery
    ) -> None:
        app = make_app(store)
        assert (await archive(app, gallery)).code == "archive_empty"
        await local_shelf.add("a.jpg", b"a", status="processing")
        answer = await archive(app, gallery)
        assert (answer.status, answer.code) == (409, "archive_empty")


class TestChecksums:
    async def test_are_kept_without_anyone_seeing_a_change(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
        database: Database,
    ) -> None:
        await fill(local_shelf)
        versions = "SELECT version, (SELECT sum(version) FROM items) FROM contents WHERE gallery_id = $1"
        before = await database.hot.fetchrow(versions, gallery.id)

        await archive(make_app(store), gallery)

        async def all_kept() -> None:
            assert await local_shelf.crcs() == [zlib.crc32(body) for body in FILES.values()]

        await eventually(all_kept)
        assert await database.hot.fetchrow(versions, gallery.id) == before

    async def test_cost_reading_large_files_once_more_the_first_time_only(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        await fill(local_shelf)
        app = make_app(store)
        block = WINDOW // reading.READS_AHEAD
        once = sum(-(-len(body) // block) for body in FILES.values())
        large = sum(-(-len(body) // block) for body in FILES.values() if len(body) > WINDOW)

        first = await archive(app, gallery)
        assert store.reads == once + large
        second = await archive(app, gallery)
        assert store.reads == 2 * once + large
        assert first.body == second.body

    async def test_of_files_before_a_range_are_found_out(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        """Somebody resumes what another process began, and nothing was kept of it."""
        await fill(local_shelf)
        size = int((await archive(make_app(store), gallery, "HEAD")).headers["content-length"])

        rest = await archive(make_app(store), gallery, range=f"bytes={size - 700}-")

        whole = await archive(make_app(store), gallery)
        assert rest.body == whole.body[-700:]

    async def test_a_count_that_is_given_up_is_gone_on_with(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(reading, "_PAUSE_S", 0)
        await local_shelf.add("big.mp4", noise(BIG))
        app = make_app(store)
        blocks = -(-BIG // (WINDOW // reading.READS_AHEAD))
        inner = store.read

        async def read(key: str, *, start: int = 0, length: int) -> Any:
            if start > BIG // 2:
                raise StorageUnavailable("down for a test")
            return await inner(key, start=start, length=length)

        with monkeypatch.context() as trouble:
            trouble.setattr(store, "read", read)
            with pytest.raises(StorageUnavailable):
                await archive(app, gallery)
        store.reads = 0

        assert contents((await archive(app, gallery)).body) == {"big.mp4": noise(BIG)}
        assert store.reads < blocks + blocks * 0.7

    async def test_that_cannot_be_kept_hold_nobody_up(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        await fill(local_shelf)
        refused = asyncio.Event()

        async def away(*_: object) -> None:
            refused.set()
            raise ConnectionRefusedError

        monkeypatch.setattr("kappi_media.repository.archive.ArchiveQueries.save", away)
        app = make_app(store)

        assert contents((await archive(app, gallery)).body)["first.jpg"] == FILES["first.jpg"]
        async with asyncio.timeout(10):
            await refused.wait()
        assert (await archive(app, gallery, range="bytes=-700")).status == 206


@asynccontextmanager
async def serving(
    app: Any, *, drain_timeout: timedelta = timedelta(seconds=20)
) -> AsyncIterator[tuple[str, HttpServer]]:
    """The app on a port of its own: what a cut looks like only a connection shows."""
    port = free_port()
    server = HttpServer(app, host="127.0.0.1", port=port, drain_timeout=drain_timeout)
    async with Background() as background:
        background.start(server.serve())
        yield f"http://127.0.0.1:{port}", server


@asynccontextmanager
async def asking(url: str, gallery: Gallery) -> AsyncIterator[aiohttp.ClientResponse]:
    """A client that has seen the head of the answer and little of its body."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def reached() -> aiohttp.ClientResponse:
            return await session.get(
                f"{url}/v1/g/{gallery.public.code}/archive", headers={GRANT_HEADER: gallery.grant("view")}
            )

        async with asyncio.timeout(10):
            while True:
                try:
                    response = await reached()
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.01)  # it is still starting
        async with response:
            yield response


def archive_tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("archive")]


async def nothing_runs() -> None:
    assert archive_tasks() == []


class TestEnds:
    """However an archive ends early: the client can tell, and nothing stays."""

    async def test_an_object_that_is_gone_cuts_the_connection(
        self,
        make_app: Callable[..., Any],
        any_store: TroubledStore,
        shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        await fill(shelf)
        gone = await shelf.add("gone.jpg", b"gone")
        await any_store.delete_batch([original_key(gallery.id, gone)])

        async with serving(make_app(any_store)) as (url, _), asking(url, gallery) as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
            await eventually(nothing_runs)

    async def test_another_object_than_expected_cuts_the_connection(
        self,
        make_app: Callable[..., Any],
        any_store: TroubledStore,
        shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        await shelf.add("a.jpg", b"a")
        swapped = await shelf.add("b.jpg", b"before")
        await any_store.put(original_key(gallery.id, swapped), b"after!", content_type="image/jpeg")

        async with serving(make_app(any_store)) as (url, _), asking(url, gallery) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()

    async def test_a_store_that_fails_cuts_the_connection(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(reading, "_PAUSE_S", 0)
        await fill(local_shelf)
        for number in range(20):
            await local_shelf.add(f"{number}.mp4", noise(BIG, number))

        async with serving(make_app(store)) as (url, _), asking(url, gallery) as response:
            await response.content.readexactly(100_000)
            store.down = True
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
            await eventually(nothing_runs)

    async def test_a_store_that_fails_for_a_moment_does_not(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(reading, "_PAUSE_S", 0)
        await fill(local_shelf)
        inner, failed = store.read, set()

        async def read(key: str, *, start: int = 0, length: int) -> Any:
            if (key, start) not in failed:
                failed.add((key, start))
                raise StorageUnavailable("hiccup")
            return await inner(key, start=start, length=length)

        monkeypatch.setattr(store, "read", read)

        assert list(contents((await archive(make_app(store), gallery)).body)) == NAMES

    async def test_a_client_that_leaves_frees_everything_at_once(
        self,
        make_app: Callable[..., Any],
        any_store: TroubledStore,
        shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        for number in range(20):
            await shelf.add(f"{number}.mp4", noise(BIG, number))
        app = make_app(any_store, archives_at_once=1)

        async with serving(app) as (url, _):
            async with asking(url, gallery) as response:
                await response.content.readexactly(1)
                assert archive_tasks()
                assert (await archive(app, gallery)).code == "archive_busy"
            await eventually(nothing_runs)
            reads = any_store.reads
            assert reads < 20 * BIG / (WINDOW // reading.READS_AHEAD) / 2
            # Its place is free again, and nobody reads on for it.
            assert (await archive(app, gallery, "HEAD")).status == 200
            assert any_store.reads == reads
            assert len(contents((await archive(app, gallery)).body)) == 20

    async def test_a_client_that_does_not_read_has_nothing_read_for_it(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        for number in range(30):
            await local_shelf.add(f"{number}.mp4", noise(BIG, number))

        async with serving(make_app(store)) as (url, _), asking(url, gallery) as response:
            seen = -1
            while seen != store.reads:  # until it has stopped by itself
                seen = store.reads
                await asyncio.sleep(0.3)
            # Sockets hold some megabytes. All of it, with the checksums of large files, is twice as much.
            assert seen * (WINDOW // reading.READS_AHEAD) < 30 * BIG
            assert len(contents(await response.read())) == 30

    async def test_a_service_that_drains_cuts_what_takes_too_long(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        for number in range(30):
            await local_shelf.add(f"{number}.mp4", noise(BIG, number))
        app = make_app(store)

        async with (
            serving(app, drain_timeout=timedelta(seconds=1)) as (url, server),
            asking(url, gallery) as response,
        ):
            head = await response.content.readexactly(50_000)
            etag = response.headers["etag"]
            server.stop()
            await eventually(nothing_runs)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()

        rest = await archive(app, gallery, range="bytes=50000-", if_range=etag)
        assert len(contents(head + rest.body)) == 30

    async def test_more_than_the_service_takes_come_again_later(
        self,
        make_app: Callable[..., Any],
        store: TroubledStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        for number in range(30):
            await local_shelf.add(f"{number}.mp4", noise(BIG, number))
        app = make_app(store, archives_at_once=2)

        async with serving(app) as (url, _), asking(url, gallery), asking(url, gallery):
            answer = await archive(app, gallery)
            assert (answer.status, answer.code) == (503, "archive_busy")
            assert answer.headers["retry-after"] == "5"
            assert (await archive(app, gallery, "HEAD")).status == 200
