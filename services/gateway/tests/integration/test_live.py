"""Live streams through the gateway; the changes are brought without a broker."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from kappi_gateway import metrics
from kappi_gateway.live.streams import MOST_TOLD_AT_ONCE
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.raw_http import request
from kappi_testkit.gateway.stack import Stack, StackFactory

from .live_client import (
    PATH,
    Feed,
    Viewer,
    gallery_deleted,
    moved,
    ready,
    refused,
    rejected,
    removed,
    reordered,
    updated,
    watching,
)

PASSWORD = "X-Gallery-Password: open sesame"
USED_UP = {"title": None, "item_count": 1, "size_bytes": 1, "used_up": True}


@pytest.fixture
def feed(stack: Stack) -> Feed:
    return Feed(stack.live)


def ended(reason: str) -> float:
    return float(metrics.LIVE_ENDED.labels(reason)._value.get())


async def assert_told(viewer: Viewer, event: str, /, **data: Any) -> None:
    told = await viewer.next()
    assert (told.kind, told.data) == (event, data)


async def test_a_viewer_is_told_what_happens_to_the_items(stack: Stack, feed: Feed) -> None:
    item, other = uuid4(), uuid4()
    async with watching(stack) as viewer, watching(stack) as another:
        feed.bring(ready(item), ready(other, gallery_id=other), rejected(other), to=[stack.live])
        for each in (viewer, another):
            await assert_told(each, "item_ready", id=str(item), kind="image")
            await assert_told(each, "item_deleted", id=str(other))
        feed.bring(removed(item), to=[stack.live])
        await assert_told(viewer, "item_deleted", id=str(item))
        assert 1_000 <= viewer.retry_ms <= 5_000


async def test_a_moved_item_leaves_one_gallery_and_joins_another(stack: Stack, feed: Feed) -> None:
    item, elsewhere = uuid4(), uuid4()
    async with watching(stack) as viewer:
        feed.bring(moved(item, to=elsewhere, origin=GALLERY_ID), to=[stack.live])
        await assert_told(viewer, "item_deleted", id=str(item))
        feed.bring(moved(item, to=GALLERY_ID, origin=elsewhere), to=[stack.live])
        await assert_told(viewer, "item_ready", id=str(item), kind=None)


async def test_a_new_order_is_told_as_a_change_of_the_gallery(stack: Stack, feed: Feed) -> None:
    async with watching(stack) as viewer:
        # The order has a history of its own: a low sequence after a high one of the gallery is told, too.
        feed.bring(updated(), to=[stack.live], sequence=9)
        feed.bring(reordered(), reordered(), to=[stack.live], sequence=4)
        feed.bring(reordered(), to=[stack.live], sequence=3)
        feed.bring(reordered(), to=[stack.live], sequence=5)
        for _ in range(3):
            await assert_told(viewer, "gallery_updated", id=str(GALLERY_ID))
        last = uuid4()
        feed.bring(ready(last), to=[stack.live])
        await assert_told(viewer, "item_ready", id=str(last), kind="image")


async def test_what_is_repeated_or_late_is_not_told(stack: Stack, feed: Feed) -> None:
    item, last = uuid4(), uuid4()
    async with watching(stack) as viewer:
        feed.bring(removed(item), to=[stack.live], sequence=3)
        feed.bring(ready(item), removed(item), to=[stack.live], sequence=2)
        feed.bring(removed(item), to=[stack.live], sequence=3)
        feed.bring(ready(last), to=[stack.live])
        await assert_told(viewer, "item_deleted", id=str(item))
        await assert_told(viewer, "item_ready", id=str(last), kind="image")


async def test_heartbeats_come_and_carry_the_id_on(make_stack: StackFactory) -> None:
    stack = await make_stack(live_heartbeat=0.1)
    feed = Feed(stack.live)
    async with watching(stack) as viewer:
        first = viewer.last_id
        feed.bring(ready(gallery_id=uuid4()), to=[stack.live])
        waiting = asyncio.create_task(viewer.next())

        def beaten() -> None:
            assert viewer.heartbeats >= 2
            assert viewer.last_id != first

        await eventually(beaten)
        waiting.cancel()


async def test_a_head_begins_no_stream(stack: Stack, feed: Feed) -> None:
    answer = await stack.ask("HEAD", PATH)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"


# who may not


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "gallery_not_found"), (401, "gallery_password_required"), (401, "gallery_password_wrong")],
)
async def test_who_may_not_view_may_not_watch(stack: Stack, feed: Feed, status: int, code: str) -> None:
    stack.galleries.always(problem_reply(status, code))
    answer = await refused(stack)
    assert (answer.status, answer.code) == (status, code)


async def test_unknown_codes_cost_guesses(make_stack: StackFactory) -> None:
    stack = await make_stack(guess_burst=2)
    stack.galleries.always(problem_reply(404, "gallery_not_found"))
    for code in ("aaaa", "%21"):
        assert (await refused(stack, path=f"/v1/g/{code}/live")).code == "gallery_not_found"
    answer = await refused(stack, path="/v1/g/bbbb/live")
    assert (answer.status, answer.code) == (429, "too_many_guesses")


async def test_a_password_is_sent_in_a_header(stack: Stack, feed: Feed) -> None:
    async with watching(stack, PASSWORD):
        assert stack.grants_asked()[0].json()["password"] == "open sesame"


async def test_unknown_parameters_are_refused(stack: Stack, feed: Feed) -> None:
    answer = await refused(stack, path=f"{PATH}?since=1")
    assert (answer.status, answer.code) == (422, "unknown_field")


async def test_without_galleries_it_is_unavailable(stack: Stack, feed: Feed) -> None:
    stack.galleries.always(Reply(status=500))
    assert (await refused(stack)).code == "upstream_unavailable"


async def test_without_changes_there_are_no_streams(stack: Stack) -> None:
    answer = await refused(stack)
    assert (answer.status, answer.code) == (503, "live_unavailable")
    assert int(answer.headers["retry-after"]) > 0


# places


@pytest.mark.parametrize(
    ("limit", "status", "code"),
    [
        ("live_streams_per_address", 429, "too_many_streams"),
        ("live_streams_per_gallery", 503, "too_many_viewers"),
        ("live_streams", 503, "overloaded"),
    ],
)
async def test_streams_are_limited(make_stack: StackFactory, limit: str, status: int, code: str) -> None:
    stack = await make_stack(**{limit: 2})
    feed = Feed(stack.live)
    async with watching(stack), AsyncExitStack() as leaves:
        await leaves.enter_async_context(watching(stack))
        answer = await refused(stack)
        assert (answer.status, answer.code) == (status, code)
        assert int(answer.headers["retry-after"]) > 0
        await leaves.aclose()

        async def another() -> None:
            async with watching(stack) as viewer:
                feed.bring(ready(), to=[stack.live])
                assert (await viewer.next()).kind == "item_ready"

        await eventually(another)


async def test_streams_take_no_places_of_requests(make_stack: StackFactory) -> None:
    stack = await make_stack(requests_per_address=1, max_in_flight=1, slow_per_address=1)
    Feed(stack.live)
    async with watching(stack), watching(stack), watching(stack):
        assert (await stack.ask("GET", "/v1/g/abcd")).status == 200


async def test_a_client_that_leaves_frees_its_place(stack: Stack, feed: Feed) -> None:
    before, left = metrics.LIVE_STREAMS._value.get(), ended("left")
    async with watching(stack):
        assert metrics.LIVE_STREAMS._value.get() == before + 1

    def gone() -> None:
        assert metrics.LIVE_STREAMS._value.get() == before
        assert ended("left") == left + 1

    await eventually(gone)


async def test_a_client_that_does_not_read_is_cut_and_the_others_are_told(make_stack: StackFactory) -> None:
    stack = await make_stack(live_queue=2)
    feed = Feed(stack.live)
    before = ended("slow")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", stack.port))
        slow.sendall(request("GET", PATH))
        async with watching(stack) as viewer:
            batches = 0
            while ended("slow") == before:
                batch = [ready() for _ in range(500)]
                feed.bring(*batch, to=[stack.live])
                told = [(await viewer.next()).data["id"] for _ in batch]
                assert told == [str(event.media_id) for event in batch]
                batches += 1
                assert batches < 500, "more than any buffer on the way holds"


# continuing


async def test_a_stream_continues_at_another_gateway(make_stack: StackFactory) -> None:
    here, there = await make_stack(), await make_stack()
    feed, both = Feed(here.live, there.live), [here.live, there.live]
    seen, missed, gone = uuid4(), uuid4(), uuid4()
    async with watching(here) as viewer:
        feed.bring(ready(seen), to=both)
        last_id = (await viewer.next()).id
    feed.bring(ready(missed), ready(gallery_id=uuid4()), to=both)
    feed.bring(removed(gone), to=both)
    async with watching(there, last_id=last_id) as viewer:
        await assert_told(viewer, "item_ready", id=str(missed), kind="image")
        told = await viewer.next()
        assert (told.kind, told.data) == ("item_deleted", {"id": str(gone)})
        later = uuid4()
        feed.bring(ready(later), to=both)
        await assert_told(viewer, "item_ready", id=str(later), kind="image")
    async with watching(here, last_id=told.id) as viewer:
        await assert_told(viewer, "item_ready", id=str(later), kind="image")


async def test_a_stream_that_missed_nothing_is_told_nothing(stack: Stack, feed: Feed) -> None:
    async with watching(stack) as viewer:
        last_id = viewer.last_id
    item = uuid4()
    async with watching(stack, last_id=last_id) as viewer:
        feed.bring(ready(item), to=[stack.live])
        await assert_told(viewer, "item_ready", id=str(item), kind="image")


async def test_a_stream_begins_anew_after_too_many_changes(make_stack: StackFactory) -> None:
    stack = await make_stack(live_changes_kept=2)
    feed = Feed(stack.live)
    async with watching(stack) as viewer:
        last_id = viewer.last_id
    feed.bring(*(ready(gallery_id=uuid4()) for _ in range(3)), to=[stack.live])
    async with watching(stack, last_id=last_id) as viewer:
        await assert_told(viewer, "reset")


async def test_a_stream_begins_anew_where_less_was_read(make_stack: StackFactory) -> None:
    ahead, behind = await make_stack(), await make_stack()
    feed = Feed(ahead.live, behind.live)
    async with watching(ahead) as viewer:
        feed.bring(ready(), to=[ahead.live])
        last_id = (await viewer.next()).id
    async with watching(behind, last_id=last_id) as viewer:
        await assert_told(viewer, "reset")


@pytest.mark.parametrize("last_id", ["", "7", "a b", "é", "-" * 20_000, "AAAAAAAA"])
async def test_an_id_that_is_none_begins_anew(stack: Stack, feed: Feed, last_id: str) -> None:
    async with watching(stack, last_id=last_id) as viewer:
        await assert_told(viewer, "reset")


async def test_a_stream_begins_anew_at_another_cluster(make_stack: StackFactory) -> None:
    old, new = await make_stack(), await make_stack()
    Feed(old.live)
    Feed(new.live, cluster="another")
    async with watching(old) as viewer:
        last_id = viewer.last_id
    async with watching(new, last_id=last_id) as viewer:
        await assert_told(viewer, "reset")


async def test_many_changes_at_once_are_told_as_one(stack: Stack, feed: Feed) -> None:
    async with watching(stack) as viewer:
        last_id = viewer.last_id
        feed.bring(*(ready() for _ in range(MOST_TOLD_AT_ONCE)), to=[stack.live])
        for _ in range(MOST_TOLD_AT_ONCE):
            assert (await viewer.next()).kind == "item_ready"
        feed.bring(*(ready() for _ in range(MOST_TOLD_AT_ONCE + 1)), to=[stack.live])
        await assert_told(viewer, "reset")
        feed.bring(*(ready() for _ in range(MOST_TOLD_AT_ONCE)), gallery_deleted(), to=[stack.live])
        assert [told.kind for told in await viewer.ends()] == ["reset", "gallery_deleted"]
    async with watching(stack, last_id=last_id) as viewer:
        await assert_told(viewer, "reset")


# the end of access


@pytest.mark.parametrize("change", [{"visibility": "private"}, {"closed": True}])
async def test_a_hidden_gallery_ends_its_streams_and_says_nothing(
    stack: Stack, feed: Feed, change: dict[str, Any]
) -> None:
    async with watching(stack) as viewer:
        feed.bring(ready(), updated(**change), ready(), to=[stack.live])
        assert await viewer.ends() == []


async def test_a_deleted_gallery_says_so_and_ends(stack: Stack, feed: Feed) -> None:
    async with watching(stack) as viewer:
        feed.bring(gallery_deleted(), to=[stack.live])
        assert [told.kind for told in await viewer.ends()] == ["gallery_deleted"]


async def test_a_changed_gallery_says_so_and_goes_on(stack: Stack, feed: Feed) -> None:
    item = uuid4()
    async with watching(stack) as viewer, watching(stack):
        stack.cache.drop_gallery(GALLERY_ID)  # as the consumer does
        asked = len(stack.grants_asked())
        feed.bring(updated(), ready(item), to=[stack.live])
        await assert_told(viewer, "gallery_updated", id=str(GALLERY_ID))
        await assert_told(viewer, "item_ready", id=str(item), kind="image")
        assert len(stack.grants_asked()) == asked + 1, "one question for all streams"


async def test_a_gallery_deleted_right_after_a_change_says_so_and_no_more(stack: Stack, feed: Feed) -> None:
    async with watching(stack) as viewer:
        feed.bring(updated(), ready(), gallery_deleted(), to=[stack.live])
        assert [told.kind for told in await viewer.ends()] == ["gallery_deleted"]


@pytest.mark.parametrize(
    "answer",
    [
        problem_reply(404, "gallery_not_found"),
        problem_reply(401, "gallery_password_required"),
        grant_reply(gallery_id=uuid4()),
        Reply(status=500),
    ],
    ids=["code rotated", "password set", "code of another", "no answer"],
)
async def test_a_code_that_opens_no_more_ends_its_streams(stack: Stack, feed: Feed, answer: Reply) -> None:
    async with watching(stack) as viewer:
        stack.galleries.always(answer)
        stack.cache.drop_gallery(GALLERY_ID)
        feed.bring(updated(), ready(), to=[stack.live])
        assert await viewer.ends() == []


async def test_a_stream_with_a_password_shows_it_again_after_a_change(stack: Stack, feed: Feed) -> None:
    async with watching(stack, PASSWORD) as viewer:
        last_id = viewer.last_id
        feed.bring(updated(), to=[stack.live])
        assert await viewer.ends() == []
    async with watching(stack, PASSWORD, last_id=last_id) as viewer:
        await assert_told(viewer, "gallery_updated", id=str(GALLERY_ID))


@pytest.mark.parametrize("code_opens", [True, False])
async def test_an_expired_gallery_says_so_and_ends(make_stack: StackFactory, code_opens: bool) -> None:
    stack = await make_stack(live_heartbeat=0.1)
    feed = Feed(stack.live)
    grant = grant_reply(gallery_expires_at=datetime.now(UTC) + timedelta(seconds=1))
    stack.galleries.always(grant)
    async with watching(stack) as viewer:
        stack.cache.drop_all()
        stack.galleries.always(grant if code_opens else problem_reply(404, "gallery_not_found"))
        feed.bring(ready(), to=[stack.live])
        assert [told.kind for told in await viewer.ends()] == ["item_ready", "gallery_deleted"]


async def test_a_deadline_that_was_extended_ends_nothing(make_stack: StackFactory) -> None:
    stack = await make_stack(live_heartbeat=0.1)
    feed = Feed(stack.live)
    now = datetime.now(UTC)
    stack.galleries.always(grant_reply(gallery_expires_at=now + timedelta(seconds=1)))
    async with watching(stack) as viewer:
        stack.cache.drop_all()
        asked = len(stack.grants_asked())
        stack.galleries.always(grant_reply(gallery_expires_at=now + timedelta(hours=1)))

        def asked_again() -> None:
            assert len(stack.grants_asked()) == asked + 1

        await eventually(asked_again)
        feed.bring(ready(), to=[stack.live])
        assert (await viewer.next()).kind == "item_ready"


async def test_a_used_up_gallery_says_so_and_ends(stack: Stack, feed: Feed) -> None:
    async with watching(stack) as viewer:
        feed.bring(ready(), to=[stack.live])
        assert (await viewer.next()).kind == "item_ready"
        stack.galleries.always(grant_reply(summary=USED_UP))
        stack.cache.drop_gallery(GALLERY_ID)
        feed.bring(updated(), ready(), to=[stack.live])
        await assert_told(viewer, "gallery_deleted", id=str(GALLERY_ID))
        assert await viewer.ends() == []
    for method in ("GET", "HEAD"):
        assert (await stack.ask(method, PATH)).status == 404
    assert (await refused(stack)).code == "gallery_not_found"


async def test_a_gallery_that_was_opened_again_is_watched_again(stack: Stack, feed: Feed) -> None:
    stack.galleries.always(grant_reply(summary=USED_UP))
    assert (await refused(stack)).code == "gallery_not_found"
    stack.galleries.always(grant_reply())
    stack.cache.drop_gallery(GALLERY_ID)
    async with watching(stack) as viewer:
        feed.bring(ready(), to=[stack.live])
        assert (await viewer.next()).kind == "item_ready"


async def test_a_grant_from_before_a_change_opens_no_stream(stack: Stack, feed: Feed) -> None:
    async def changes_meanwhile(seen: Seen) -> Reply:
        stack.galleries.always(problem_reply(404, "gallery_not_found"))
        feed.bring(updated(), to=[stack.live])
        stack.cache.drop_gallery(GALLERY_ID)
        return grant_reply()

    stack.galleries.answer = changes_meanwhile
    assert (await refused(stack)).code == "gallery_not_found"


# the end of a gateway


async def test_a_gateway_that_stops_ends_its_streams(stack: Stack, feed: Feed) -> None:
    async with watching(stack) as viewer:
        feed.bring(ready(), to=[stack.live])
        stack.live.drain()
        assert [told.kind for told in await viewer.ends()] == ["item_ready"]
    assert (await refused(stack)).code == "live_unavailable"


async def test_missed_changes_end_all_streams(stack: Stack, feed: Feed) -> None:
    async with watching(stack) as viewer:
        last_id = viewer.last_id
        stack.live.interrupt()
        assert await viewer.ends() == []
    assert (await refused(stack)).code == "live_unavailable"
    feed.bring(ready(), to=[])
    feed.connect(stack.live)
    async with watching(stack, last_id=last_id) as viewer:
        await assert_told(viewer, "reset")
