"""A gallery as one ZIP: its bytes, its conditions, its refusals."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import AccountCreated, GalleryDeleted
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.archives import FILES, NAMES, Shelf, archive, contents, fill
from kappi_testkit.media.harness import Clock, Gallery, Http, Teller

pytestmark = pytest.mark.integration


async def test_the_whole_gallery(
    make_app: Callable[..., Any], any_store: FaultyStore, shelf: Shelf, gallery: Gallery
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
    any_store: FaultyStore,
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
        # A new process each time: only the database keeps anything.
        app = make_app(any_store)
        rest = await archive(app, gallery, range=f"bytes={place}-", if_range=etag)

        assert rest.status == 206
        assert rest.headers["etag"] == etag
        assert rest.headers["content-range"] == f"bytes {place}-{size - 1}/{size}"
        assert rest.headers["content-length"] == str(size - place)
        assert whole.body[:place] + rest.body == whole.body


async def test_parts_of_it(
    make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
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
    # Anything but a single range is ignored.
    for asked in ("bytes=0-1,5-6", "bytes=9-3", "pages=1-2", "bytes=-"):
        answer = await archive(app, gallery, range=asked)
        assert (answer.status, answer.body) == (200, whole)


async def test_a_range_beyond_the_end(
    make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await local_shelf.add("a.jpg", b"abc")
    app = make_app(store)
    size = int((await archive(app, gallery, "HEAD")).headers["content-length"])

    answer = await archive(app, gallery, range=f"bytes={size}-")

    assert (answer.status, answer.code) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{size}"


async def test_head_tells_the_length_and_reads_nothing(
    make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await fill(local_shelf)
    app = make_app(store, archives_at_once=1)

    told = await archive(app, gallery, "HEAD", range="bytes=5-")

    assert (told.status, told.body, store.reads) == (200, b"", 0)
    assert told.headers["content-length"] == str(len((await archive(app, gallery)).body))


async def test_conditions(
    make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
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
    store: FaultyStore,
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
    make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
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
    make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await local_shelf.add("ready.jpg", b"a")
    await local_shelf.add("processing.jpg", b"b", status="processing")
    await local_shelf.add("rejected.jpg", b"c", status="rejected")

    assert list(contents((await archive(make_app(store), gallery)).body)) == ["ready.jpg"]


class TestWhoMayNot:
    async def test_without_a_grant(
        self, make_app: Callable[..., Any], store: FaultyStore, gallery: Gallery
    ) -> None:
        answer = await Http(make_app(store))("GET", f"/v1/g/{gallery.public.code}/archive")
        assert (answer.status, answer.code) == (401, "credentials_missing")

    async def test_by_the_code_of_another(
        self, make_app: Callable[..., Any], store: FaultyStore, gallery: Gallery
    ) -> None:
        answer = await Http(make_app(store))("GET", "/v1/g/zzzz/archive", grant=gallery.grant("view"))
        assert (answer.status, answer.code) == (404, "gallery_not_found")

    async def test_of_a_tier_without_originals(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        database: Database,
        make_gallery: Callable[..., Gallery],
        tell: Teller,
        clock: Clock,
    ) -> None:
        owner_id = new_id()
        await tell(AccountCreated(account_id=owner_id, tier="Basic", created_at=clock()))
        gallery = make_gallery(owner_id=owner_id, expires_at=None)
        await Shelf(database, store, gallery).add("a.jpg", b"a")
        for method in ("GET", "HEAD"):
            answer = await archive(make_app(store), gallery, method)
            assert (answer.status, answer.code) == (403, "original_not_in_tier")

    async def test_of_a_deleted_gallery(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
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
        self, make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
    ) -> None:
        app = make_app(store)
        assert (await archive(app, gallery)).code == "archive_empty"
        await local_shelf.add("a.jpg", b"a", status="processing")
        answer = await archive(app, gallery)
        assert (answer.status, answer.code) == (409, "archive_empty")
