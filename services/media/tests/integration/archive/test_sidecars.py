"""XMP sidecars in archives: right behind their pictures."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_media.domain.contributions import ContributorId
from kappi_media.domain.media import GalleryId
from kappi_media.repository.archive import ArchiveQueries
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.archives import BIG, Shelf, archive, contents, noise
from kappi_testkit.media.harness import Gallery

pytestmark = pytest.mark.integration

XMP = b"<x:xmpmeta/>" + noise(70_000, 9)


async def fill(shelf: Shelf) -> dict[str, bytes]:
    """Returns what an archive contains then, in order."""
    first = await shelf.add("IMG_1.CR3", noise(40_000))
    await shelf.add_sidecar(first, "IMG_1.xmp", XMP)
    await shelf.add("film.mp4", noise(BIG, 2))
    second = await shelf.add("img_1.cr3", noise(5_000, 3))
    await shelf.add_sidecar(second, "img_1.cr3.xmp", XMP[:100])
    return {
        "IMG_1.CR3": noise(40_000),
        "IMG_1.xmp": XMP,
        "film.mp4": noise(BIG, 2),
        "img_1 (2).cr3": noise(5_000, 3),
        "img_1 (2).cr3.xmp": XMP[:100],
    }


async def test_follow_their_pictures(
    make_app: Callable[..., Any], any_store: FaultyStore, shelf: Shelf, gallery: Gallery
) -> None:
    expected = await fill(shelf)

    answer = await archive(make_app(any_store), gallery)

    assert list(contents(answer.body).items()) == list(expected.items())


async def test_ranges_within_one(
    make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await fill(local_shelf)
    app = make_app(store)
    whole = (await archive(app, gallery)).body
    begin = whole.index(XMP)

    for first, last in ((begin - 20, begin + 9), (begin, begin + len(XMP) - 1), (begin + 10, begin + 80_000)):
        part = await archive(make_app(store), gallery, range=f"bytes={first}-{last}")
        assert part.body == whole[first : last + 1]


async def test_no_checksum_of_one_is_saved_as_that_of_its_picture(
    make_app: Callable[..., Any],
    store: FaultyStore,
    local_shelf: Shelf,
    gallery: Gallery,
) -> None:
    same = noise(5_000)
    await local_shelf.add_sidecar(await local_shelf.add("a.CR3", same), "a.xmp", XMP[:99])
    app = make_app(store)

    assert (await archive(app, gallery)).status == 200

    async def saved() -> None:
        assert await local_shelf.crcs() == [zlib.crc32(same)]

    await eventually(saved)
    reads = store.reads
    assert contents((await archive(app, gallery)).body) == {"a.CR3": same, "a.xmp": XMP[:99]}
    assert store.reads == reads + 2


async def test_one_that_comes_later_makes_another_archive(
    make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    media_id = await local_shelf.add("a.CR3", b"raw")
    app = make_app(store)
    before = (await archive(app, gallery)).headers["etag"]

    await local_shelf.add_sidecar(media_id, "a.xmp", XMP)
    after = await archive(app, gallery, range="bytes=5-", if_range=before)

    assert (after.status, list(contents(after.body))) == (200, ["a.CR3", "a.xmp"])
    assert after.headers["etag"] != before


async def test_none_where_places_are_hidden(
    make_app: Callable[..., Any],
    store: FaultyStore,
    local_shelf: Shelf,
    gallery: Gallery,
    database: Database,
) -> None:
    media_id = await local_shelf.add("a.CR3", b"raw")
    await local_shelf.add_sidecar(media_id, "a.xmp", XMP)
    # The picture itself tells no place, so its viewers get the original.
    await database.hot.execute(
        "INSERT INTO location_free_copies (media_id, size_bytes, etag, unchanged) "
        "SELECT id, size_bytes, etag, true FROM items"
    )

    hiding = await archive(make_app(store), gallery.changed(location_free=True))

    assert contents(hiding.body) == {"a.CR3": b"raw"}


async def test_those_of_one_contributor(
    store: FaultyStore, local_shelf: Shelf, gallery: Gallery, database: Database
) -> None:
    grace, mary = ContributorId(new_id()), ContributorId(new_id())
    for name, contributor in (("grace", grace), ("mary", mary)):
        media_id = await local_shelf.add(f"{name}.CR3", b"raw", contributor_id=contributor)
        await local_shelf.add_sidecar(media_id, f"{name}.xmp", XMP)

    files = await ArchiveQueries(database).files(GalleryId(gallery.id), grace)

    assert [file.filename for file in files] == ["grace.CR3", "grace.xmp"]


async def test_none_before_its_picture_is_ready(
    make_app: Callable[..., Any], store: FaultyStore, local_shelf: Shelf, gallery: Gallery
) -> None:
    await local_shelf.add("a.jpg", b"a")
    media_id = await local_shelf.add("b.CR3", b"raw", status="processing")
    await local_shelf.add_sidecar(media_id, "b.xmp", XMP)

    assert list(contents((await archive(make_app(store), gallery)).body)) == ["a.jpg"]
