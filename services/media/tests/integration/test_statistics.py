"""Accesses are counted once each, written together, and logged without an address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from kappi_chassis.db import Database
from kappi_chassis.pagination import cursor_of
from kappi_contracts.events import GalleryDeleted
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import tick_steps
from kappi_media.repository.accesses import MAX_LINES_PER_HOUR, AccessQueries
from kappi_media.settings import MediaSettings
from kappi_media.statistics.counter import AccessCounter
from kappi_media.statistics.flush import SLICE, AccessFlush
from kappi_media.statistics.traits import Traits
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller
from kappi_testkit.media.samples import encode, quadrants

pytestmark = pytest.mark.integration

PICTURE = encode(quadrants(33, 20), "JPEG")
CALLER = {"accept-language": "de-AT", "user-agent": "curl/8", "x-forwarded-for": "203.0.113.77"}
GERMAN = Traits("de", "anonymous", "safari")
Reader = Callable[..., Awaitable[list[Published]]]


@pytest.fixture
def client(counting_http: Http) -> Client:
    return Client(counting_http)


def kinds(events: list[Published]) -> dict[str, int]:
    return {entry["kind"]: entry["count"] for event in events for entry in event.data["kinds"]}


async def log_of(http: Http, gallery: Gallery, query: str = "") -> Any:
    answer = await http("GET", f"/v1/galleries/{gallery.id}/accesses{query}", grant=gallery.grant())
    assert answer.status == 200, answer.body
    return answer.json


async def test_every_kind_is_counted_once(
    client: Client, gallery: Gallery, flush: AccessFlush, published: Reader, worker: Any
) -> None:
    item = await client.upload(gallery, PICTURE)
    path = f"/v1/media/{item['id']}"
    for grant, target in (
        (gallery.grant("view"), path),
        (gallery.grant("contribute"), f"{path}/download"),
        (gallery.grant("manage"), f"{path}/download?redirect=true"),
        (gallery.grant("view"), f"/v1/g/{gallery.public.code}/archive"),
    ):
        answer = await client.http("GET", target, grant=grant, headers=CALLER)
        assert answer.status in (200, 302, 409), answer.body
    viewed = await client.view(gallery, **CALLER)
    assert (await client.view(gallery, if_none_match=viewed.headers["etag"], **CALLER)).status == 304
    await flush.flush()

    events = await published("MediaAccessed")
    assert kinds(events) == {"view": 2, "item_view": 1, "download": 2}
    (event,) = events
    assert event.key == str(gallery.id)
    traits = {(each["trait"], each["value"]): each["count"] for each in event.data["traits"]}
    assert traits == {
        ("app", "curl"): 2,
        ("language", "de"): 2,
        ("role", "anonymous"): 2,
    }
    assert {(each["media_id"], each["kind"]): each["count"] for each in event.data["items"]} == {
        (item["id"], "item_view"): 1,
        (item["id"], "download"): 2,
    }


async def test_refusals_and_further_pages_are_not_counted(
    client: Client, gallery: Gallery, flush: AccessFlush, published: Reader
) -> None:
    for _ in range(2):
        await client.upload(gallery, PICTURE)
    page = (await client.view(gallery, "limit=1")).json
    assert (await client.view(gallery, f"limit=1&cursor={page['next_cursor']}")).status == 200
    assert (await client.view(gallery, "limit=0")).status == 422
    missing = f"/v1/media/{uuid4()}"
    for target in (missing, f"{missing}/download", f"{missing}/renditions/400"):
        assert (await client.http("GET", target, grant=gallery.grant("view"))).status == 404
    await flush.flush()
    assert kinds(await published("MediaAccessed")) == {"view": 1}


async def test_a_role_comes_from_the_gateway_and_from_a_closed_list(
    client: Client, gallery: Gallery, flush: AccessFlush, published: Reader
) -> None:
    for role in ("user", "admin", "Ada Lovelace", "manager"):
        await client.view(gallery, x_kappi_role=role)
    await flush.flush()
    (event,) = await published("MediaAccessed")
    assert {each["value"]: each["count"] for each in event.data["traits"] if each["trait"] == "role"} == {
        "user": 1,
        "admin": 1,
        "anonymous": 2,
    }


async def test_many_galleries_are_one_flush(
    counter: AccessCounter, flush: AccessFlush, published: Reader
) -> None:
    galleries = [uuid4() for _ in range(50)]
    for gallery_id in galleries:
        counter.count("view", gallery_id, traits=GERMAN, network="203.0.113.0/24")
    await flush.flush()
    counter.count("view", galleries[0], traits=GERMAN, network="203.0.113.0/24")
    await flush.flush()
    events = await published("MediaAccessed")
    assert len(events) == 51
    assert len({event.sequence for event in events[:50]}) == 1
    assert events[50].sequence > events[0].sequence


async def test_what_comes_during_a_flush_is_left_for_the_next(
    client: Client,
    gallery: Gallery,
    flush: AccessFlush,
    published: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under load there is always a new access: written at once, each would be an event of its own."""
    write = AccessQueries.write

    async def while_others_look(*args: Any, **more: Any) -> None:
        await client.view(gallery, **CALLER)
        await write(*args, **more)

    await client.view(gallery, **CALLER)
    with monkeypatch.context() as patched:
        patched.setattr(AccessQueries, "write", while_others_look)
        await flush.flush()
    assert kinds(await published("MediaAccessed")) == {"view": 1}
    await flush.flush()
    assert [event.data["kinds"][0]["count"] for event in await published("MediaAccessed")] == [1, 1]


async def test_a_flush_that_fails_is_tried_again_and_counts_once(
    counter: AccessCounter, flush: AccessFlush, published: Reader, database: Database
) -> None:
    gallery_id = uuid4()
    counter.count("view", gallery_id, traits=GERMAN, network="203.0.113.0/24")
    await database.hot.execute("ALTER TABLE access_log RENAME TO away")
    with pytest.raises(Exception, match="access_log"):
        await flush.flush()
    assert await published("MediaAccessed") == []
    counter.count("view", gallery_id, traits=GERMAN, network="203.0.113.0/24")
    await database.hot.execute("ALTER TABLE away RENAME TO access_log")
    await flush.flush()
    assert [event.data["kinds"] for event in await published("MediaAccessed")] == [
        [{"kind": "view", "count": 1}]
    ] * 2
    assert await database.hot.fetchval("SELECT sum(count) FROM access_log") == 2


async def test_a_commit_that_nobody_heard_of_counts_once(
    counter: AccessCounter, flush: AccessFlush, published: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database committed, and the connection was cut before its answer."""
    counter.count("view", uuid4(), traits=GERMAN, network="203.0.113.0/24")
    write = flush._accesses.write

    async def committed_unheard(*arguments: Any, **named: Any) -> None:
        await write(*arguments, **named)
        raise ConnectionResetError

    monkeypatch.setattr(flush._accesses, "write", committed_unheard)
    with pytest.raises(ConnectionResetError):
        await flush.flush()
    monkeypatch.undo()
    await flush.flush()
    assert len(await published("MediaAccessed")) == 1


async def test_a_clean_stop_writes_everything_down(
    counter: AccessCounter, flush: AccessFlush, published: Reader
) -> None:
    running = asyncio.create_task(flush.run())
    await asyncio.sleep(0)
    counter.count("view", uuid4(), traits=GERMAN, network="203.0.113.0/24")
    running.cancel()
    await asyncio.wait([running])
    await flush.close()
    assert len(await published("MediaAccessed")) == 1


async def test_the_log_tells_network_and_hour_and_nothing_else(
    client: Client, gallery: Gallery, flush: AccessFlush
) -> None:
    for address in ("203.0.113.77", "203.0.113.9", "2001:db8:1:2::3"):
        await client.view(gallery, **{**CALLER, "x-forwarded-for": address})
    await flush.flush()
    await client.view(gallery, **CALLER)
    await flush.flush()
    page = await log_of(client.http, gallery)
    assert page["next_cursor"] is None
    lines = {line["network"]: line for line in page["items"]}
    assert {network: line["count"] for network, line in lines.items()} == {
        "203.0.113.0/24": 5,
        "2001:db8:1::/48": 5,
    }, "three and one, rounded up"
    for line in page["items"]:
        assert line.keys() == {"hour", "kind", "network", "count"}
        assert datetime.fromisoformat(line["hour"]).minute == 0


async def test_the_log_is_paged_newest_first(
    client: Client, gallery: Gallery, flush: AccessFlush, counter: AccessCounter, clock: Clock
) -> None:
    for number in range(5):
        counter.count("view", gallery.id, traits=GERMAN, network=f"10.0.{number}.0/24")
        await flush.flush()
        clock.pass_by(timedelta(hours=1))
    found, query = [], "?limit=2"
    while True:
        page = await log_of(client.http, gallery.changed(expires_at=None), query)
        found += [line["network"] for line in page["items"]]
        if page["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={page['next_cursor']}"
    assert found == [f"10.0.{number}.0/24" for number in (4, 3, 2, 1, 0)]


async def test_neither_order_nor_cursor_tell_when_in_an_hour(
    client: Client, gallery: Gallery, flush: AccessFlush, counter: AccessCounter, database: Database
) -> None:
    seen = [f"10.0.{number}.0/24" for number in range(30)]
    for network in seen:
        counter.count("view", gallery.id, traits=GERMAN, network=network)
        await flush.flush()
    found, query = [], "?limit=7"
    while True:
        page = await log_of(client.http, gallery, query)
        found += [line["network"] for line in page["items"]]
        if page["next_cursor"] is None:
            break
        query = f"?limit=7&cursor={page['next_cursor']}"
    assert sorted(found) == sorted(seen)
    assert found not in (seen, seen[::-1])
    ids = await database.hot.fetch("SELECT id FROM access_log")
    assert {each.version for (each,) in ids} == {4}, "a UUIDv7 tells the millisecond"


async def test_known_networks_keep_their_line(
    gallery: Gallery, flush: AccessFlush, counter: AccessCounter, database: Database
) -> None:
    networks = [f"10.0.{number}.0/24" for number in range(MAX_LINES_PER_HOUR - 10)]
    for _ in range(2):
        for network in networks:
            counter.count("view", gallery.id, traits=GERMAN, network=network)
        await flush.flush()
    for number in range(20):
        counter.count("view", gallery.id, traits=GERMAN, network=f"10.1.{number}.0/24")
    await flush.flush()
    told = dict(await database.hot.fetch("SELECT network, count FROM access_log"))
    assert [told[network] for network in networks] == [2] * len(networks)
    assert told["other"] == 10
    assert len(told) == MAX_LINES_PER_HOUR + 1


async def test_a_busy_gallery_keeps_no_other_waiting(
    client: Client,
    gallery: Gallery,
    make_gallery: Callable[..., Gallery],
    flush: AccessFlush,
    counter: AccessCounter,
    database: Database,
    published: Reader,
) -> None:
    other = make_gallery(code="abcd")
    for each in (gallery, other):
        await client.upload(each, PICTURE)
        counter.count("view", each.id, traits=GERMAN, network="203.0.113.0/24", times=3)

    async def logged() -> set[Any]:
        return {each for (each,) in await database.hot.fetch("SELECT gallery_id FROM access_log")}

    async with database.hot.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM contents WHERE gallery_id = $1 FOR UPDATE", gallery.id)
        async with asyncio.timeout(10):
            assert not await flush.flush()
        assert await logged() == {other.id}
    assert await flush.flush()
    assert await logged() == {gallery.id, other.id}
    assert await database.hot.fetchval("SELECT sum(count) FROM access_log") == 6
    assert len(await published("MediaAccessed")) == 2


async def test_a_stop_waits_for_a_busy_gallery(
    client: Client, gallery: Gallery, flush: AccessFlush, counter: AccessCounter, database: Database
) -> None:
    await client.upload(gallery, PICTURE)
    counter.count("view", gallery.id, traits=GERMAN, network="203.0.113.0/24")
    async with database.hot.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM contents WHERE gallery_id = $1 FOR UPDATE", gallery.id)
        closing = asyncio.create_task(flush.close())
        await asyncio.wait([closing], timeout=0.5)
        assert not closing.done()
    await closing
    assert await database.hot.fetchval("SELECT sum(count) FROM access_log") == 1


async def test_a_full_flush_lets_others_run(counter: AccessCounter, flush: AccessFlush) -> None:
    for _ in range(2_000):
        counter.count("view", uuid4(), traits=GERMAN, network="203.0.113.0/24")
    turns, write = 0, flush._accesses.write
    built: list[int] = []

    async def written(*arguments: Any, **named: Any) -> None:
        built.append(turns)
        await write(*arguments, **named)

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    flush._accesses.write = written  # type: ignore[method-assign]
    running = asyncio.create_task(other())
    await flush.flush()
    running.cancel()
    assert built[0] >= 2 * 2_000 // SLICE - 1


async def test_nobody_fills_the_log(
    client: Client, gallery: Gallery, flush: AccessFlush, counter: AccessCounter, database: Database
) -> None:
    for start in range(0, 3 * MAX_LINES_PER_HOUR, 150):
        for number in range(start, start + 150):
            counter.count(
                "view", gallery.id, traits=GERMAN, network=f"10.{number // 256}.{number % 256}.0/24"
            )
        await flush.flush()
    lines, accesses = await database.hot.fetchrow("SELECT count(*), sum(count) FROM access_log")
    assert lines <= MAX_LINES_PER_HOUR + 1
    assert accesses == 3 * MAX_LINES_PER_HOUR


async def test_a_deleted_gallery_has_no_log_and_gets_none(
    gallery: Gallery, flush: AccessFlush, counter: AccessCounter, tell: Teller, database: Database
) -> None:
    counter.count("view", gallery.id, traits=GERMAN, network="203.0.113.0/24")
    await flush.flush()
    counter.count("view", gallery.id, traits=GERMAN, network="203.0.113.0/24")
    await tell(
        GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=datetime.now(UTC))
    )
    await flush.flush()
    assert await database.hot.fetchval("SELECT count(*) FROM access_log") == 0


async def test_a_tick_forgets_lines_after_ninety_days(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    flush: AccessFlush,
    counter: AccessCounter,
    clock: Clock,
    database: Database,
) -> None:
    counter.count("view", uuid4(), traits=GERMAN, network="203.0.113.0/24")
    await flush.flush()
    steps = tick_steps(deps, make_settings(fill_from_tags=False))
    for days, left in ((89, 1), (91, 0)):
        for step in steps:
            await step(clock() + timedelta(days=days))
        assert await database.hot.fetchval("SELECT count(*) FROM access_log") == left


async def test_the_log_is_for_managers_of_that_gallery(
    client: Client, gallery: Gallery, make_gallery: Callable[..., Gallery]
) -> None:
    path = f"/v1/galleries/{gallery.id}/accesses"
    for grant, status, code in (
        (None, 401, "credentials_missing"),
        (gallery.grant("view"), 403, "right_missing"),
        (gallery.grant("contribute"), 403, "right_missing"),
        (make_gallery(code="abcd").grant(), 403, "gallery_key_wrong"),
    ):
        answer = await client.http("GET", path, grant=grant)
        assert (answer.status, answer.json["code"]) == (status, code)
    short = cursor_of(datetime(2026, 5, 1, tzinfo=UTC), uuid4())[:22]
    for query in ("?limit=0", "?cursor=%24", f"?cursor={short}", f"?cursor={'_' * 27}"):
        assert (await client.http("GET", path + query, grant=gallery.grant())).status == 422
