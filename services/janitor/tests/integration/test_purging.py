"""The ledger and the store: nothing of what was deleted stays, nothing else goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.observability import context
from kappi_chassis.storage import ContentBinding, MultipartMissing, UrlSigner
from kappi_contracts.events import (
    GalleryDeleted,
    JanitorTick,
    MediaDeleted,
    MediaRejected,
    ObjectsPurged,
    PostDeleted,
    PostPurged,
)
from kappi_contracts.keys import (
    folder_prefix,
    gallery_prefix,
    media_prefix,
    original_key,
    post_original_key,
    post_picture_key,
    post_prefix,
)
from kappi_janitor.repository import due_galleries
from kappi_janitor.use_cases import prefix_deletion, purge_prefix
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually
from kappi_testkit.servers.local_store import serving_local_store
from kappi_testkit.signed_requests import call

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_deletion, "KEY_PAUSE_S", 0.0)


async def delete_gallery(janitor: Any, gallery_id: UUID, *, sequence: int = 2) -> None:
    now = janitor.clock()
    await janitor.hear(
        GalleryDeleted(gallery_id=gallery_id, owner_id=None, reason="expired", deleted_at=now),
        sequence=sequence,
    )


async def delete_media(janitor: Any, gallery_id: UUID, media_id: UUID, *, sequence: int = 2) -> None:
    event = MediaDeleted(
        media_id=media_id, gallery_id=gallery_id, reason="requested", deleted_at=janitor.clock()
    )
    await janitor.hear(event, sequence=sequence)


async def ledger(janitor: Any) -> Any:
    (row,) = await janitor.query("SELECT * FROM purges")
    return row


async def test_2500_objects_go_in_three_batches(make_janitor: Any, every_store: Any) -> None:
    janitor = make_janitor(every_store)
    gallery_id = new_id()
    await janitor.fill(folder_prefix(gallery_id, new_id()), objects=2500)
    await delete_gallery(janitor, gallery_id)
    assert await janitor.work() == 1
    assert janitor.store.batches == [1000, 1000, 500]
    assert await janitor.holds(gallery_prefix(gallery_id)) == 0
    (purged,) = await janitor.published(ObjectsPurged)
    assert (purged.event.objects, purged.event.prefix) == (2500, gallery_prefix(gallery_id))
    assert (purged.event.gallery_id, purged.event.media_id, purged.key) == (
        gallery_id,
        None,
        str(gallery_id),
    )


async def test_every_version_goes(make_janitor: Any, s3_server: Any) -> None:
    bucket = await asyncio.to_thread(lambda: s3_server.create_bucket(versioned=True))
    store = s3_server.store(bucket)
    try:
        janitor = make_janitor(store)
        gallery_id = new_id()
        prefix = folder_prefix(gallery_id, new_id())
        for _ in range(3):
            await janitor.fill(prefix, objects=2)
        await store.delete_batch([f"{prefix}00000"])  # leaves a delete marker
        await delete_gallery(janitor, gallery_id)
        await janitor.work()
        assert (await store.delete_versions_page(prefix)).deleted == 0
        assert (await janitor.published(ObjectsPurged))[0].event.objects >= 6
    finally:
        await store.close()


async def test_the_picture_of_a_deleted_post_goes(make_janitor: Any, every_store: Any) -> None:
    janitor = make_janitor(every_store)
    post_id, kept = new_id(), new_id()
    for key in (post_original_key(post_id), post_picture_key(post_id), post_original_key(kept)):
        await janitor.store.real.put(key, b"picture", content_type="image/jpeg")
    event = PostDeleted(post_id=post_id, author_id=new_id(), reason="requested", deleted_at=janitor.clock())
    heard = await janitor.hear(event, sequence=2)
    await janitor.hear(event, sequence=2, event_id=heard.id)
    assert await janitor.work() == 1
    assert await janitor.holds(post_prefix(post_id)) == 0
    assert await janitor.holds(post_prefix(kept)) == 1
    (purged,) = await janitor.published(PostPurged)
    assert (purged.event.objects, purged.event.prefix) == (2, post_prefix(post_id))
    assert (purged.key, purged.sequence) == (str(post_id), 1)


async def test_a_picture_that_comes_after_its_post_went_is_found_later(
    make_janitor: Any, every_store: Any
) -> None:
    janitor = make_janitor(every_store)
    post_id = new_id()
    event = PostDeleted(post_id=post_id, author_id=new_id(), reason="abandoned", deleted_at=janitor.clock())
    await janitor.hear(event)
    await janitor.work()
    await janitor.store.real.put(post_original_key(post_id), b"late", content_type="image/png")
    janitor.clock.pass_by(8 * DAY)
    await janitor.work()
    assert await janitor.holds(post_prefix(post_id)) == 0
    assert [(told.event.objects, told.sequence) for told in await janitor.published(PostPurged)] == [
        (0, 1),
        (1, 2),
    ]


async def test_only_the_deleted_gallery_goes(make_janitor: Any, every_store: Any) -> None:
    janitor = make_janitor(every_store)
    doomed, kept = new_id(), new_id()
    await janitor.fill(gallery_prefix(doomed), objects=3)
    await janitor.fill(gallery_prefix(kept), objects=3)
    # A key that begins like the doomed gallery's, without being in its folder.
    await janitor.fill(f"galleries/{doomed}-x/", objects=1)
    await delete_gallery(janitor, doomed)
    await janitor.work()
    assert await janitor.holds(gallery_prefix(doomed)) == 0
    assert await janitor.holds(gallery_prefix(kept)) == 3
    assert await janitor.holds(f"galleries/{doomed}-x/") == 1


async def test_a_deleted_item_takes_its_renditions_and_no_neighbour(janitor: Any) -> None:
    gallery_id, doomed, rejected, kept = (new_id() for _ in range(4))
    for media_id in (doomed, rejected, kept):
        for folder in (None, 17):
            await janitor.fill(folder_prefix(gallery_id, media_id, folder) + "renditions/", objects=1)
    await delete_media(janitor, gallery_id, doomed)
    await janitor.hear(
        MediaRejected(media_id=rejected, gallery_id=gallery_id, reason="corrupt", rejected_at=janitor.clock())
    )
    await janitor.work()
    assert await janitor.holds(media_prefix(gallery_id, doomed)) == 0
    assert await janitor.holds(media_prefix(gallery_id, rejected)) == 0
    assert await janitor.holds(media_prefix(gallery_id, kept)) == 2
    purged = await janitor.published(ObjectsPurged)
    assert {each.event.media_id for each in purged} == {doomed, rejected}
    assert sorted(each.sequence for each in purged) == [1, 2], "both are about the one gallery"


async def test_what_was_purged_is_published_in_the_trace_of_the_deletion(janitor: Any) -> None:
    """A tick, a later look and other purges do not mix with it."""
    first, second = "a" * 32, "b" * 32
    for trace, media_id in ((first, new_id()), (second, new_id())):
        with context.work_caused_by(f"00-{trace}-00f067aa0ba902b7-01"):
            event = MediaDeleted(
                media_id=media_id, gallery_id=new_id(), reason="requested", deleted_at=janitor.clock()
            )
            await janitor.hear(event, traceparent=context.traceparent.get())
    await janitor.work()
    rows = await janitor.query("SELECT traceparent FROM outbox WHERE topic = 'ObjectsPurged' ORDER BY id")
    assert {row.traceparent[3:35] for row in rows} == {first, second}


async def test_nothing_under_the_prefix_is_a_success(janitor: Any) -> None:
    await delete_gallery(janitor, new_id())
    await janitor.work()
    assert [each.event.objects for each in await janitor.published(ObjectsPurged)] == [0]


async def test_single_keys_that_fail_are_tried_again(janitor: Any) -> None:
    gallery_id = new_id()
    prefix = gallery_prefix(gallery_id)
    await janitor.fill(prefix, objects=5)
    janitor.store.refusals = {f"{prefix}00001": 2, f"{prefix}00003": 1}
    await delete_gallery(janitor, gallery_id)
    await janitor.work()
    assert await janitor.holds(prefix) == 0
    assert [each.event.objects for each in await janitor.published(ObjectsPurged)] == [5]


async def test_a_key_that_keeps_failing_postpones_the_rest_of_the_purge_and_counts_what_went(
    janitor: Any,
) -> None:
    gallery_id = new_id()
    prefix = gallery_prefix(gallery_id)
    await janitor.fill(prefix, objects=5)
    janitor.store.refusals = {f"{prefix}00001": 1000}
    await delete_gallery(janitor, gallery_id)
    assert await janitor.work() == 1
    assert await janitor.holds(prefix) == 1
    assert await janitor.published(ObjectsPurged) == []
    row = await ledger(janitor)
    assert (row.attempts, row.objects, row.lease_id, row.done_at) == (1, 4, None, None)
    assert "AccessDenied" in row.last_error
    assert row.not_before > janitor.clock()
    janitor.store.refusals = {}
    janitor.clock.pass_by(MINUTE)
    await janitor.work()
    assert [each.event.objects for each in await janitor.published(ObjectsPurged)] == [5]
    assert (await ledger(janitor)).last_error is None


async def test_a_store_that_is_down_is_waited_out(janitor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_prefix, "retry_pause", lambda *_, **__: timedelta(milliseconds=1))
    gallery_id = new_id()
    await janitor.fill(gallery_prefix(gallery_id), objects=3)
    janitor.store.down = True
    async with Background() as running:
        running.start(janitor.purger.run())
        await delete_gallery(janitor, gallery_id)

        async def failed_twice() -> None:
            janitor.clock.pass_by(timedelta(milliseconds=5))
            assert (await ledger(janitor)).attempts >= 2

        await eventually(failed_twice)
        assert await janitor.published(ObjectsPurged) == []
        janitor.store.down = False

        async def purged() -> None:
            janitor.clock.pass_by(timedelta(milliseconds=5))
            assert len(await janitor.published(ObjectsPurged)) == 1

        await eventually(purged)
    assert await janitor.holds(gallery_prefix(gallery_id)) == 0


async def test_a_late_upload_is_found_by_the_second_look(janitor: Any) -> None:
    gallery_id = new_id()
    prefix = gallery_prefix(gallery_id)
    await janitor.fill(prefix, objects=2)
    await delete_gallery(janitor, gallery_id)
    await janitor.work()
    await janitor.fill(prefix, objects=1)  # its URL was signed before the deletion
    janitor.clock.pass_by(19 * MINUTE)
    assert await janitor.work() == 0, "not before the URL's longest life is over"
    janitor.clock.pass_by(2 * MINUTE)
    assert await janitor.work() == 1
    assert await janitor.holds(prefix) == 0
    purged = await janitor.published(ObjectsPurged)
    assert [(each.event.objects, each.sequence) for each in purged] == [(2, 1), (1, 2)]


@pytest.fixture(params=["local", "s3"])
def signing_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, UrlSigner]]:
    """A store that answers signed URLs, and what signs them."""
    if request.param == "local":
        with serving_local_store(tmp_path / "objects") as served:
            yield served.store, served.signer
        return
    server = request.getfixturevalue("s3_server")
    bucket = server.create_bucket(versioned=True)
    store = server.store(bucket)
    yield store, server.signer(bucket)
    asyncio.run(store.close())


@pytest.mark.parametrize("whole_gallery", [True, False])
async def test_what_was_purged_does_not_come_back_through_its_url(
    make_janitor: Any, signing_store: tuple[Any, UrlSigner], whole_gallery: bool
) -> None:
    """A folder refuses it. A bucket cannot, so it goes again once the URL is dead."""
    store, signer = signing_store
    janitor = make_janitor(store)
    gallery_id, media_id = new_id(), new_id()
    key, binding = original_key(gallery_id, media_id), ContentBinding("image/png", 3)
    request = signer.sign_put(key, binding=binding, now=utc_now(), lifetime=20 * MINUTE)
    assert (await call(request, b"abc")).status == 200
    if whole_gallery:
        await delete_gallery(janitor, gallery_id)
    else:
        await delete_media(janitor, gallery_id, media_id)
    assert await janitor.work() == 1
    assert await janitor.holds(gallery_prefix(gallery_id)) == 0
    came_back = (await call(request, b"abc")).status == 200
    assert await janitor.holds(gallery_prefix(gallery_id)) == came_back

    janitor.clock.pass_by(19 * MINUTE)
    assert await janitor.work() == 0, "not while it could come back once more"
    janitor.clock.pass_by(2 * MINUTE)
    assert await janitor.work() == 1
    assert await janitor.holds(gallery_prefix(gallery_id)) == 0
    assert (await store.delete_versions_page(gallery_prefix(gallery_id))).deleted == 0
    told = [each.event.objects for each in await janitor.published(ObjectsPurged)]
    assert [count > 0 for count in told] == [True] * (1 + came_back)


async def test_later_looks_that_find_nothing_say_nothing_and_come_to_an_end(janitor: Any) -> None:
    await delete_gallery(janitor, new_id())
    for expected in (1, 1, 1, 0):
        assert await janitor.work() == expected
        janitor.clock.pass_by(DAY if expected else timedelta(0))
        if (await ledger(janitor)).done_at is not None:
            break
    assert await janitor.work() == 0
    assert (await ledger(janitor)).done_at is not None
    assert len(await janitor.published(ObjectsPurged)) == 1


async def test_a_tick_from_the_future_looks_early_but_keeps_the_real_second_look(janitor: Any) -> None:
    gallery_id = new_id()
    prefix = gallery_prefix(gallery_id)
    await delete_gallery(janitor, gallery_id)
    await janitor.work()
    await janitor.fill(prefix, objects=1)
    at = janitor.clock() + 31 * DAY
    await janitor.hear(JanitorTick(schedule="operator", at=at, origin="operator"))
    assert await janitor.work() == 1
    assert await janitor.holds(prefix) == 0
    # The URL is still alive by the wall clock.
    await janitor.fill(prefix, objects=1)
    janitor.clock.pass_by(21 * MINUTE)
    assert await janitor.work() == 1
    assert await janitor.holds(prefix) == 0


async def test_a_second_deletion_starts_over(janitor: Any) -> None:
    """The worker's rendition landed after the purge: media says *deleted* again, with a higher sequence."""
    gallery_id, media_id = new_id(), new_id()
    prefix = folder_prefix(gallery_id, media_id)
    await delete_media(janitor, gallery_id, media_id, sequence=2)
    await janitor.work()
    await janitor.fill(prefix, objects=1)
    await delete_media(janitor, gallery_id, media_id, sequence=3)
    await janitor.work()
    assert await janitor.holds(prefix) == 0
    assert [each.event.objects for each in await janitor.published(ObjectsPurged)] == [0, 1]


async def test_a_deletion_during_the_purge_is_not_taken_for_done(janitor: Any) -> None:
    gallery_id, media_id = new_id(), new_id()
    prefix = folder_prefix(gallery_id, media_id)
    await janitor.fill(prefix, objects=1)
    await delete_media(janitor, gallery_id, media_id, sequence=2)

    async def deleted_again() -> None:
        janitor.store.before_delete = None
        await delete_media(janitor, gallery_id, media_id, sequence=3)

    janitor.store.before_delete = deleted_again
    assert await janitor.work() == 2, "the first sweep lost its lease, a second one did the work"
    assert await janitor.holds(prefix) == 0
    assert [each.event.objects for each in await janitor.published(ObjectsPurged)] == [1]


async def test_a_purge_whose_worker_died_is_taken_up_after_its_lease(janitor: Any) -> None:
    gallery_id = new_id()
    await janitor.fill(gallery_prefix(gallery_id), objects=3)
    await delete_gallery(janitor, gallery_id)
    assert len(await janitor.purger.take(1)) == 1  # and then its process was killed
    assert await janitor.work() == 0
    janitor.clock.pass_by(timedelta(seconds=31))
    assert await janitor.work() == 1
    assert await janitor.holds(gallery_prefix(gallery_id)) == 0


async def test_two_replicas_share_the_ledger(make_janitor: Any, local_store: Any) -> None:
    replicas = [make_janitor(local_store) for _ in range(2)]
    galleries = [new_id() for _ in range(12)]
    for gallery_id in galleries:
        await replicas[0].fill(gallery_prefix(gallery_id), objects=2)
        await delete_gallery(replicas[0], gallery_id)
    async with Background() as running:
        for replica in replicas:
            running.start(replica.purger.run())

        async def all_purged() -> None:
            assert len(await replicas[0].published(ObjectsPurged)) == 12

        await eventually(all_purged)
    purged = await replicas[0].published(ObjectsPurged)
    assert {each.event.gallery_id for each in purged} == set(galleries)
    assert {each.event.objects for each in purged} == {2}


async def test_a_duplicate_deletion_orders_one_purge(janitor: Any) -> None:
    event = GalleryDeleted(gallery_id=new_id(), owner_id=None, reason="requested", deleted_at=janitor.clock())
    first = await janitor.hear(event, sequence=2)
    await janitor.work()
    await janitor.hear(event, sequence=2, event_id=first.id)
    assert await janitor.work() == 0
    assert len(await janitor.published(ObjectsPurged)) == 1


async def test_a_bug_in_one_purge_does_not_stop_the_others(
    janitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursed, fine = new_id(), new_id()
    real = prefix_deletion.delete_prefix

    async def trips(store: Any, prefix: str, **options: Any) -> None:
        if prefix == gallery_prefix(cursed):
            raise KeyError("a bug")
        await real(store, prefix, **options)

    monkeypatch.setattr(purge_prefix, "delete_prefix", trips)
    async with Background() as running:
        running.start(janitor.purger.run())
        await delete_gallery(janitor, cursed)
        await delete_gallery(janitor, fine)

        async def fine_is_done() -> None:
            assert [each.event.gallery_id for each in await janitor.published(ObjectsPurged)] == [fine]

        await eventually(fine_is_done)

        async def cursed_is_kept() -> None:
            rows = await janitor.query("SELECT gallery_id FROM purges WHERE last_error LIKE 'KeyError%'")
            assert [row.gallery_id for row in rows] == [cursed]

        await eventually(cursed_is_kept)


@pytest.mark.parametrize("whole_gallery", [True, False])
async def test_unfinished_uploads_in_parts_go_and_others_stay(
    make_janitor: Any, every_store: Any, whole_gallery: bool
) -> None:
    janitor = make_janitor(every_store)
    gallery_id, media_id = new_id(), new_id()
    doomed = original_key(gallery_id, media_id)
    kept = original_key(new_id(), media_id)
    ids = {key: await janitor.store.create_multipart(key, content_type="video/mp4") for key in (doomed, kept)}
    if whole_gallery:
        await delete_gallery(janitor, gallery_id)
    else:
        await delete_media(janitor, gallery_id, media_id)
    assert await janitor.work() == 1
    with pytest.raises(MultipartMissing):
        await janitor.store.list_parts(doomed, upload_id=ids[doomed])
    assert await janitor.store.list_parts(kept, upload_id=ids[kept]) == ()
    # What begins while URLs of the first still live goes with the second sweep.
    late = await janitor.store.create_multipart(doomed, content_type="video/mp4")
    janitor.clock.pass_by(DAY)
    await janitor.hear(JanitorTick(schedule="hourly", at=janitor.clock(), origin="timer"))
    assert await janitor.work() == 1
    with pytest.raises(MultipartMissing):
        await janitor.store.list_parts(doomed, upload_id=late)


async def test_sweeps_that_end_together_are_published_as_each_alone(janitor: Any) -> None:
    gallery_id, post_id, others = new_id(), new_id(), [new_id() for _ in range(20)]
    for media_id in (items := [new_id() for _ in range(3)]):
        await delete_media(janitor, gallery_id, media_id)
    await delete_gallery(janitor, gallery_id)
    for other in others:
        await delete_gallery(janitor, other)
    gone = PostDeleted(post_id=post_id, author_id=new_id(), reason="requested", deleted_at=janitor.clock())
    await janitor.hear(gone)
    async with Background() as running:
        running.start(janitor.purger.run())

        async def all_purged() -> None:
            assert len(await janitor.published(ObjectsPurged)) == len(items) + 1 + len(others)
            assert len(await janitor.published(PostPurged)) == 1

        await eventually(all_purged)
    told = await janitor.published(ObjectsPurged)
    of_gallery = [each for each in told if each.event.gallery_id == gallery_id]
    assert [each.sequence for each in of_gallery] == [1, 2, 3, 4]
    assert {each.event.media_id for each in of_gallery} == {None, *items}
    assert {each.event.gallery_id for each in told} == {gallery_id, *others}
    assert [each.sequence for each in await janitor.published(PostPurged)] == [1]


async def test_a_sweep_that_cannot_be_recorded_does_not_fail_those_that_end_with_it(
    janitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    galleries = [new_id() for _ in range(5)]
    for gallery_id in galleries:
        await delete_gallery(janitor, gallery_id)
    real = due_galleries.next_publications

    async def trips(driver: Any, numbers: Any) -> Any:
        if galleries[2] in numbers:
            raise KeyError("a bug")
        return await real(driver, numbers)

    monkeypatch.setattr(due_galleries, "next_publications", trips)
    leases = await janitor.purger.take(5)
    await asyncio.gather(*(janitor.purge(lease) for lease in leases))

    purged = await janitor.published(ObjectsPurged)
    assert {each.event.gallery_id for each in purged} == {*galleries} - {galleries[2]}
    (kept,) = await janitor.query("SELECT * FROM purges WHERE last_error IS NOT NULL")
    assert (kept.gallery_id, kept.attempts, kept.swept_at) == (galleries[2], 1, None)


async def test_a_purge_that_waited_longer_than_its_lease_is_left_to_others(janitor: Any) -> None:
    gallery_id = new_id()
    await janitor.fill(gallery_prefix(gallery_id), objects=1)
    await delete_gallery(janitor, gallery_id)
    (lease,) = await janitor.purger.take(1)
    janitor.clock.pass_by(timedelta(seconds=31))
    await janitor.purge(lease)
    assert await janitor.holds(gallery_prefix(gallery_id)) == 1
    assert await janitor.work() == 1
    assert await janitor.holds(gallery_prefix(gallery_id)) == 0
