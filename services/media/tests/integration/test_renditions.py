"""Renditions made on request: once for all callers, also with failures."""

from __future__ import annotations

import asyncio
import io
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import asyncpg
import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.storage import SignedRequest
from kappi_contracts.events import AccountCreated, GalleryDeleted, TierChanged
from kappi_contracts.keys import rendition_key
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_renditions
from kappi_media.domain.shares import NO_SHARE, Share
from kappi_media.rendering.failures import DecoderKilled
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import GridPicture, RenderedImage, RenditionSize
from kappi_media.repository.renditions import RenditionQueries
from kappi_media.settings import MediaSettings
from kappi_media.use_cases import renditions
from kappi_media.use_cases.renditions import DEFAULT_BOUNDS, FAILURE_KEPT, LEASE, WaitingBounds
from kappi_mediameta.probing import Probe, RangedSource
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected
from kappi_testkit.asgi import Answer
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
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
from kappi_testkit.media.samples import MovieShape, Shot, encode, movie, quadrants
from kappi_testkit.signed_requests import call
from PIL import Image
from thumbhash import thumb_hash_to_approximate_aspect_ratio

PHOTO = encode(quadrants(1200, 900), "JPEG", shot=Shot(orientation=6))
SMALL = encode(quadrants(64, 48), "JPEG")
Publications = Callable[..., Awaitable[list[Published]]]


class Counting:
    """A renderer that counts. go: set to continue. reject: fail as if no decoder accepted the file.

    killed: fail as if the machine had no memory.
    """

    def __init__(self, inner: Renderer | None = None) -> None:
        self._inner = inner
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.reject = False
        self.reason = RejectReason.TOO_COMPLEX
        self.killed = False

    def begun(self) -> None:
        assert self.asked

    async def render(
        self,
        source: RangedSource,
        probe: Probe,
        sizes: Sequence[RenditionSize],
        *,
        fmt: RenditionFormat = "jpeg",
        share: Share = NO_SHARE,
    ) -> tuple[RenderedImage, ...]:
        self.asked += [f"{size}.{fmt}" for size in sizes]
        await self.go.wait()
        if self.reject:
            raise RenderRejected(self.reason, "as the test says")
        if self.killed:
            raise DecoderKilled("ended with -9")
        if self._inner is not None:
            return await self._inner.render(source, probe, sizes, fmt=fmt)
        return tuple(RenderedImage(body=SMALL, width=64, height=48) for _ in sizes)

    async def render_grid(
        self, source: RangedSource, probe: Probe, size: RenditionSize, *, share: Share = NO_SHARE
    ) -> GridPicture:
        raise AssertionError("the worker's")


Replica = Callable[..., Http]


@pytest.fixture
async def replica(deps: Dependencies, make_settings: Callable[..., MediaSettings]) -> AsyncIterator[Replica]:
    """`replica(counting)` returns one more process of the service, with a renderer of its own."""
    makers = []

    def start(counting: Counting, bounds: WaitingBounds = DEFAULT_BOUNDS, **changed: Any) -> Http:
        make = build_renditions(deps, counting, bounds)
        makers.append(make)
        return Http(build_app(deps, make_settings(**changed), make))

    yield start
    for make in makers:
        await make.close()


Ready = Callable[..., Awaitable[str]]


@pytest.fixture
def ready(client: Client, worker: Worker, published: Publications) -> Ready:
    """`await ready(gallery)` returns the id of an item that was processed."""

    async def upload(gallery: Gallery, body: bytes = SMALL, **declared: Any) -> str:
        item = await client.upload(gallery, body, **declared)
        await worker.process(redelivered((await published("UploadCompleted"))[-1]))
        return str(item["id"])

    return upload


async def ask(
    http: Http, gallery: Gallery, media_id: str, size: int | str, *, client: str = "", **headers: str
) -> Answer:
    path = f"/v1/media/{media_id}/renditions/{size}"
    if client:
        headers["x-forwarded-for"] = client
    return await http("GET", path, grant=gallery.grant("view"), headers=headers)


async def look(http: Http, gallery: Gallery, media_id: str) -> Any:
    return (await http("GET", f"/v1/media/{media_id}", grant=gallery.grant("view"))).json


async def fetch(url: str) -> Image.Image:
    found = await call(SignedRequest(url, "GET", {}, utc_now()))
    assert found.status == 200
    return Image.open(io.BytesIO(found.body))


async def test_an_account_moved_to_a_tier_gets_its_sizes_within_seconds(
    client: Client,
    http: Http,
    make_gallery: Callable[..., Gallery],
    ready: Ready,
    clock: Clock,
    tell: Teller,
    published: Publications,
) -> None:
    owner_id = new_id()
    gallery = make_gallery(owner_id=owner_id, visibility="private")
    media_id = await ready(gallery, PHOTO)
    answer = await ask(http, gallery, media_id, 777)
    assert (answer.status, answer.code) == (403, "rendition_not_in_tier")
    before = (await client.view(gallery)).headers["etag"]

    studio = TierChanged(
        name="Studio",
        rendition_sizes=[123, 777],
        original_access=True,
        expiring_links=False,
        max_file_bytes=1_000_000,
        quota_bytes=None,
        deleted=False,
        changed_at=clock(),
    )
    await tell(studio)
    await tell(AccountCreated(account_id=owner_id, tier="Studio", created_at=clock()))
    clock.pass_by(timedelta(seconds=3))

    answer = await ask(http, gallery, media_id, 777)
    assert answer.status == 302, answer.body
    assert answer.headers["cache-control"] == "private, no-store"
    picture = await fetch(answer.headers["location"])
    # Stored on its side, shown upright.
    assert (picture.format, picture.size) == ("JPEG", (1036, 777))
    listed = (await look(http, gallery, media_id))["renditions"]
    assert set(listed) == {"123", "777"}
    assert urlsplit(listed["777"]["url"]).path == urlsplit(answer.headers["location"]).path
    page = await client.view(gallery, if_none_match=before)
    assert set(page.json["items"][0]["renditions"]) == {"123", "777"}
    assert (await ask(http, gallery, media_id, 200)).code == "rendition_not_in_tier"
    assert [event.topic for event in await published()] == ["UploadCompleted", "MediaReady"]


async def test_a_listed_url_makes_what_is_not_made_yet(
    client: Client, http: Http, gallery: Gallery, ready: Ready, clock: Clock
) -> None:
    media_id = await ready(gallery, PHOTO)
    before = await client.view(gallery)
    url = before.json["items"][0]["renditions"]["2048"]["url"]
    path = "/v1/media/" + url.partition("/v1/media/")[2]
    answer = await http("GET", path, headers={"accept": "image/avif,image/webp,*/*;q=0.8"})
    assert answer.status == 302, answer.body
    assert answer.headers["cache-control"] == "private, no-store"
    picture = await fetch(answer.headers["location"])
    assert picture.format == "JPEG"
    assert picture.size == (1200, 900), "never enlarged"
    listed = (await client.view(gallery)).json["items"][0]["renditions"]["2048"]["url"]
    assert urlsplit(listed).path == urlsplit(answer.headers["location"]).path, "of the store, from now on"
    assert (await http("GET", path)).status == 302

    for wrong in (path.replace("/2048?", "/200?"), path[:-1] + ("0" if path[-1] != "0" else "1")):
        refused = await http("GET", wrong)
        assert (refused.status, refused.code) == (403, "rendition_url_invalid")
    unknown = await http("GET", path.replace(media_id, str(new_id())))
    assert (unknown.status, unknown.code) == (403, "rendition_url_invalid")
    clock.pass_by(timedelta(minutes=20))
    assert (await http("GET", path)).code == "rendition_url_invalid"


async def test_a_listed_url_leads_nowhere_beyond_its_own_end(
    client: Client, http: Http, gallery: Gallery, ready: Ready, clock: Clock
) -> None:
    await ready(gallery, PHOTO)
    listed = (await client.view(gallery)).json["items"][0]["renditions"]["2048"]
    clock.pass_by(timedelta(minutes=9))
    answer = await http("GET", "/v1/media/" + listed["url"].partition("/v1/media/")[2])
    assert answer.status == 302, answer.body
    expires = dict(parse_qsl(urlsplit(answer.headers["location"]).query))["expires"]
    assert datetime.fromtimestamp(int(expires), UTC) == datetime.fromisoformat(listed["expires_at"])


async def test_a_listed_url_of_a_closed_gallery_is_good_no_more(
    client: Client, http: Http, gallery: Gallery, ready: Ready, tell: Teller, clock: Clock
) -> None:
    await ready(gallery, PHOTO)
    url = (await client.view(gallery)).json["items"][0]["renditions"]["2048"]["url"]
    await tell(gallery.updated(clock(), closed=True), sequence=2)
    refused = await http("GET", "/v1/media/" + url.partition("/v1/media/")[2])
    assert (refused.status, refused.code) == (403, "rendition_url_invalid")


async def test_a_film_gives_its_poster(http: Http, gallery: Gallery, ready: Ready) -> None:
    film = movie(MovieShape(width=640, height=480, rotation=-90, seconds=1))
    media_id = await ready(gallery, film, content_type="video/mp4")
    answer = await ask(http, gallery, media_id, 200)
    assert (await fetch(answer.headers["location"])).size == (150, 200)


@pytest.mark.parametrize(
    ("size", "accept", "made"),
    [
        ("200", "*/*", "200.jpeg"),
        ("400x200", "image/jpeg", "400x200.jpeg"),
        ("400", "image/avif,image/webp,*/*;q=0.8", "400.avif"),
        ("200x200", "image/webp", "200x200.webp"),
    ],
)
async def test_five_hundred_first_requests_make_one(
    replica: Replica,
    renderer: Renderer,
    gallery: Gallery,
    ready: Ready,
    database: Database,
    size: str,
    accept: str,
    made: str,
) -> None:
    media_id = await ready(gallery, PHOTO)
    counting = Counting(renderer)
    http = replica(counting)
    answers = await asyncio.gather(*(ask(http, gallery, media_id, size, accept=accept) for _ in range(500)))
    assert {answer.status for answer in answers} == {302}
    assert len({answer.headers["location"] for answer in answers}) <= 2  # a new bucket may begin meanwhile
    assert counting.asked == [made]
    again = await ask(http, gallery, media_id, size, accept=accept)
    assert again.status == 302
    assert counting.asked == [made]
    assert await database.hot.fetchval("SELECT count(*) FROM rendition_claims") == 0


@pytest.mark.parametrize(("fmt", "extension"), [("jpeg", "jpg"), ("webp", "webp"), ("avif", "avif")])
async def test_a_cover_in_each_format(
    http: Http,
    client: Client,
    gallery: Gallery,
    ready: Ready,
    store: FaultyStore,
    database: Database,
    fmt: RenditionFormat,
    extension: str,
) -> None:
    media_id = await ready(gallery, PHOTO)
    version = (await client.view(gallery)).headers["etag"]
    answer = await ask(http, gallery, media_id, "400x200", accept=f"image/{fmt}")
    assert (answer.status, answer.headers["vary"]) == (302, "Accept")
    assert f"/renditions/400x200.{extension}" in answer.headers["location"]
    picture = await fetch(answer.headers["location"])
    assert (picture.format, picture.size) == (fmt.upper(), (400, 200))
    stored = await store.head(rendition_key(gallery.id, UUID(media_id), "400x200", fmt))
    assert stored.content_type == f"image/{fmt}"
    # Only JPEGs are listed, and only they change a page.
    listed = (await look(http, gallery, media_id))["renditions"]
    assert set(listed) - {"200", "400", "2048"} == ({"400x200"} if fmt == "jpeg" else set())
    page = await client.view(gallery, if_none_match=version)
    assert page.status == (200 if fmt == "jpeg" else 304)
    kept = await database.hot.fetch("SELECT size, format FROM renditions ORDER BY size, format")
    assert [tuple(row) for row in kept] == [("400", "jpeg"), ("400x200", fmt)]


async def test_one_that_cannot_be_made_in_a_format_says_nothing_about_the_others(
    replica: Replica, gallery: Gallery, ready: Ready
) -> None:
    media_id = await ready(gallery)
    counting = Counting()
    counting.reject = True
    http = replica(counting)
    assert (await ask(http, gallery, media_id, 200, accept="image/avif")).code == "rendition_impossible"
    counting.reject = False
    assert (await ask(http, gallery, media_id, 200)).status == 302
    assert (await ask(http, gallery, media_id, 200, accept="image/avif")).code == "rendition_impossible"
    assert counting.asked == ["200.avif", "200.jpeg"]


async def test_a_cover_needs_both_its_sides_in_the_tier(
    http: Http, make_gallery: Callable[..., Gallery], ready: Ready, tell: Teller, clock: Clock
) -> None:
    owner_id = new_id()
    basic = make_gallery(owner_id=owner_id, visibility="private")
    await tell(AccountCreated(account_id=owner_id, tier="Basic", created_at=clock()))
    media_id = await ready(basic)
    assert (await ask(http, basic, media_id, "200x200")).status == 302
    for size in ("400x200", "200x400", "600x600", "200x201"):
        answer = await ask(http, basic, media_id, size)
        assert (answer.status, answer.code) == (403, "rendition_not_in_tier")
        assert "200x200" in answer.json["detail"]


async def test_a_placeholder_comes_with_the_grid(
    http: Http, client: Client, gallery: Gallery, worker: Worker, published: Publications
) -> None:
    item = await client.upload(gallery, PHOTO)
    assert item["placeholder"] is None
    assert (await client.view(gallery)).json["items"][0]["placeholder"] is None
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))
    placeholder = (await look(http, gallery, item["id"]))["placeholder"]
    ratio = thumb_hash_to_approximate_aspect_ratio(list(b64decode(placeholder, validate=True)))
    assert ratio > 1  # upright: the photograph is stored on its side
    assert (await client.view(gallery)).json["items"][0]["placeholder"] == placeholder


async def test_replicas_leave_it_to_the_first(replica: Replica, gallery: Gallery, ready: Ready) -> None:
    media_id = await ready(gallery)
    replicas = [Counting() for _ in range(3)]
    apps = [replica(counting) for counting in replicas]
    answers = await asyncio.gather(*(ask(http, gallery, media_id, 200) for http in apps for _ in range(10)))
    assert {answer.status for answer in answers} == {302}
    assert sum(len(counting.asked) for counting in replicas) == 1


async def test_a_replica_that_died_over_it_is_replaced(
    replica: Replica, gallery: Gallery, ready: Ready, clock: Clock, database: Database
) -> None:
    media_id = await ready(gallery)
    await database.hot.execute(
        "INSERT INTO rendition_claims (media_id, size, held_until) VALUES ($1, '200', $2)",
        UUID(media_id),
        clock() + LEASE,
    )
    counting = Counting()
    waiting = asyncio.ensure_future(ask(replica(counting), gallery, media_id, 200))
    done, _ = await asyncio.wait([waiting], timeout=3 * renditions.POLL_S)
    assert not done
    assert counting.asked == []
    clock.pass_by(LEASE)
    assert (await waiting).status == 302
    assert counting.asked == ["200.jpeg"]


@pytest.mark.parametrize(
    "outage",
    [None, asyncpg.ConnectionDoesNotExistError("it was ended"), TimeoutError(), ConnectionRefusedError()],
)
async def test_a_slow_first_keeps_its_claim(
    replica: Replica,
    gallery: Gallery,
    ready: Ready,
    clock: Clock,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    outage: Exception | None,
) -> None:
    outages = [] if outage is None else [outage]
    renew = RenditionQueries.renew

    async def renew_after(*given: Any, **named: Any) -> bool:
        if outages:
            raise outages.pop()
        return await renew(*given, **named)

    monkeypatch.setattr(RenditionQueries, "renew", renew_after)
    monkeypatch.setattr(renditions, "RENEW_EVERY_S", 0.02)
    media_id = await ready(gallery)
    slow, other = Counting(), Counting()
    slow.go.clear()
    first = asyncio.ensure_future(ask(replica(slow), gallery, media_id, 200))
    await eventually(slow.begun)

    async def renewed() -> None:
        held_until = await database.hot.fetchval("SELECT held_until FROM rendition_claims")
        assert held_until - clock() > LEASE * 0.9

    for _ in range(3):
        clock.pass_by(LEASE * 0.9)
        await eventually(renewed)
    second = asyncio.ensure_future(ask(replica(other), gallery, media_id, 200))
    done, _ = await asyncio.wait([second], timeout=3 * renditions.POLL_S)
    assert not done
    slow.go.set()
    assert {answer.status for answer in await asyncio.gather(first, second)} == {302}
    assert (slow.asked, other.asked) == (["200.jpeg"], [])
    assert await database.hot.fetchval("SELECT count(*) FROM rendition_claims") == 0


@pytest.mark.parametrize("ending", ["made", "rejected", "killed"])
async def test_one_that_lost_its_claim_leaves_the_next_ones_alone(
    replica: Replica, gallery: Gallery, ready: Ready, clock: Clock, database: Database, ending: str
) -> None:
    media_id = await ready(gallery)
    lost, next_one, third = Counting(), Counting(), Counting()
    lost.go.clear()
    next_one.go.clear()
    first = asyncio.ensure_future(ask(replica(lost), gallery, media_id, 200))
    await eventually(lost.begun)
    clock.pass_by(LEASE)  # as if it had stopped
    second = asyncio.ensure_future(ask(replica(next_one), gallery, media_id, 200))
    await eventually(next_one.begun)
    claim = await database.hot.fetchrow("SELECT held_until, failure FROM rendition_claims")
    lost.reject, lost.killed = ending == "rejected", ending == "killed"
    lost.go.set()
    assert (await first).status == {"made": 302, "rejected": 422, "killed": 503}[ending]
    assert await database.hot.fetchrow("SELECT held_until, failure FROM rendition_claims") == claim
    waiting = asyncio.ensure_future(ask(replica(third), gallery, media_id, 200))
    await asyncio.wait([waiting], timeout=3 * renditions.POLL_S)
    next_one.go.set()
    assert {answer.status for answer in await asyncio.gather(second, waiting)} == {302}
    assert third.asked == []
    assert await database.hot.fetchval("SELECT count(*) FROM rendition_claims") == 0


async def test_nobody_waits_for_ever_for_another_replica(
    replica: Replica,
    gallery: Gallery,
    ready: Ready,
    clock: Clock,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renditions, "TIMEOUT_S", 0.05)
    media_id = await ready(gallery)
    await database.hot.execute(
        "INSERT INTO rendition_claims (media_id, size, held_until) VALUES ($1, '200', $2)",
        UUID(media_id),
        clock() + LEASE,
    )
    answer = await ask(replica(Counting()), gallery, media_id, 200)
    assert (answer.status, answer.code) == (503, "renditions_busy")
    assert answer.headers["retry-after"] == "2"


async def test_what_cannot_be_made_is_not_tried_at_every_request(
    replica: Replica, gallery: Gallery, ready: Ready, clock: Clock
) -> None:
    media_id = await ready(gallery)
    counting = Counting()
    counting.reject, counting.reason = True, RejectReason.CORRUPT
    http = replica(counting)
    for _ in range(3):
        answer = await ask(http, gallery, media_id, 200)
        assert (answer.status, answer.code) == (422, "rendition_impossible")
        assert "corrupt" in answer.json["detail"]
    assert len(counting.asked) == 1
    clock.pass_by(FAILURE_KEPT)
    counting.reject = False
    assert (await ask(http, gallery, media_id, 200)).status == 302


async def test_what_ran_into_its_limits_is_not_tried_again(
    replica: Replica, gallery: Gallery, ready: Ready, clock: Clock
) -> None:
    media_id = await ready(gallery)
    counting = Counting()
    counting.reject = True
    for _ in range(3):  # nor after a restart
        answer = await ask(replica(counting), gallery, media_id, 200)
        assert (answer.status, answer.code) == (422, "rendition_impossible")
        assert "too_complex" in answer.json["detail"]
        clock.pass_by(FAILURE_KEPT)
    assert len(counting.asked) == 1


@pytest.mark.parametrize("ended", ["decoder", "maker"])
async def test_what_ends_its_decoder_or_its_maker_is_not_tried_for_ever(
    replica: Replica, gallery: Gallery, ready: Ready, clock: Clock, database: Database, ended: str
) -> None:
    media_id = await ready(gallery)
    counting = Counting()
    counting.killed = True
    for _ in range(renditions.KILLS):
        assert (await ask(replica(counting), gallery, media_id, 200)).status == 503
        if ended == "maker":  # before it could report it
            await database.hot.execute("UPDATE rendition_claims SET held_until = $1", clock() + LEASE)
        clock.pass_by(LEASE + renditions.REST)
    counting.killed = False
    answer = await ask(replica(counting), gallery, media_id, 200)
    assert (answer.status, answer.code) == (422, "rendition_impossible")
    assert len(counting.asked) == renditions.KILLS


async def test_a_decoder_that_was_killed_is_not_held_against_the_original_but_given_a_rest(
    replica: Replica, gallery: Gallery, ready: Ready, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renditions, "TIMEOUT_S", 0.2)
    media_id = await ready(gallery)
    counting = Counting()
    counting.killed = True
    http = replica(counting)
    for _ in range(3):
        answer = await ask(http, gallery, media_id, 200)
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "renditions_busy", "2")
    assert len(counting.asked) == 1, "what a picture makes of a decoder is not repeated for all who ask"
    counting.killed = False
    clock.pass_by(renditions.REST / 2)
    assert (await ask(http, gallery, media_id, 200)).status == 503
    clock.pass_by(renditions.REST / 2)
    assert (await ask(http, gallery, media_id, 200)).status == 302


async def test_who_waits_is_answered_in_time_and_the_making_goes_on(
    replica: Replica, gallery: Gallery, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renditions, "ANSWER_WITHIN_S", 0.2)
    media_id = await ready(gallery)
    counting = Counting()
    counting.go.clear()
    http = replica(counting)
    answer = await ask(http, gallery, media_id, 200)
    assert (answer.status, answer.code) == (503, "renditions_busy")
    counting.go.set()

    async def made() -> None:
        assert (await ask(http, gallery, media_id, 200)).status == 302

    await eventually(made)
    assert len(counting.asked) == 1


async def test_a_store_that_is_away_leaves_the_way_free(
    replica: Replica, renderer: Renderer, gallery: Gallery, ready: Ready, store: FaultyStore
) -> None:
    media_id = await ready(gallery)
    http = replica(Counting(renderer))
    store.down = True
    answer = await ask(http, gallery, media_id, 200)
    assert (answer.status, answer.code) == (503, "store_unavailable")
    store.down = False
    assert (await ask(http, gallery, media_id, 200)).status == 302


async def test_a_store_that_is_full_says_so_and_shows_what_is_there(
    replica: Replica, renderer: Renderer, gallery: Gallery, ready: Ready, store: FaultyStore
) -> None:
    media_id = await ready(gallery)
    http = replica(Counting(renderer))
    assert (await ask(http, gallery, media_id, 400)).status == 302
    store.full = True
    answer = await ask(http, gallery, media_id, 200)
    assert (answer.status, answer.code) == (507, "storage_full")
    assert (await ask(http, gallery, media_id, 400)).status == 302
    store.full = False
    assert (await ask(http, gallery, media_id, 200)).status == 302


async def test_an_item_that_is_not_ready_says_so(client: Client, http: Http, gallery: Gallery) -> None:
    item = await client.upload(gallery, SMALL)
    answer = await ask(http, gallery, item["id"], 200)
    assert (answer.status, answer.code) == (409, "media_not_ready")


async def test_too_many_at_once_are_told_to_come_back(
    replica: Replica, gallery: Gallery, ready: Ready
) -> None:
    first, second = await ready(gallery), await ready(gallery)
    counting = Counting()
    counting.go.clear()
    http = replica(counting, WaitingBounds(in_all=1))
    waiting = [asyncio.ensure_future(ask(http, gallery, first, 200)) for _ in range(3)]
    await eventually(counting.begun)
    answer = await ask(http, gallery, second, 200)
    assert (answer.status, answer.code) == (503, "renditions_busy")
    counting.go.set()
    assert {answer.status for answer in await asyncio.gather(*waiting)} == {302}
    assert (await ask(http, gallery, second, 200)).status == 302


@pytest.mark.parametrize("same", ["gallery", "client"])
async def test_one_does_not_fill_the_queue_of_all(
    replica: Replica, make_gallery: Callable[..., Gallery], ready: Ready, same: str
) -> None:
    """Many galleries of one client, or one gallery requested by many clients."""
    theirs = make_gallery()
    others = make_gallery() if same == "client" else theirs
    mine = make_gallery()
    first, second, third = await ready(theirs), await ready(others), await ready(mine)
    counting = Counting()
    counting.go.clear()
    http = replica(counting, WaitingBounds(of_one=1))
    elsewhere = "2001:db8:1:2::7" if same == "client" else "192.0.2.1"
    waiting = [asyncio.ensure_future(ask(http, theirs, first, 200, client="2001:db8:1:2::1"))]
    await eventually(counting.begun)
    answer = await ask(http, others, second, 200, client=elsewhere)
    assert (answer.status, answer.code) == (503, "renditions_busy")
    waiting.append(asyncio.ensure_future(ask(http, mine, third, 200, client="198.51.100.1")))

    def both() -> None:
        assert len(counting.asked) == 2

    await eventually(both)
    counting.go.set()
    assert {answer.status for answer in await asyncio.gather(*waiting)} == {302}


async def test_those_who_wait_keep_no_place_from_those_who_look(
    replica: Replica, gallery: Gallery, ready: Ready
) -> None:
    media_id = await ready(gallery)
    counting = Counting()
    counting.go.clear()
    http = replica(counting, max_in_flight=1, max_rendition_requests=3)
    waiting = [asyncio.ensure_future(ask(http, gallery, media_id, 200)) for _ in range(3)]
    await eventually(counting.begun)
    assert (await Client(http).view(gallery)).status == 200
    refused = await ask(http, gallery, media_id, 200)
    assert (refused.status, refused.code) == (503, "overloaded")
    counting.go.set()
    assert {answer.status for answer in await asyncio.gather(*waiting)} == {302}
    assert counting.asked == ["200.jpeg"]


@pytest.mark.parametrize("whole_gallery", [False, True])
async def test_an_item_deleted_meanwhile_is_purged_once_more(
    replica: Replica,
    http: Http,
    gallery: Gallery,
    ready: Ready,
    tell: Teller,
    clock: Clock,
    store: FaultyStore,
    published: Publications,
    database: Database,
    whole_gallery: bool,
) -> None:
    media_id = await ready(gallery)
    counting = Counting()
    counting.go.clear()
    waiting = asyncio.ensure_future(ask(replica(counting), gallery, media_id, 200))
    await eventually(counting.begun)
    if whole_gallery:
        await tell(
            GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock())
        )
    else:
        await http("DELETE", f"/v1/media/{media_id}", grant=gallery.grant())
    counting.go.set()
    answer = await waiting
    assert (answer.status, answer.code) == (404, "media_not_found")
    assert await store.head(rendition_key(gallery.id, UUID(media_id), "200"))
    told = [event.key for event in await published("MediaDeleted")]
    assert told == [media_id] * (1 if whole_gallery else 2)
    assert await database.hot.fetchval("SELECT count(*) FROM rendition_claims") == 0


async def test_a_stop_gives_up_and_leaves_the_way_free(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    gallery: Gallery,
    ready: Ready,
    database: Database,
) -> None:
    media_id = await ready(gallery)
    counting = Counting()
    counting.go.clear()
    make = build_renditions(deps, counting)
    app = Http(build_app(deps, make_settings(), make))
    waiting = asyncio.ensure_future(ask(app, gallery, media_id, 200))
    await eventually(counting.begun)
    await make.close()
    await asyncio.wait([waiting])
    assert await database.hot.fetchval("SELECT count(*) FROM rendition_claims") == 0
