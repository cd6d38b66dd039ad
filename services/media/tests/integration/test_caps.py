"""Galleries and links with a cap: which answers are counted, and that no other way leads to originals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.pagination import cursor_after
from kappi_chassis.storage import SignedRequest
from kappi_contracts.events import AccountCreated, GalleryDeleted
from kappi_contracts.grants import ACCESS_HEADER, COUNTED_HEADER, counted_access, recorded_access
from kappi_media.statistics.flush import AccessFlush
from kappi_testkit.asgi import Answer
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Http,
    Published,
    Teller,
    Worker,
    redelivered,
)
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.signed_requests import call

pytestmark = pytest.mark.integration

JPEG = encode(quadrants(64, 48), "JPEG")
Publications = Callable[..., Awaitable[list[Published]]]


@pytest.fixture
def capped(gallery: Gallery) -> Gallery:
    return gallery.changed(capped=True, downloads_capped=True)


@pytest.fixture
def add(client: Client, worker: Worker, published: Publications) -> Callable[..., Awaitable[str]]:
    """`await add(gallery)` returns the id of a ready item."""

    async def added(gallery: Gallery, **declared: Any) -> str:
        item = await client.upload(gallery, JPEG, **declared)
        await worker.process(redelivered((await published("UploadCompleted"))[-1]))
        media_id: str = item["id"]
        return media_id

    return added


def count_of(answer: Answer) -> str | None:
    return answer.headers.get(COUNTED_HEADER)


async def test_a_first_page_is_a_view(client: Client, capped: Gallery, add: Any) -> None:
    views = counted_access("views", capped.id)
    first = await add(capped)
    await add(capped)
    page = await client.view(capped, "limit=1")
    assert count_of(page) == views
    assert count_of(await client.view(capped, if_none_match=page.headers["etag"])) == views
    cursor = page.json["next_cursor"]
    assert cursor == cursor_after(UUID(first))
    assert count_of(await client.view(capped, f"cursor={cursor}")) is None


async def test_a_made_up_cursor_is_a_view(
    client: Client,
    capped: Gallery,
    make_gallery: Callable[..., Gallery],
    add: Any,
    worker: Worker,
    published: Publications,
) -> None:
    rejected = (await client.upload(capped, JPEG[:200]))["id"]
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))
    await add(capped)
    elsewhere = await add(make_gallery())
    for position in (UUID(int=0), new_id(), UUID(elsewhere), UUID(rejected)):
        answer = await client.view(capped, f"cursor={cursor_after(position)}")
        assert count_of(answer) == counted_access("views", capped.id)


async def test_a_gallery_without_a_cap_names_no_count(
    client: Client, http: Http, gallery: Gallery, add: Any
) -> None:
    media_id = await add(gallery)
    view = gallery.grant("view")
    page = await client.view(gallery)
    asked = [
        page,
        await http("GET", f"/v1/media/{media_id}", grant=view),
        await http("GET", f"/v1/media/{media_id}/download", grant=view),
        await http("GET", "/v1/g/k7dm/archive", grant=view),
    ]
    assert [(answer.status, count_of(answer)) for answer in asked] == [(200, None)] * 4
    assert "/v1/media/" not in page.json["items"][0]["original"]["url"]


async def test_a_cap_on_views_leaves_downloads_alone(
    client: Client, http: Http, gallery: Gallery, add: Any
) -> None:
    viewed = gallery.changed(capped=True)
    media_id = await add(viewed)
    page = await client.view(viewed)
    assert "/v1/media/" not in page.json["items"][0]["original"]["url"]
    answer = await http("GET", f"/v1/media/{media_id}/download", grant=viewed.grant("view"))
    assert (answer.status, count_of(answer)) == (200, None)


async def test_each_way_to_an_original_is_a_download(
    client: Client, http: Http, capped: Gallery, add: Any
) -> None:
    downloads = counted_access("downloads", capped.id)
    media_id = await add(capped, filename="日の出.jpg")
    view = capped.grant("view")
    (listed,) = (await client.view(capped)).json["items"]
    shown = (await http("GET", f"/v1/media/{media_id}", grant=view)).json
    for item in (listed, shown):
        parts = urlsplit(item["original"]["url"])
        assert parts.path == f"/v1/media/{media_id}/download"
        # The URL is the credential.
        followed = await http("GET", f"{parts.path}?{parts.query}")
        assert (followed.status, count_of(followed)) == (302, downloads)
        found = await call(SignedRequest(followed.headers["location"], "GET", {}, utc_now()))
        assert (found.status, found.body) == (200, JPEG)
    for query in ("", "?redirect=true"):
        answer = await http("GET", f"/v1/media/{media_id}/download{query}", grant=view)
        assert count_of(answer) == downloads
    # Renditions are no downloads.
    rendition = urlsplit(listed["renditions"]["2048"]["url"])
    assert "/renditions/" in rendition.path
    assert count_of(await http("GET", f"{rendition.path}?{rendition.query}")) is None


async def test_a_counted_access_is_recorded_only_when_the_gateway_says_so(
    counting_http: Http, capped: Gallery, add: Any, flush: AccessFlush, published: Publications
) -> None:
    media_id = await add(capped)
    view, client = capped.grant("view"), Client(counting_http)
    page = await client.view(capped)
    await client.view(capped, f"cursor={cursor_after(new_id())}")
    parts = urlsplit(page.json["items"][0]["original"]["url"])
    asked = [
        page,
        await counting_http("GET", f"/v1/media/{media_id}/download", grant=view),
        await counting_http("GET", f"{parts.path}?{parts.query}"),
        await counting_http("GET", "/v1/g/k7dm/archive", grant=view),
    ]
    await flush.flush()
    assert await published("MediaAccessed") == []

    named = [answer.headers[ACCESS_HEADER] for answer in asked]
    download = recorded_access("download", capped.id, UUID(media_id))
    assert named == [
        recorded_access("view", capped.id),
        *(download, download),
        recorded_access("archive", capped.id),
    ]
    for target in named:
        recorded = await counting_http("POST", target, headers={"accept-language": "de"})
        assert recorded.status == 204
    await flush.flush()
    (event,) = await published("MediaAccessed")
    assert {each["kind"]: each["count"] for each in event.data["kinds"]} == {
        "view": 1,
        "download": 2,
        "archive": 1,
    }
    assert [each["count"] for each in event.data["items"]] == [2]
    assert {"trait": "language", "value": "de", "count": 1} in event.data["traits"]


async def test_a_continued_archive_is_not_recorded_again(http: Http, capped: Gallery, add: Any) -> None:
    await add(capped)
    rest = await http("GET", "/v1/g/k7dm/archive", grant=capped.grant("view"), headers={"range": "bytes=9-"})
    assert count_of(rest) == counted_access("downloads", capped.id)
    assert ACCESS_HEADER not in rest.headers


async def test_the_managers_own_downloads_are_not_counted(http: Http, capped: Gallery, add: Any) -> None:
    media_id = await add(capped)
    manage = capped.grant("manage")
    shown = (await http("GET", f"/v1/media/{media_id}", grant=manage)).json
    assert "/v1/media/" not in shown["original"]["url"]
    answer = await http("GET", f"/v1/media/{media_id}/download", grant=manage)
    assert (answer.status, count_of(answer)) == (200, None)


async def test_a_failed_download_is_not_counted(client: Client, http: Http, capped: Gallery) -> None:
    unready = (await client.upload(capped, JPEG))["id"]
    view = capped.grant("view")
    for path, code in (
        (f"/v1/media/{unready}/download", "media_not_ready"),
        (f"/v1/media/{new_id()}/download", "media_not_found"),
        ("/v1/g/k7dm/archive", "archive_empty"),
    ):
        answer = await http("GET", path, grant=view)
        assert (answer.code, count_of(answer)) == (code, None)


async def test_a_signed_download_is_for_one_item_and_a_time(
    client: Client, http: Http, capped: Gallery, add: Any, clock: Clock, tell: Teller
) -> None:
    await add(capped)
    other = await add(capped)
    listed = (await client.view(capped)).json["items"]
    parts = urlsplit(listed[0]["original"]["url"])
    wrong = [
        f"/v1/media/{other}/download?{parts.query}",
        f"{parts.path}?{parts.query.replace('expires=', 'expires=9')}",
        f"{parts.path}?{parts.query[:-1]}{'0' if parts.query[-1] != '0' else '1'}",
        f"/v1/media/{new_id()}/download?{parts.query}",
        f"{parts.path}?expires=9&signature=%C3%A9",
    ]
    for target in wrong:
        answer = await http("GET", target)
        assert (answer.status, answer.code, count_of(answer)) == (403, "download_url_invalid", None)
    target = f"{parts.path}?{parts.query}"
    assert (await http("GET", target)).status == 302
    clock.pass_by(timedelta(minutes=16))
    assert (await http("GET", target)).code == "download_url_invalid"
    fresh = (await client.view(capped)).json["items"][0]["original"]["url"]
    await tell(GalleryDeleted(gallery_id=capped.id, owner_id=None, reason="requested", deleted_at=clock()))
    parts = urlsplit(fresh)
    assert (await http("GET", f"{parts.path}?{parts.query}")).code == "download_url_invalid"


async def test_a_copy_without_its_place_counts_alike(
    client: Client, http: Http, capped: Gallery, add: Any
) -> None:
    hidden = capped.changed(location_free=True)
    media_id = await add(hidden)
    direct = await http("GET", f"/v1/media/{media_id}/download", grant=hidden.grant("view"))
    assert (direct.status, count_of(direct)) == (200, counted_access("downloads", hidden.id))
    (listed,) = (await client.view(hidden)).json["items"]
    parts = urlsplit(listed["original"]["url"])
    followed = await http("GET", f"{parts.path}?{parts.query}")
    assert (followed.status, count_of(followed)) == (302, counted_access("downloads", hidden.id))


async def test_an_archive_is_one_download_and_its_continuation_none(
    http: Http, capped: Gallery, make_gallery: Callable[..., Gallery], add: Any, clock: Clock
) -> None:
    await add(capped)
    await add(capped)
    view, path = capped.grant("view"), "/v1/g/k7dm/archive"
    downloads = counted_access("downloads", capped.id)

    async def ask(method: str = "GET", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await http(method, path, grant=view, headers=named)

    whole = await ask()
    assert (whole.status, count_of(whole)) == (200, downloads)
    etag = whole.headers["etag"]
    for condition in ({"if_range": etag}, {"if_match": etag}):
        rest = await ask(range="bytes=10-", **condition)
        assert (rest.status, count_of(rest), rest.headers["etag"]) == (206, None, etag)
        assert rest.body == whole.body[10:]
    # From the beginning, or without the tag of a counted one, it is another download.
    assert count_of(await ask(range="bytes=0-", if_range=etag)) == downloads
    assert count_of(await ask(range="bytes=10-")) == downloads
    head = await ask("HEAD")
    assert (head.status, count_of(head)) == (200, None)
    after_head = await ask(range="bytes=10-", if_range=head.headers["etag"])
    assert (after_head.status, count_of(after_head)) == (206, downloads)
    forged = await ask(range="bytes=10-", if_range=etag[:-2] + ('0"' if etag[-2] != "0" else '1"'))
    assert (forged.status, count_of(forged)) == (200, downloads)
    clock.pass_by(timedelta(days=1, seconds=1))
    late = await ask(range="bytes=10-", if_range=etag)
    assert (late.status, count_of(late)) == (200, downloads)


async def test_late_and_repeated_events_change_no_count(
    client: Client, http: Http, capped: Gallery, add: Any, tell: Teller, clock: Clock
) -> None:
    await add(capped)
    newer, older = capped.updated(clock(), closed=False), capped.updated(clock(), closed=True)
    for event, sequence in ((newer, 5), (newer, 5), (older, 4)):
        await tell(event, sequence=sequence)
    page = await client.view(capped)
    assert count_of(page) == counted_access("views", capped.id)
    parts = urlsplit(page.json["items"][0]["original"]["url"])
    assert count_of(await http("GET", f"{parts.path}?{parts.query}")) == counted_access(
        "downloads", capped.id
    )


@pytest.fixture
async def owned(make_gallery: Callable[..., Gallery], tell: Teller, clock: Clock) -> Gallery:
    """Returns a gallery of an account whose tier has links."""
    owner_id = new_id()
    await tell(AccountCreated(account_id=owner_id, tier="Enterprise", created_at=clock()))
    return make_gallery(owner_id=owner_id, expires_at=None)


async def make_link(http: Http, gallery: Gallery, media_id: str, **caps: Any) -> Any:
    answer = await http(
        "POST", f"/v1/media/{media_id}/links", grant=gallery.grant(), body={"valid_for": 300, **caps}
    )
    assert answer.status == 201, answer.body
    return answer.json


async def follow(http: Http, link: Any) -> Answer:
    return await http("GET", urlsplit(link["link"]).path)


@pytest.mark.parametrize(
    "caps", [{"max_views": 2}, {"max_downloads": 2}, {"max_views": 2, "max_downloads": 9}]
)
async def test_a_link_ends_at_its_smaller_cap(http: Http, owned: Gallery, add: Any, caps: Any) -> None:
    media_id = await add(owned)
    link = await make_link(http, owned, media_id, **caps)
    used = ("max_views", "views_used", "max_downloads", "downloads_used")
    assert [link[name] for name in used] == [caps.get("max_views"), 0, caps.get("max_downloads"), 0]

    assert [(await follow(http, link)).status for _ in range(2)] == [302, 302]
    refused = await follow(http, link)
    assert (refused.status, refused.code) == (410, "link_expired")
    listed = await http("GET", f"/v1/media/{media_id}/links", grant=owned.grant())
    (shown,) = listed.json["items"]
    assert [shown[name] for name in used] == [
        caps.get("max_views"),
        2 if "max_views" in caps else 0,
        caps.get("max_downloads"),
        2 if "max_downloads" in caps else 0,
    ]


async def test_fifty_at_once_follow_a_link_of_ten_ten_times(http: Http, owned: Gallery, add: Any) -> None:
    link = await make_link(http, owned, await add(owned), max_downloads=10)
    answers = await asyncio.gather(*(follow(http, link) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [302] * 10 + [410] * 40


async def test_a_link_that_leads_nowhere_is_not_used_up(
    client: Client, http: Http, owned: Gallery, worker: Worker, published: Publications
) -> None:
    item = await client.upload(owned, JPEG)
    link = await make_link(http, owned, item["id"], max_views=1)
    assert (await follow(http, link)).code == "media_not_ready"
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))
    assert [(await follow(http, link)).status for _ in range(2)] == [302, 410]


async def test_a_link_without_a_cap_counts_nothing(
    http: Http, owned: Gallery, add: Any, database: Database
) -> None:
    link = await make_link(http, owned, await add(owned))
    assert [(await follow(http, link)).status for _ in range(3)] == [302] * 3
    assert await database.hot.fetchval("SELECT follow_count FROM links") == 0


@pytest.mark.parametrize("value", [0, -1, 1_000_001, "1", 1.5, True])
@pytest.mark.parametrize("field", ["max_views", "max_downloads"])
async def test_a_cap_of_a_link_is_a_whole_number_within_bounds(
    http: Http, owned: Gallery, add: Any, field: str, value: Any
) -> None:
    answer = await http(
        "POST",
        f"/v1/media/{await add(owned)}/links",
        grant=owned.grant(),
        body={"valid_for": 300, field: value},
    )
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert [error["field"] for error in answer.json["errors"]] == [field]
