from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_chassis.storage import ObjectHead, StorageUnavailable
from kappi_contracts.events import AccountCreated, GalleryDeleted, JanitorTick, TierChanged
from kappi_contracts.keys import original_key
from kappi_media.api.small_upload_operations import POST_FILE
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_arrivals
from kappi_media.domain.store_events import Arrival
from kappi_media.errors import StoreUnavailable
from kappi_media.repository.completion import CompletionQueries
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.post_file import PostFile
from kappi_media.use_cases.store_notifications import CompleteArrivals
from kappi_testkit.asgi import Answer
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Clock, Gallery, Http, Published, Teller, Worker, redelivered
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.servers.local_store import ServedLocalStore
from kappi_testkit.servers.s3 import S3Server
from PIL import Image

JPEG = encode(quadrants(64, 48), "JPEG")
PNG = encode(quadrants(64, 48), "PNG")
LARGE = encode(Image.effect_noise((640, 480), 90).convert("RGB"), "JPEG", options={"quality": 97})
READ_WHOLE, STREAMED = pytest.param(JPEG, id="read whole"), pytest.param(LARGE, id="streamed")
BOUNDARY = "kappi7MA4YWxk"
SAID = {"caption": "At the top", "tags": ["alps"], "location": "Chamonix", "attributes": {"day": 3}}

Publications = Callable[..., Awaitable[list[Published]]]
Post = Callable[..., Awaitable[Answer]]


def form(content: bytes, *, filename: str = "a.jpg", content_type: str = "", **fields: str) -> bytes:
    typed = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n{typed}\r\n'
    )
    body = head.encode() + content
    for name, value in fields.items():
        body += f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
    return body + f"\r\n--{BOUNDARY}--\r\n".encode()


def document(content: bytes, **said: Any) -> bytes:
    return json.dumps(
        {"filename": "a.jpg", "content_base64": base64.b64encode(content).decode(), **said}
    ).encode()


def cut(body: bytes, size: int = 16_384) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


TYPES = {form: f"multipart/form-data; boundary={BOUNDARY}", document: "application/json"}


@pytest.fixture
async def store(request: pytest.FixtureRequest, served_store: ServedLocalStore) -> AsyncIterator[FaultyStore]:
    """Returns a store on a folder; for tests that request it, a real S3."""
    if getattr(request, "param", "local") == "local":
        yield FaultyStore(served_store.store)
        return
    s3: S3Server = request.getfixturevalue("s3_server")
    store = s3.store(s3.create_bucket())
    yield FaultyStore(store)
    await store.close()


@pytest.fixture
def arrivals(deps: Dependencies, make_settings: Callable[..., MediaSettings]) -> CompleteArrivals:
    return build_arrivals(deps, make_settings())


@pytest.fixture
def post(http: Http, gallery: Gallery) -> Post:
    """`await post(form, content, …)` sends the form or the document with that content to the gallery."""

    async def send(
        shape: Callable[..., bytes],
        content: bytes,
        *,
        to: Gallery = gallery,
        via: Http = http,
        headers: dict[str, str] | None = None,
        **said: Any,
    ) -> Answer:
        body = shape(content, **said)
        sent = {"content-type": TYPES[shape], "content-length": str(len(body)), **(headers or {})}
        path, grant = f"/v1/galleries/{to.id}/media", to.grant("contribute")
        return await via("POST", path, grant=grant, pieces=cut(body), headers=sent)

    return send


async def nothing_is_left(database: Database) -> bool:
    """Returns whether there is no item, and no upload that could still become one or that reserves
    anything.
    """
    items = await database.hot.fetchval("SELECT count(*) FROM items")
    pending = await database.hot.fetchval("SELECT count(*) FROM uploads WHERE state = 'pending'")
    reserved = await database.hot.fetchval(
        "SELECT COALESCE(sum(reserved_bytes + used_bytes), 0) FROM accounts"
    )
    return not (items or pending or reserved)


@pytest.mark.parametrize("shape", [form, document])
async def test_a_posted_file_is_an_item_like_any_other(
    post: Post,
    shape: Callable[..., bytes],
    http: Http,
    gallery: Gallery,
    database: Database,
    published: Publications,
    store: FaultyStore,
    worker: Worker,
) -> None:
    said = SAID if shape is document else {**SAID, "tags": "alps", "attributes": '{"day": 3}'}
    digest = hashlib.sha256(LARGE).hexdigest()
    answer = await post(shape, LARGE, filename="дом 🏠.jpg", sha256=digest, **said)

    assert answer.status == 201, answer.body
    item = answer.json
    assert (item["status"], item["kind"], item["size"]) == ("processing", "image", len(LARGE))
    assert (item["filename"], item["content_type"], item["sha256"]) == ("дом 🏠.jpg", "image/jpeg", digest)
    assert {name: item[name] for name in SAID} == SAID
    key = original_key(gallery.id, item["id"])
    head = await store.head(key)
    assert (head.size_bytes, head.content_type) == (len(LARGE), "image/jpeg")
    assert b"".join([chunk async for chunk in store.stream(key)]) == LARGE

    (event,) = await published()
    assert (event.topic, event.key, event.data["size_bytes"]) == ("UploadCompleted", item["id"], len(LARGE))
    await worker.process(redelivered(event))
    shown = await http("GET", f"/v1/media/{item['id']}", grant=gallery.grant("view"))
    assert (shown.json["status"], shown.json["width"], shown.json["sha256"]) == ("ready", 640, digest)
    assert await database.hot.fetchval("SELECT state FROM uploads WHERE NOT posted") == "completed"


@pytest.mark.parametrize(
    ("said", "content", "content_type"),
    [
        ({"filename": "a.PNG"}, PNG, "image/png"),
        ({"filename": "picture"}, PNG, "image/png"),
        ({"filename": "a.bin", "content_type": "image/png"}, PNG, "image/png"),
        ({"filename": "a.jpeg", "content_type": "image/jpg"}, JPEG, "image/jpeg"),
        ({"filename": "a.jpg"}, PNG, "image/png"),
        ({"content_type": "image/webp"}, PNG, "image/png"),
    ],
)
@pytest.mark.parametrize("shape", [form, document])
async def test_the_type_is_told_by_the_name_or_the_content(
    post: Post, shape: Callable[..., bytes], said: dict[str, str], content: bytes, content_type: str
) -> None:
    answer = await post(shape, content, **said)
    assert (answer.status, answer.json["content_type"]) == (201, content_type)


@pytest.mark.parametrize(
    ("said", "content", "status", "code"),
    [
        ({"filename": "a.mp4"}, JPEG, 422, "content_mismatch"),
        ({"content_type": "video/mp4"}, JPEG, 422, "content_mismatch"),
        ({}, b"MZ" + bytes(9000), 422, "content_mismatch"),
        ({}, b"", 422, "content_mismatch"),
        ({"sha256": "0" * 64}, JPEG, 422, "content_mismatch"),
        (
            {"filename": "a.svg"},
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            415,
            "unsupported_content_type",
        ),
        ({"content_type": "text/plain"}, JPEG, 415, "unsupported_content_type"),
        ({"content_type": "image/jpeg; é"}, JPEG, 415, "unsupported_content_type"),
        ({"sha256": "0"}, JPEG, 422, "validation_failed"),
        ({"caption": "x" * 2001}, LARGE, 422, "validation_failed"),
        ({"caption": "x" * 70_000}, LARGE, 413, "payload_too_large"),
    ],
)
@pytest.mark.parametrize("shape", [form, document])
async def test_what_is_not_taken_leaves_nothing(
    post: Post,
    shape: Callable[..., bytes],
    said: dict[str, str],
    content: bytes,
    status: int,
    code: str,
    database: Database,
    published: Publications,
    store: FaultyStore,
    gallery: Gallery,
) -> None:
    answer = await post(shape, content, **said)
    assert (answer.status, answer.code) == (status, code)
    assert await nothing_is_left(database)
    # The removal of every stored object is published.
    page = await store.list_page(f"galleries/{gallery.id}/")
    told = {event.key for event in await published("MediaDeleted", "MediaRejected")}
    assert {kept.key.split("/")[2] for kept in page.objects} <= told
    assert [event.topic for event in await published("UploadCompleted")] == []


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("application/json", b"{", 400, "malformed_json"),
        ("application/json", b'{"filename": "a", "content_base64": "*"}', 400, "malformed_base64"),
        ("application/json; charset=utf-8", document(LARGE)[:-100_000], 400, "malformed_json"),
        ("multipart/form-data", b"", 400, "malformed_form"),
        (TYPES[form], form(LARGE)[:-30], 400, "malformed_form"),
        (TYPES[form], form(JPEG).replace(b'name="file"', b'name="picture"'), 400, "malformed_form"),
        ("text/plain", b"x", 415, "unsupported_media_type"),
        ("", b"x", 415, "unsupported_media_type"),
    ],
)
async def test_a_body_that_cannot_be_read_leaves_nothing(
    http: Http, gallery: Gallery, database: Database, content_type: str, body: bytes, status: int, code: str
) -> None:
    answer = await http(
        "POST",
        f"/v1/galleries/{gallery.id}/media",
        grant=gallery.grant("contribute"),
        pieces=cut(body),
        headers={"content-type": content_type},
    )
    assert (answer.status, answer.code) == (status, code), answer.body
    assert await nothing_is_left(database)


async def test_who_may_not(http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery]) -> None:
    async def posted(grant: str | None, gallery_id: object = gallery.id) -> tuple[int, str]:
        headers = {"content-type": "application/json"}
        path = f"/v1/galleries/{gallery_id}/media"
        answer = await http("POST", path, grant=grant, raw=document(JPEG), headers=headers)
        return answer.status, answer.code

    assert await posted(None) == (401, "credentials_missing")
    assert await posted("forged") == (401, "grant_invalid")
    assert await posted(gallery.grant("view")) == (403, "right_missing")
    assert await posted(make_gallery().grant()) == (403, "gallery_key_wrong")
    assert await posted(gallery.grant(), "nonsense") == (403, "gallery_key_wrong")


@pytest.mark.parametrize("shape", [form, document])
async def test_what_is_too_large_is_refused_by_its_length_before_it_is_read(
    make_http: Callable[..., Http], post: Post, shape: Callable[..., bytes], gallery: Gallery
) -> None:
    http = make_http(small_upload_bytes=len(LARGE) - 1)

    def never() -> Iterator[bytes]:
        yield from (pytest.fail("somebody read the body") for _ in range(1))

    refused = await http(
        "POST",
        f"/v1/galleries/{gallery.id}/media",
        grant=gallery.grant(),
        pieces=never(),
        headers={"content-type": TYPES[shape], "content-length": "9000000"},
    )
    assert (refused.status, refused.code) == (413, "file_too_large")


@pytest.mark.parametrize("declares", [True, False])
@pytest.mark.parametrize("shape", [form, document])
async def test_what_is_too_large_is_refused_while_it_comes(
    make_http: Callable[..., Http],
    post: Post,
    shape: Callable[..., bytes],
    declares: bool,
    database: Database,
    store: FaultyStore,
    gallery: Gallery,
) -> None:
    http = make_http(small_upload_bytes=len(LARGE) - 1)
    undeclared = {} if declares else {"content-length": ""}
    answer = await post(shape, LARGE, via=http, headers=undeclared)
    assert (answer.status, answer.code) == (413, "file_too_large")
    assert await nothing_is_left(database)
    assert (await store.list_page(f"galleries/{gallery.id}/")).objects == ()
    assert (await post(shape, LARGE[:-1], via=http, headers=undeclared)).status == 201


@pytest.mark.parametrize("shape", [form, document])
async def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    http: Http, gallery: Gallery, shape: Callable[..., bytes], database: Database, store: FaultyStore
) -> None:
    pieces = [*list(cut(shape(LARGE)))[:-3], None]
    answer = await http(
        "POST",
        f"/v1/galleries/{gallery.id}/media",
        grant=gallery.grant(),
        pieces=pieces,
        headers={"content-type": TYPES[shape]},
    )
    assert answer.status == 499
    assert await nothing_is_left(database)
    assert (await store.list_page(f"galleries/{gallery.id}/")).objects == ()


class _Leaving(FaultyStore):
    """A store that becomes unavailable in the middle of a stream."""

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str, replace: bool
    ) -> ObjectHead:
        await anext(chunks)
        raise StorageUnavailable("gone for a test")

    async def put(self, key: str, body: bytes, *, content_type: str) -> ObjectHead:
        raise StorageUnavailable("gone for a test")


@pytest.fixture
def leaving(store: FaultyStore, deps: Dependencies) -> None:
    object.__setattr__(deps, "store", _Leaving(store))


@pytest.mark.parametrize("content", [READ_WHOLE, STREAMED])
async def test_a_store_that_goes_away_is_said_so(
    leaving: None, post: Post, content: bytes, database: Database
) -> None:
    answer = await post(form, content)
    assert (answer.status, answer.code) == (503, "store_unavailable")
    assert await nothing_is_left(database)


async def test_a_stored_file_is_not_read_again(
    post: Post, store: FaultyStore, published: Publications
) -> None:
    put = store.put_stream

    async def put_then_go(*args: Any, **kwargs: Any) -> ObjectHead:
        head = await put(*args, **kwargs)
        store.down = True
        return head

    store.put_stream = put_then_go  # type: ignore[method-assign]
    assert (await post(form, LARGE)).status == 201
    assert (store.reads, store.streams) == (0, 0)
    assert [event.topic for event in await published()] == ["UploadCompleted"]


@pytest.mark.parametrize("content", [READ_WHOLE, STREAMED])
async def test_a_database_that_fails_after_the_promise_leaves_nothing(
    post: Post, content: bytes, outbox: Outbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reservation is one statement: after any later failure it is given up."""

    def fails(*_: Any, **__: Any) -> Any:
        raise asyncpg.CannotConnectNowError("starting up")

    monkeypatch.setattr(outbox, "begin", fails)
    monkeypatch.setattr(CompletionQueries, "complete", fails)
    answer = await post(form, content)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert await nothing_is_left(database)


async def test_a_deleted_gallery_takes_nothing(
    http: Http, gallery: Gallery, tell: Teller, clock: Clock, database: Database
) -> None:
    deleted = GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock())
    await tell(deleted)
    answer = await http(
        "POST",
        f"/v1/galleries/{gallery.id}/media",
        grant=gallery.grant(),
        pieces=cut(form(LARGE)),
        headers={"content-type": TYPES[form]},
    )
    assert (answer.status, answer.code) == (404, "gallery_not_found")
    assert await nothing_is_left(database)


@pytest.mark.parametrize("shape", [form, document])
@pytest.mark.parametrize("content", [READ_WHOLE, STREAMED])
async def test_a_retry_gets_the_same_item(
    post: Post,
    content: bytes,
    shape: Callable[..., bytes],
    published: Publications,
    database: Database,
    store: FaultyStore,
) -> None:
    key = {"idempotency-key": "the-same-key"}
    first = await post(shape, content, headers=key)
    again = await post(shape, content, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert first.json["id"] == again.json["id"]
    assert [event.topic for event in await published()] == ["UploadCompleted"]
    assert await database.hot.fetchval("SELECT count(*) FROM uploads") == 1

    other = await post(shape, content + b"x", headers=key)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    renamed = await post(shape, content, filename="b.jpg", headers=key)
    assert (renamed.status, renamed.code) == (422, "idempotency_key_reused")
    short = await post(shape, JPEG, headers={"idempotency-key": "short"})
    assert (short.status, short.code) == (400, "idempotency_key_invalid")


async def test_a_form_sent_again_may_have_another_boundary(post: Post, http: Http, gallery: Gallery) -> None:
    first = await post(form, LARGE, headers={"idempotency-key": "the-same-key"})
    again = await http(
        "POST",
        f"/v1/galleries/{gallery.id}/media",
        grant=gallery.grant("contribute"),
        raw=form(LARGE).replace(BOUNDARY.encode(), b"another"),
        headers={"content-type": "multipart/form-data; boundary=another", "idempotency-key": "the-same-key"},
    )
    assert again.status == 201, again.body
    assert again.json["id"] == first.json["id"]


@pytest.mark.parametrize("content", [READ_WHOLE, STREAMED])
async def test_ten_at_once_with_one_key_are_one_item(
    post: Post, content: bytes, published: Publications, database: Database
) -> None:
    answers = await asyncio.gather(
        *(post(form, content, headers={"idempotency-key": "the-same-key"}) for _ in range(10))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert len(await published("UploadCompleted")) == 1
    assert await database.hot.fetchval("SELECT count(*) FROM uploads WHERE state = 'pending'") == 0


@pytest.mark.parametrize("content", [READ_WHOLE, STREAMED])
async def test_a_retry_goes_on_where_the_first_time_broke_off(
    post: Post, content: bytes, published: Publications, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_off(*_: Any, **__: Any) -> None:
        raise StoreUnavailable

    key = {"idempotency-key": "the-same-key"}
    with monkeypatch.context() as broken:
        broken.setattr(CompletionQueries, "complete", break_off)
        assert (await post(form, content, headers=key)).code == "store_unavailable"
    again = await post(form, content, headers=key)
    assert again.status == 201
    assert [event.topic for event in await published()] == ["UploadCompleted"]


async def test_a_store_whose_answer_is_lost_is_sent_it_twice(post: Post, store: FaultyStore) -> None:
    put = store.put_stream

    async def put_twice(key: str, chunks: AsyncIterator[bytes], **given: Any) -> ObjectHead:
        body = b"".join([chunk async for chunk in chunks])

        async def again() -> AsyncIterator[bytes]:
            yield body

        await put(key, again(), **given)
        return await put(key, again(), **given)

    store.put_stream = put_twice  # type: ignore[method-assign]
    answer = await post(form, LARGE)
    assert answer.status == 201, answer.body


async def test_a_retry_after_the_item_was_deleted_makes_no_other(
    post: Post, http: Http, gallery: Gallery
) -> None:
    key = {"idempotency-key": "the-same-key"}
    item = (await post(form, LARGE, headers=key)).json
    await http("DELETE", f"/v1/media/{item['id']}", grant=gallery.grant())
    again = await post(form, LARGE, headers=key)
    assert (again.status, again.code) == (404, "upload_not_found")
    assert again.code in POST_FILE["responses"][404]["description"]


@pytest.fixture
def owned(make_gallery: Callable[..., Gallery]) -> Gallery:
    return make_gallery(owner_id=new_id(), expires_at=None)


@pytest.fixture
def allow(tell: Teller, owned: Gallery, clock: Clock) -> Callable[..., Awaitable[None]]:
    async def set_tier(quota_bytes: int, max_file_bytes: int = 1 << 30) -> None:
        tier = TierChanged(
            name="Tight",
            rendition_sizes=[200],
            original_access=True,
            expiring_links=False,
            max_file_bytes=max_file_bytes,
            quota_bytes=quota_bytes,
            deleted=False,
            changed_at=clock(),
        )
        assert owned.owner_id is not None
        await tell(tier)
        await tell(AccountCreated(account_id=owned.owner_id, tier="Tight", created_at=clock()))
        clock.pass_by(timedelta(seconds=3))

    return set_tier


async def account(database: Database, owner_id: UUID | None) -> tuple[int, int]:
    row = await database.hot.fetchrow(
        "SELECT reserved_bytes, used_bytes FROM accounts WHERE id = $1", owner_id
    )
    return row["reserved_bytes"], row["used_bytes"]


@pytest.mark.parametrize("shape", [form, document])
async def test_the_quota_counts_what_really_came(
    post: Post,
    shape: Callable[..., bytes],
    owned: Gallery,
    allow: Callable[..., Awaitable[None]],
    database: Database,
) -> None:
    await allow(len(LARGE) + 2_000)
    assert (await post(shape, LARGE, to=owned)).status == 201
    assert await account(database, owned.owner_id) == (0, len(LARGE))
    full = await post(shape, LARGE, to=owned)
    assert (full.status, full.code) == (403, "quota_exceeded")
    assert await account(database, owned.owner_id) == (0, len(LARGE))


async def test_a_repetition_is_answered_though_the_account_is_full_by_now(
    post: Post, owned: Gallery, allow: Callable[..., Awaitable[None]]
) -> None:
    await allow(len(LARGE) + 2_000)
    key = {"idempotency-key": "the-same-key"}
    first = await post(form, LARGE, to=owned, headers=key)
    again = await post(form, LARGE, to=owned, headers=key)
    assert (again.status, again.json["id"]) == (201, first.json["id"])


@pytest.mark.parametrize("content", [READ_WHOLE, STREAMED])
async def test_a_failure_releases_what_was_reserved(
    post: Post, content: bytes, owned: Gallery, allow: Callable[..., Awaitable[None]], database: Database
) -> None:
    await allow(1 << 20)
    assert (await post(form, content, to=owned, sha256="0" * 64)).status == 422
    assert await account(database, owned.owner_id) == (0, 0)


async def test_the_tier_limits_the_file(
    post: Post, owned: Gallery, allow: Callable[..., Awaitable[None]]
) -> None:
    await allow(1 << 30, max_file_bytes=len(LARGE) - 1)
    refused = await post(form, LARGE, to=owned)
    assert (refused.status, refused.code) == (413, "file_too_large")
    assert (await post(form, LARGE[:-1], to=owned)).status == 201


async def test_the_store_telling_of_it_too_early_changes_nothing(
    post: Post,
    store: FaultyStore,
    arrivals: CompleteArrivals,
    published: Publications,
    gallery: Gallery,
) -> None:
    put = store.put_stream

    async def put_and_tell(key: str, chunks: AsyncIterator[bytes], **more: Any) -> ObjectHead:
        head = await put(key, chunks, **more)
        outcomes = await arrivals([Arrival("kappi", gallery.id, UUID(key.split("/")[2]))], way="webhook")
        assert dict(outcomes)["unknown"] == 1
        return head

    store.put_stream = put_and_tell  # type: ignore[method-assign]
    assert (await post(form, LARGE)).status == 201
    assert [event.topic for event in await published()] == ["UploadCompleted"]


async def test_the_store_may_complete_what_was_read_whole(
    post: Post,
    store: FaultyStore,
    arrivals: CompleteArrivals,
    published: Publications,
    gallery: Gallery,
) -> None:
    put = store.put

    async def put_and_tell(key: str, body: bytes, **more: Any) -> ObjectHead:
        head = await put(key, body, **more)
        outcomes = await arrivals([Arrival("kappi", gallery.id, UUID(key.split("/")[2]))], way="webhook")
        assert dict(outcomes)["completed"] == 1
        return head

    store.put = put_and_tell  # type: ignore[method-assign]
    answers = [await post(form, JPEG, headers=key) for key in ({}, {"idempotency-key": "the-same-key"})]
    assert [answer.status for answer in answers] == [201, 201]
    assert [event.topic for event in await published()] == ["UploadCompleted"] * 2


async def test_more_than_are_taken_at_once_wait_their_turn(
    make_http: Callable[..., Http], post: Post
) -> None:
    http = make_http(small_uploads_at_once=2)
    answers = await asyncio.gather(*(post(form, LARGE, via=http) for _ in range(12)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 12


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("store", "posts", "most_mib"), [("local", 50, 128), ("s3", 32, 256)], indirect=["store"]
)
@pytest.mark.parametrize("shape", [form, document])
async def test_many_files_of_ten_megabytes_at_once_take_little_memory(
    http: Http,
    gallery: Gallery,
    shape: Callable[..., bytes],
    store: FaultyStore,
    posts: int,
    most_mib: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    size = 10 << 20
    seen: list[int] = []
    start, end = shape(b"BODY").split(b"BODY" if shape is form else base64.b64encode(b"BODY"))
    filler = bytes(48 << 10)
    piece = filler if shape is form else base64.b64encode(filler)
    opening = JPEG[: len(JPEG) // 3 * 3]
    first = opening if shape is form else base64.b64encode(opening)

    def body() -> Iterator[bytes]:
        yield start + first
        for _ in range((size - len(opening)) // len(filler)):
            seen.append(_resident_bytes())
            yield piece
        yield end

    async def one() -> Answer:
        path, headers = f"/v1/galleries/{gallery.id}/media", {"content-type": TYPES[shape]}
        return await http("POST", path, grant=gallery.grant(), pieces=body(), headers=headers)

    assert (await one()).status == 201  # long-lived threads and buffers exist now
    before = _resident_bytes()
    seen.clear()
    answers = await asyncio.gather(*(one() for _ in range(posts)))
    assert {answer.status for answer in answers} == {201}
    growth = max(seen) - before
    # 32 at once, each with a piece of the store's size in memory: 1 MiB of a folder's, 5 MiB of an S3's.
    with capsys.disabled():
        print(f"\n{posts} posts of 10 MiB as a {shape.__name__}: RSS grew by {growth / 2**20:.1f} MiB")  # noqa: T201
    assert growth < most_mib << 20


async def test_a_file_whose_process_died_is_swept_like_any_abandoned_upload(
    http: Http,
    owned: Gallery,
    allow: Callable[..., Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    deps: Dependencies,
    arrivals: CompleteArrivals,
    tell: Teller,
    clock: Clock,
    database: Database,
    published: Publications,
) -> None:
    async def dies(*args: Any) -> None:
        """No caller is left to give anything up."""

    monkeypatch.setattr(PostFile, "_give_up", dies)
    await allow(1 << 30)
    left = await http(
        "POST",
        f"/v1/galleries/{owned.id}/media",
        grant=owned.grant(),
        pieces=[*list(cut(form(LARGE)))[:-1], None],
        headers={"content-type": TYPES[form]},
    )
    assert left.status == 499
    assert (await account(database, owned.owner_id))[0] > 0
    clock.pass_by(timedelta(hours=1))
    assert await arrivals.overlooked(clock(), older_than=timedelta(0)) == 0

    clock.pass_by(timedelta(hours=24))
    await tell(JanitorTick(schedule="hourly", at=clock(), origin="timer"))
    assert await account(database, owned.owner_id) == (0, 0)
    (event,) = await published()
    assert (event.topic, event.data["reason"]) == ("MediaDeleted", "abandoned")
