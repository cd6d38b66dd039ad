"""Expiring links: exact to the second, only with a tier that allows them, deleted with their item."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.storage import SignedRequest
from kappi_contracts.events import (
    AccountCreated,
    AccountTierChanged,
    GalleryDeleted,
    LinkExpired,
    TierChanged,
)
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.renditions import MakeRendition
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

JPEG = encode(quadrants(64, 48), "JPEG")
HOLLOW_GIF = b"GIF89a" + bytes(20)
Publications = Callable[..., Awaitable[list[Published]]]


@pytest.fixture
def owner_id() -> UUID:
    return new_id()


@pytest.fixture
async def owned(make_gallery: Callable[..., Gallery], owner_id: UUID, tell: Teller, clock: Clock) -> Gallery:
    """Returns a gallery of an account whose tier has links."""
    await tell(AccountCreated(account_id=owner_id, tier="Enterprise", created_at=clock()))
    return make_gallery(owner_id=owner_id, expires_at=None)


@pytest.fixture
def client(http: Http, worker: Worker, published: Publications) -> Client:
    """Returns a client whose uploads are processed: until then a link leads nowhere."""

    class Patient(Client):
        async def upload(self, gallery: Gallery, body: bytes, **declared: Any) -> dict[str, Any]:
            item = await super().upload(gallery, body, **declared)
            await worker.process(redelivered((await published("UploadCompleted"))[-1]))
            return item

    return Patient(http)


async def make(http: Http, gallery: Gallery, media_id: str, valid_for: Any = 300, **headers: str) -> Answer:
    return await http(
        "POST",
        f"/v1/media/{media_id}/links",
        grant=gallery.grant(),
        body={"valid_for": valid_for},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


async def follow(http: Http, link: str) -> Answer:
    return await http("GET", urlsplit(link).path)


async def live(http: Http, gallery: Gallery, media_id: str, query: str = "") -> Any:
    answer = await http("GET", f"/v1/media/{media_id}/links{query}", grant=gallery.grant())
    assert answer.status == 200, answer.body
    return answer.json


async def test_a_link_brings_the_original_to_anyone(
    client: Client,
    make_http: Callable[..., Http],
    owned: Gallery,
    database: Database,
    published: Publications,
    clock: Clock,
) -> None:
    http = make_http(public_url="https://kappi.example/")
    item = await client.upload(owned, JPEG, filename="日の出.jpg")
    answer = await make(http, owned, item["id"], 3600)
    assert answer.status == 201
    made = answer.json
    assert set(made) == {
        *("id", "link", "expires_at", "expires_in", "valid_for", "created_at"),
        *("max_views", "views_used", "max_downloads", "downloads_used"),
    }
    assert made["valid_for"] == 3600
    assert 3540 < made["expires_in"] <= 3600
    expires_at = datetime.fromisoformat(made["expires_at"])
    assert expires_at - datetime.fromisoformat(made["created_at"]) == timedelta(hours=1)
    assert made["link"].startswith("https://kappi.example/v1/l/")
    token = made["link"].rpartition("/")[2]
    assert len(token) == 32

    followed = await follow(http, made["link"])
    assert (followed.status, followed.body) == (302, b"")
    assert followed.headers["cache-control"] == "private, no-store"
    assert followed.headers["referrer-policy"] == "no-referrer"
    found = await call(SignedRequest(followed.headers["location"], "GET", {}, utc_now()))
    assert (found.status, found.body) == (200, JPEG)

    (event,) = await published("LinkCreated")
    assert (event.key, event.sequence) == (made["id"], 1)
    assert event.data["media_id"] == item["id"]
    assert datetime.fromisoformat(event.data["expires_at"]) == expires_at
    kept = await database.hot.fetchval("SELECT token_hash FROM links")
    assert kept == hashlib.sha256(token.encode()).digest()
    assert token not in str(await database.hot.fetch("SELECT * FROM links"))
    told = await database.hot.fetchval("SELECT payload FROM outbox WHERE topic = 'LinkCreated'")
    assert token.encode() not in told


class Standing:
    """A clock that shows a fixed time."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def at(
    deps: Dependencies, make_settings: Callable[..., MediaSettings], make_rendition: MakeRendition
) -> Callable[[datetime], Http]:
    """`at(instant)` returns the app at that instant."""
    return lambda instant: Http(
        build_app(replace(deps, clock=Standing(instant)), make_settings(), make_rendition)
    )


def end_of(url: str) -> int:
    """Returns when the local store stops accepting a signed URL, in seconds since 1970."""
    return int(parse_qs(urlsplit(url).query)["expires"][0])


async def test_a_link_stops_at_its_second_and_so_does_what_it_leads_to(
    client: Client, http: Http, owned: Gallery, at: Callable[[datetime], Http]
) -> None:
    item = await client.upload(owned, JPEG)
    made = (await make(http, owned, item["id"])).json
    expires_at = datetime.fromisoformat(made["expires_at"])
    for before in (timedelta(microseconds=1), timedelta(seconds=1), timedelta(seconds=299, microseconds=9)):
        followed = await follow(at(expires_at - before), made["link"])
        assert followed.status == 302
        assert end_of(followed.headers["location"]) == expires_at.timestamp()
    for after in (timedelta(0), timedelta(microseconds=1), timedelta(days=1)):
        late = await follow(at(expires_at + after), made["link"])
        assert (late.status, late.code) == (410, "link_expired")
        assert "location" not in late.headers


async def test_what_a_long_link_leads_to_is_signed_for_ten_minutes_only(
    client: Client, http: Http, owned: Gallery, at: Callable[[datetime], Http]
) -> None:
    item = await client.upload(owned, JPEG)
    made = (await make(http, owned, item["id"], 30_000)).json
    begun = datetime.fromisoformat(made["created_at"])
    followed = await follow(at(begun + timedelta(seconds=100.5)), made["link"])
    # The URL must not outlive a revoked link for long.
    assert end_of(followed.headers["location"]) == begun.timestamp() + 100 + 600


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"valid_for": 299}, 422, "validation_failed"),
        ({"valid_for": 30_001}, 422, "validation_failed"),
        ({"valid_for": "300"}, 422, "validation_failed"),
        ({"valid_for": 300.5}, 422, "validation_failed"),
        ({"valid_for": None}, 422, "validation_failed"),
        ({}, 422, "validation_failed"),
        ({"valid_for": 300}, 201, None),
        ({"valid_for": 30_000}, 201, None),
    ],
)
async def test_a_link_lives_for_300_to_30000_seconds(
    client: Client, http: Http, owned: Gallery, body: Any, status: int, code: str | None
) -> None:
    item = await client.upload(owned, JPEG)
    answer = await http("POST", f"/v1/media/{item['id']}/links", grant=owned.grant(), body=body)
    assert answer.status == status
    if code is not None:
        assert answer.code == code
        assert answer.json["errors"][0]["field"] == "valid_for"


async def test_only_a_tier_with_links_makes_them_and_those_made_live_on(
    client: Client,
    http: Http,
    owned: Gallery,
    gallery: Gallery,
    owner_id: UUID,
    clock: Clock,
    tell: Teller,
) -> None:
    item = await client.upload(owned, JPEG)
    made = (await make(http, owned, item["id"])).json
    anonymous = await client.upload(gallery, JPEG)
    refused = await make(http, gallery, anonymous["id"])
    assert (refused.status, refused.code) == (403, "links_not_in_tier")

    await tell(AccountTierChanged(account_id=owner_id, tier="Premium", changed_at=clock()), sequence=2)
    clock.pass_by(timedelta(seconds=3))
    refused = await make(http, owned, item["id"])
    assert (refused.status, refused.code) == (403, "links_not_in_tier")
    assert (await follow(http, made["link"])).status == 302
    assert len((await live(http, owned, item["id"]))["items"]) == 1

    await tell(
        TierChanged(
            name="Premium",
            rendition_sizes=[200],
            original_access=False,
            expiring_links=True,
            max_file_bytes=1 << 20,
            quota_bytes=None,
            deleted=False,
            changed_at=clock(),
        )
    )
    clock.pass_by(timedelta(seconds=3))
    refused = await make(http, owned, item["id"])
    assert (refused.status, refused.code) == (403, "original_not_in_tier")


async def test_live_links_are_listed_page_by_page_without_their_tokens(
    client: Client, http: Http, owned: Gallery, clock: Clock
) -> None:
    item, other = await client.upload(owned, JPEG), await client.upload(owned, JPEG)
    assert await live(http, owned, item["id"]) == {"items": [], "next_cursor": None}
    made = [(await make(http, owned, item["id"], seconds)).json for seconds in (300, 900, 1000, 1100)]
    await make(http, owned, other["id"])
    shown = await live(http, owned, item["id"])
    told_when_asked = {"link", "expires_in"}
    assert [{name: one[name] for name in one if name not in told_when_asked} for one in shown["items"]] == [
        {name: one[name] for name in one if name not in told_when_asked} for one in made
    ]
    assert all(one["valid_for"] - 30 < one["expires_in"] <= one["valid_for"] for one in shown["items"])
    clock.pass_by(timedelta(seconds=301))
    first = await live(http, owned, item["id"], "?limit=2")
    assert [one["id"] for one in first["items"]] == [one["id"] for one in made[1:3]]
    second = await live(http, owned, item["id"], f"?limit=2&cursor={first['next_cursor']}")
    assert [one["id"] for one in second["items"]] == [made[3]["id"]]
    assert second["next_cursor"] is None
    faulty = await http("GET", f"/v1/media/{item['id']}/links?limit=0", grant=owned.grant())
    assert (faulty.status, faulty.code) == (422, "validation_failed")


async def test_a_revoked_link_is_as_if_it_had_never_been(
    client: Client, http: Http, owned: Gallery, make_gallery: Callable[..., Gallery]
) -> None:
    item = await client.upload(owned, JPEG)
    made = (await make(http, owned, item["id"])).json
    path = f"/v1/links/{made['id']}"
    stranger = make_gallery(owner_id=new_id())
    answer = await http("DELETE", path, grant=stranger.grant())
    assert (answer.status, answer.code) == (404, "link_not_found")
    assert (await follow(http, made["link"])).status == 302
    assert (await http("DELETE", path, grant=owned.grant())).status == 204
    for link in (
        made["link"],
        "https://x/v1/l/nonsense",
        f"https://x/v1/l/{'x' * 5000}",
        "https://x/v1/l/%00",
    ):
        unknown = await follow(http, link)
        assert (unknown.status, unknown.code) == (404, "link_not_found")
    assert (await http("DELETE", path, grant=owned.grant())).code == "link_not_found"
    assert (await live(http, owned, item["id"]))["items"] == []


async def test_others_items_have_no_links(
    client: Client, http: Http, owned: Gallery, owner_id: UUID, make_gallery: Callable[..., Gallery]
) -> None:
    item = await client.upload(owned, JPEG)
    second = make_gallery(owner_id=owner_id)
    for media_id in (item["id"], str(new_id())):
        answer = await make(http, second, media_id)
        assert (answer.status, answer.code) == (404, "media_not_found")
        answer = await http("GET", f"/v1/media/{media_id}/links", grant=second.grant())
        assert (answer.status, answer.code) == (404, "media_not_found")


async def test_a_key_that_others_may_choose_too_makes_no_link(
    client: Client, http: Http, owned: Gallery, published: Publications
) -> None:
    item = await client.upload(owned, JPEG)
    for key in ("the-same-key", "0" * 40):
        refused = await make(http, owned, item["id"], idempotency_key=key)
        assert (refused.status, refused.code) == (400, "idempotency_key_invalid")
    assert await published("LinkCreated") == []


async def test_the_same_idempotency_key_makes_one_link(
    client: Client, http: Http, owned: Gallery, published: Publications, database: Database
) -> None:
    item = await client.upload(owned, JPEG)
    answers = [
        await make(http, owned, item["id"], idempotency_key="the-same-key-for-this-link") for _ in range(2)
    ]
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    assert len(await published("LinkCreated")) == 1
    other = await make(http, owned, item["id"], 400, idempotency_key="the-same-key-for-this-link")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert answers[0].json["link"].encode() not in await database.hot.fetchval(
        "SELECT sealed_body FROM idempotency"
    )


async def test_a_repeated_request_is_told_how_long_its_link_lives_now(
    client: Client, http: Http, owned: Gallery, clock: Clock
) -> None:
    item = await client.upload(owned, JPEG)
    first = await make(http, owned, item["id"], 600, idempotency_key="the-same-key-much-later")
    clock.pass_by(timedelta(seconds=100))
    again = await make(http, owned, item["id"], 600, idempotency_key="the-same-key-much-later")
    assert (again.json["link"], again.json["expires_at"]) == (first.json["link"], first.json["expires_at"])
    assert 470 < again.json["expires_in"] <= 500


async def test_links_go_with_their_item_and_their_gallery(
    http: Http,
    owned: Gallery,
    owner_id: UUID,
    worker: Worker,
    published: Publications,
    tell: Teller,
    clock: Clock,
    database: Database,
) -> None:
    client = Client(http)
    deleted, kept = await client.upload(owned, JPEG), await client.upload(owned, JPEG)
    hollow = await client.upload(owned, HOLLOW_GIF, content_type="image/gif")
    links = [(await make(http, owned, item["id"])).json["link"] for item in (deleted, hollow, kept)]
    early = await follow(http, links[2])
    assert (early.status, early.code) == (409, "media_not_ready"), "nothing has looked at it yet"
    await http("DELETE", f"/v1/media/{deleted['id']}", grant=owned.grant())
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    assert [(await follow(http, link)).status for link in links] == [404, 404, 302]
    assert (await make(http, owned, hollow["id"])).code == "media_not_found"
    gone = GalleryDeleted(gallery_id=owned.id, owner_id=owner_id, reason="requested", deleted_at=clock())
    await tell(gone)
    assert (await follow(http, links[2])).code == "link_not_found"
    assert await database.hot.fetchval("SELECT count(*) FROM links") == 0


async def test_the_janitors_claim_removes_only_what_is_over(
    client: Client, http: Http, owned: Gallery, tell: Teller
) -> None:
    item = await client.upload(owned, JPEG)
    made = (await make(http, owned, item["id"])).json
    expires_at = datetime.fromisoformat(made["expires_at"])

    def claim(as_of: datetime) -> LinkExpired:
        return LinkExpired(
            link_id=UUID(made["id"]),
            media_id=UUID(item["id"]),
            expires_at=expires_at,
            as_of=as_of,
            origin="operator",
        )

    await tell(claim(expires_at - timedelta(microseconds=1)))
    assert (await follow(http, made["link"])).status == 302
    for _ in range(2):
        await tell(claim(expires_at))
        assert (await follow(http, made["link"])).code == "link_not_found"


async def test_no_link_outlives_its_gallery(
    client: Client, http: Http, make_gallery: Callable[..., Gallery], clock: Clock, tell: Teller
) -> None:
    await tell(
        TierChanged(
            name="Anonymous",
            rendition_sizes=[400],
            original_access=True,
            expiring_links=True,
            max_file_bytes=1 << 20,
            quota_bytes=None,
            deleted=False,
            changed_at=clock(),
        )
    )
    clock.pass_by(timedelta(seconds=3))
    ends_at = clock().replace(microsecond=0) + timedelta(minutes=7)
    gallery = make_gallery(expires_at=ends_at + timedelta(milliseconds=400))
    item = await client.upload(gallery, JPEG)
    made = (await make(http, gallery, item["id"], 3600)).json
    assert datetime.fromisoformat(made["expires_at"]) == ends_at


async def test_a_code_makes_no_links(client: Client, http: Http, owned: Gallery) -> None:
    item = await client.upload(owned, JPEG)
    for right in ("view", "contribute"):
        answer = await http(
            "POST", f"/v1/media/{item['id']}/links", grant=owned.grant(right), body={"valid_for": 300}
        )
        assert (answer.status, answer.code) == (403, "right_missing")


async def test_links_of_a_closed_gallery_lead_nowhere_until_it_is_open_again(
    client: Client, http: Http, owned: Gallery, tell: Teller, clock: Clock
) -> None:
    item = await client.upload(owned, JPEG)
    made = (await make(http, owned, item["id"])).json
    for sequence, closed in ((2, True), (3, False)):
        await tell(owned.updated(clock(), closed=closed), sequence=sequence)
        followed = await follow(http, made["link"])
        assert followed.status == (404 if closed else 302)
    assert followed.status == 302
