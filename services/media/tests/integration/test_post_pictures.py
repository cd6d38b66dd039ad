"""Pictures of posts: stored unchanged, shown as a JPEG, charged to the author, deleted with the post."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.storage import StorageUnavailable
from kappi_contracts.events import AccountCreated, AccountDeleted, PostDeleted, TierChanged
from kappi_contracts.keys import post_original_key, post_picture_key, post_prefix
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_post_pictures
from kappi_media.rendering.failures import DecoderKilled
from kappi_media.rendering.renderer import Renderer
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.post_pictures import SHOWN_RESERVE_BYTES
from kappi_media.use_cases.renditions import MakeRendition
from kappi_mediameta.probing import RejectReason, RenderRejected
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller, redelivered
from kappi_testkit.media.samples import MovieShape, Shot, encode, movie, png_claiming, quadrants
from PIL import Image, ImageChops, ImageStat

PNG = encode(quadrants(90, 60), "PNG")
TURNED = encode(quadrants(900, 600), "JPEG", shot=Shot(orientation=6, place=(48.8577, 2.295, 35.0)))
Publications = Callable[..., Awaitable[list[Published]]]


@pytest.fixture
async def decoding() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=1)
    yield renderer
    await renderer.close()


@pytest.fixture
def app(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    make_rendition: MakeRendition,
    decoding: Renderer,
) -> Callable[..., Http]:
    """`app(decoding=…, post_picture_bytes=…)` returns the app with these settings."""

    def make(decoding: Any = decoding, **changed: Any) -> Http:
        settings = make_settings(**changed)
        pictures = build_post_pictures(deps, settings, decoding)
        return Http(build_app(deps, settings, make_rendition, pictures=pictures))

    return make


@pytest.fixture
def http(app: Callable[..., Http]) -> Http:
    return app()


@pytest.fixture
def author_id() -> UUID:
    return new_id()


async def store_picture(http: Http, author_id: UUID, body: bytes = PNG, **call: Any) -> tuple[UUID, Any]:
    post_id = call.pop("post_id", None) or new_id()
    path = f"/internal/posts/{post_id}/picture?account_id={author_id}{call.pop('query', '')}"
    return post_id, await http("PUT", path, **(call or {"raw": body}))


async def use_item(http: Http, author_id: UUID, media_id: UUID) -> tuple[UUID, Any]:
    post_id = new_id()
    body = {"account_id": str(author_id), "media_id": str(media_id)}
    return post_id, await http("POST", f"/internal/posts/{post_id}/picture", body=body)


async def image(http: Http, post_id: UUID, **headers: str) -> Any:
    return await http("GET", f"/v1/posts/{post_id}/image", headers=headers)


async def charged(database: Database, account_id: UUID) -> tuple[int, int]:
    """Returns the reserved and used bytes."""
    row = await database.hot.fetchrow(
        "SELECT reserved_bytes, used_bytes FROM accounts WHERE id = $1", account_id
    )
    return (0, 0) if row is None else tuple(row)


async def assert_nothing_left(database: Database, store: FaultyStore, author_id: UUID, post_id: UUID) -> None:
    assert await charged(database, author_id) == (0, 0)
    assert await database.hot.fetchval("SELECT count(*) FROM post_pictures WHERE state <> 'deleted'") == 0
    assert (await store.list_page(post_prefix(post_id))).objects == ()


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "BMP"])
async def test_the_original_stays_and_a_jpeg_is_shown(
    http: Http, store: FaultyStore, author_id: UUID, database: Database, fmt: str
) -> None:
    original = encode(quadrants(90, 60), fmt)
    post_id, answer = await store_picture(http, author_id, original)
    assert answer.status == 204
    kept = await store.read(post_original_key(post_id), length=1 << 20)
    assert kept.body == original
    assert kept.head.content_type == f"image/{fmt.lower()}"
    shown = await image(http, post_id)
    assert (shown.status, shown.headers["content-type"]) == (200, "image/jpeg")
    picture = Image.open(io.BytesIO(shown.body))
    assert (picture.format, picture.size) == ("JPEG", (600, 600))
    assert shown.body == (await store.read(post_picture_key(post_id), length=1 << 20)).body
    assert await charged(database, author_id) == (0, len(original) + len(shown.body))


async def test_it_is_upright_and_tells_no_place(http: Http, author_id: UUID) -> None:
    post_id, _ = await store_picture(http, author_id, TURNED)
    picture = Image.open(io.BytesIO((await image(http, post_id)).body))
    assert dict(picture.getexif()) == {}
    # The middle of the picture, as it is displayed.
    expected = quadrants(900, 600).crop((150, 0, 750, 600))
    difference = ImageStat.Stat(ImageChops.difference(picture.convert("RGB"), expected))
    assert max(difference.mean) < 3


async def test_caches_need_it_once(http: Http, author_id: UUID, store: FaultyStore) -> None:
    post_id, _ = await store_picture(http, author_id)
    shown = await image(http, post_id)
    assert shown.headers["cache-control"] == "public, max-age=3600"
    assert shown.headers["x-content-type-options"] == "nosniff"
    reads = store.reads
    for known in (shown.headers["etag"], f"W/{shown.headers['etag']}", "*", f'"x", {shown.headers["etag"]}'):
        again = await image(http, post_id, **{"If-None-Match": known})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", shown.headers["etag"])
    assert store.reads == reads
    assert (await image(http, post_id, **{"If-None-Match": '"x"'})).status == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (encode(quadrants(9, 9), "GIF"), 415, "picture_type_not_taken"),
        (encode(quadrants(9, 9), "WEBP"), 415, "picture_type_not_taken"),
        (encode(quadrants(9, 9), "TIFF"), 415, "picture_type_not_taken"),
        (b"<html>" * 10_000, 415, "picture_type_not_taken"),
        (b"", 422, "picture_unusable"),
        (PNG[:-40], 422, "picture_unusable"),
        (png_claiming(40_000, 40_000), 422, "picture_unusable"),
    ],
    ids=["gif", "webp", "tiff", "html", "empty", "cut", "bomb"],
)
async def test_what_is_no_picture_for_a_post_leaves_nothing(
    http: Http,
    database: Database,
    store: FaultyStore,
    author_id: UUID,
    body: bytes,
    status: int,
    code: str,
) -> None:
    post_id, answer = await store_picture(http, author_id, body)
    assert (answer.status, answer.code) == (status, code)
    await assert_nothing_left(database, store, author_id, post_id)
    assert (await image(http, post_id)).code == "post_not_found"


async def test_one_that_is_too_large(
    app: Callable[..., Http], database: Database, store: FaultyStore, author_id: UUID
) -> None:
    http = app(post_picture_bytes=len(PNG) - 1)
    post_id, answer = await store_picture(http, author_id)
    assert (answer.status, answer.code) == (413, "file_too_large")
    await assert_nothing_left(database, store, author_id, post_id)
    assert (await store_picture(app(post_picture_bytes=len(PNG)), author_id))[1].status == 204


@pytest.fixture
def allow(tell: Teller, author_id: UUID, clock: Clock) -> Callable[..., Awaitable[None]]:
    """`await allow(quota_bytes=…)` sets the rules of the author's tier."""

    async def set_tier(*, quota_bytes: int | None = None, max_file_bytes: int = 1 << 30) -> None:
        tier = TierChanged(
            name="Tight",
            rendition_sizes=[],
            original_access=False,
            expiring_links=False,
            max_file_bytes=max_file_bytes,
            quota_bytes=quota_bytes,
            deleted=False,
            changed_at=clock(),
        )
        await tell(tier)
        await tell(AccountCreated(account_id=author_id, tier="Tight", created_at=clock()))
        clock.pass_by(timedelta(seconds=3))

    return set_tier


async def test_a_tier_without_sizes_and_originals_posts_and_is_seen_all_the_same(
    http: Http, author_id: UUID, allow: Callable[..., Awaitable[None]]
) -> None:
    await allow()
    post_id, answer = await store_picture(http, author_id)
    assert (answer.status, (await image(http, post_id)).status) == (204, 200)


async def test_the_tier_says_how_large_a_file_may_be(
    http: Http, author_id: UUID, allow: Callable[..., Awaitable[None]]
) -> None:
    await allow(max_file_bytes=len(PNG) - 1)
    assert (await store_picture(http, author_id))[1].code == "file_too_large"


async def test_a_picture_needs_room_in_the_quota(
    http: Http,
    author_id: UUID,
    allow: Callable[..., Awaitable[None]],
    database: Database,
    store: FaultyStore,
) -> None:
    await allow(quota_bytes=SHOWN_RESERVE_BYTES + len(PNG))
    known = f"&at_most_bytes={len(PNG)}"
    post_id, refused = await store_picture(http, author_id, query=f"&at_most_bytes={len(PNG) + 1}")
    assert (refused.status, refused.code) == (403, "quota_exceeded")
    await assert_nothing_left(database, store, author_id, post_id)
    assert (await store_picture(http, author_id, query=known))[1].status == 204
    assert (await store_picture(http, author_id, query=known))[1].code == "quota_exceeded"


async def test_a_client_that_leaves_leaves_nothing(
    http: Http, author_id: UUID, database: Database, store: FaultyStore
) -> None:
    body = encode(Image.effect_noise((300, 300), 80), "PNG")
    assert len(body) > 20_000
    post_id, answer = await store_picture(http, author_id, pieces=[body[:20_000], None])
    assert answer.status == 499
    await assert_nothing_left(database, store, author_id, post_id)


async def test_while_the_store_is_away(
    http: Http, author_id: UUID, database: Database, store: FaultyStore
) -> None:
    stored_id, _ = await store_picture(http, author_id)
    before = await charged(database, author_id)
    store.down = True
    _, answer = await store_picture(http, author_id)
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "store_unavailable", "1")
    assert await charged(database, author_id) == before
    shown = await image(http, stored_id)
    assert (shown.status, shown.code) == (503, "store_unavailable")


async def test_what_could_not_be_cleaned_up_is_by_the_end_of_the_post(
    http: Http,
    author_id: UUID,
    database: Database,
    store: FaultyStore,
    tell: Teller,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store does not delete the objects of a refused picture: the answer must not say that nothing is
    kept.
    """

    async def unwilling(_: object) -> None:
        raise StorageUnavailable("down for a test")

    monkeypatch.setattr(store, "delete_batch", unwilling)
    post_id, answer = await store_picture(http, author_id, PNG[:-40])
    assert (answer.status, answer.code) == (503, "store_unavailable")
    reserved, _ = await charged(database, author_id)
    assert reserved > 0
    await tell(PostDeleted(post_id=post_id, author_id=author_id, reason="abandoned", deleted_at=clock()))
    assert await charged(database, author_id) == (0, 0)


class Failing:
    """A decoder that fails on request."""

    def __init__(self, inner: Renderer, *, probe: Exception | None = None, render: Exception | None = None):
        self._inner = inner
        self._probe = probe
        self._render = render

    async def probe(self, *arguments: Any, **share: Any) -> Any:
        if self._probe is not None:
            raise self._probe
        return await self._inner.probe(*arguments)

    async def render(self, *_: Any, **__: Any) -> Any:
        assert self._render is not None
        raise self._render


@pytest.mark.parametrize("step", ["probe", "render"])
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (RenderRejected(RejectReason.TOO_COMPLEX, "time limit"), 422, "picture_unusable"),
        (DecoderKilled("ended with -9"), 503, "renditions_busy"),
    ],
)
async def test_where_no_jpeg_can_be_made(
    app: Callable[..., Http],
    decoding: Renderer,
    author_id: UUID,
    database: Database,
    store: FaultyStore,
    step: str,
    failure: Exception,
    status: int,
    code: str,
) -> None:
    failing: Any = {step: failure}
    post_id, answer = await store_picture(app(decoding=Failing(decoding, **failing)), author_id)
    assert (answer.status, answer.code) == (status, code)
    await assert_nothing_left(database, store, author_id, post_id)


async def test_too_many_at_once_wait_and_then_are_turned_away(
    app: Callable[..., Http], author_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kappi_media.api.post_pictures.TIMEOUT_S", 0.01)
    http = app(post_pictures_at_once=1)
    refused: list[Any] = []

    class Slow(Failing):
        async def probe(self, *_: Any, **__: Any) -> Any:
            refused.append((await store_picture(http, author_id))[1])
            raise DecoderKilled("ended")

    http = app(decoding=Slow(Renderer()), post_pictures_at_once=1)
    await store_picture(http, author_id)
    assert [(answer.status, answer.code) for answer in refused] == [(503, "overloaded")]


class TestOfItems:
    """Pictures of the author's own items."""

    @pytest.fixture
    def gallery(self, make_gallery: Callable[..., Gallery], author_id: UUID) -> Gallery:
        return make_gallery(owner_id=author_id, expires_at=None)

    @pytest.fixture
    def item(
        self, http: Http, gallery: Gallery, published: Publications, worker: Any
    ) -> Callable[..., Awaitable[UUID]]:
        """`await item(body, …)` returns a ready item of the author's."""

        async def make(body: bytes = PNG, content_type: str = "image/png") -> UUID:
            made = await Client(http).upload(gallery, body, content_type=content_type)
            for event in await published("UploadCompleted"):
                await worker.process(redelivered(event))
            return UUID(made["id"])

        return make

    async def test_the_item_keeps_the_original(
        self,
        http: Http,
        item: Callable[..., Awaitable[UUID]],
        author_id: UUID,
        gallery: Gallery,
        store: FaultyStore,
        database: Database,
    ) -> None:
        media_id = await item(TURNED, "image/jpeg")
        before = await charged(database, author_id)
        post_id, answer = await use_item(http, author_id, media_id)
        assert answer.status == 204
        assert [found.key for found in (await store.list_page(post_prefix(post_id))).objects] == [
            post_picture_key(post_id)
        ]
        shown = await image(http, post_id)
        assert Image.open(io.BytesIO(shown.body)).size == (600, 600)
        assert await charged(database, author_id) == (0, before[1] + len(shown.body))
        # A post is a publication of its own: its picture stays when the item is deleted (ADR-0022).
        gone = await http("DELETE", f"/v1/media/{media_id}", grant=gallery.grant())
        assert (gone.status, (await image(http, post_id)).body) == (204, shown.body)

    async def test_others_items_do_not_exist(
        self, http: Http, item: Callable[..., Awaitable[UUID]], database: Database, store: FaultyStore
    ) -> None:
        stranger = new_id()
        for media_id in (await item(), new_id()):
            post_id, answer = await use_item(http, stranger, media_id)
            assert (answer.status, answer.code) == (404, "media_not_found")
            await assert_nothing_left(database, store, stranger, post_id)

    async def test_items_of_a_closed_gallery_do_not_exist(
        self,
        http: Http,
        item: Callable[..., Awaitable[UUID]],
        gallery: Gallery,
        author_id: UUID,
        tell: Teller,
    ) -> None:
        media_id = await item()
        await tell(gallery.updated(Clock()(), closed=True), sequence=2)
        _, answer = await use_item(http, author_id, media_id)
        assert (answer.status, answer.code) == (404, "media_not_found")

    async def test_items_of_nobody_do_not_exist(
        self, http: Http, make_gallery: Callable[..., Gallery], author_id: UUID
    ) -> None:
        made = await Client(http).upload(make_gallery(), PNG, content_type="image/png")
        assert (await use_item(http, author_id, UUID(made["id"])))[1].code == "media_not_found"

    async def test_one_in_work(self, http: Http, gallery: Gallery, author_id: UUID) -> None:
        made = await Client(http).upload(gallery, PNG, content_type="image/png")
        _, answer = await use_item(http, author_id, UUID(made["id"]))
        assert (answer.status, answer.code) == (409, "media_not_ready")

    async def test_a_film(self, http: Http, item: Callable[..., Awaitable[UUID]], author_id: UUID) -> None:
        film = movie(MovieShape(width=64, height=48, seconds=1))
        _, answer = await use_item(http, author_id, await item(film, "video/mp4"))
        assert (answer.status, answer.code) == (422, "media_not_a_picture")


class TestPostDeleted:
    """The consumer that removes a picture."""

    @pytest.fixture
    def end(self, tell: Teller, author_id: UUID, clock: Clock) -> Callable[[UUID], Awaitable[None]]:
        async def told(post_id: UUID) -> None:
            await tell(
                PostDeleted(post_id=post_id, author_id=author_id, reason="requested", deleted_at=clock())
            )

        return told

    async def test_nobody_sees_it_and_nobody_pays_for_it(
        self, http: Http, end: Callable[[UUID], Awaitable[None]], author_id: UUID, database: Database
    ) -> None:
        post_id, _ = await store_picture(http, author_id)
        kept, _ = await store_picture(http, author_id)
        _, half = await charged(database, author_id)
        for _ in range(2):
            await end(post_id)
        assert (await image(http, post_id)).code == "post_not_found"
        assert (await image(http, kept)).status == 200
        assert await charged(database, author_id) == (0, half // 2)

    async def test_a_picture_that_comes_after_the_end_is_not_kept(
        self,
        http: Http,
        end: Callable[[UUID], Awaitable[None]],
        author_id: UUID,
        database: Database,
        store: FaultyStore,
    ) -> None:
        post_id = new_id()
        await end(post_id)
        _, answer = await store_picture(http, author_id, post_id=post_id, raw=PNG)
        assert (answer.status, answer.code) == (404, "post_not_found")
        await assert_nothing_left(database, store, author_id, post_id)

    async def test_the_end_in_the_middle_of_storing(
        self,
        app: Callable[..., Http],
        decoding: Renderer,
        end: Callable[[UUID], Awaitable[None]],
        author_id: UUID,
        database: Database,
        store: FaultyStore,
    ) -> None:
        post_id = new_id()

        class Ended(Failing):
            async def probe(self, *arguments: Any, **share: Any) -> Any:
                await end(post_id)
                return await decoding.probe(*arguments)

            async def render(self, *arguments: Any, **share: Any) -> Any:
                return await decoding.render(*arguments)

        _, answer = await store_picture(app(decoding=Ended(decoding)), author_id, post_id=post_id, raw=PNG)
        assert (answer.status, answer.code) == (404, "post_not_found")
        await assert_nothing_left(database, store, author_id, post_id)

    async def test_one_of_a_process_that_died_gives_its_reservation_back(
        self, end: Callable[[UUID], Awaitable[None]], author_id: UUID, database: Database, deps: Dependencies
    ) -> None:
        from kappi_media.domain.media import AccountId, PostId
        from kappi_media.repository.post_pictures import PostPictureQueries

        post_id = new_id()
        refusal = await PostPictureQueries(database).reserve(
            PostId(post_id), AccountId(author_id), size_bytes=1000, quota_bytes=None
        )
        assert refusal is None
        assert await charged(database, author_id) == (1000, 0)
        await end(post_id)
        assert await charged(database, author_id) == (0, 0)


async def test_a_deleted_account_stores_no_picture(
    http: Http, author_id: UUID, tell: Teller, clock: Clock, database: Database, store: FaultyStore
) -> None:
    await tell(AccountDeleted(account_id=author_id, deleted_at=clock()), sequence=2)
    post_id, answer = await store_picture(http, author_id)
    assert (answer.status, answer.code) == (404, "post_not_found")
    await assert_nothing_left(database, store, author_id, post_id)


async def test_without_an_account_there_is_nothing_here(http: Http) -> None:
    answer = await http("PUT", f"/internal/posts/{new_id()}/picture", raw=PNG)
    assert answer.status == 404
