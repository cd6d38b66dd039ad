"""Uploads in parts, against the local store and a real S3."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.auth import SigningKey
from kappi_chassis.auth.verifier import Fetch
from kappi_chassis.clock import utc_now
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_chassis.storage import (
    MultipartMissing,
    ObjectStore,
    SignedRequest,
    StorageRefused,
    StorageUnavailable,
    UrlSigner,
)
from kappi_contracts.events import JanitorTick
from kappi_contracts.keys import original_key
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.use_cases import complete, multipart
from kappi_testkit.asgi import Answer
from kappi_testkit.auth import key_set
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Clock, Gallery, Http, Published
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.servers.local_store import ServedLocalStore
from kappi_testkit.signed_requests import Answer as StoreAnswer
from kappi_testkit.signed_requests import call

MIB = 1 << 20
THRESHOLD = 6 * MIB
JPEG = encode(quadrants(64, 48), "JPEG")
FILE = JPEG + bytes(range(256)) * (11 * MIB // 256)
"""Three parts with `slow`: 5 MiB, 5 MiB and the rest."""

Publications = Callable[..., Awaitable[list[Published]]]
StorePlace = tuple[ObjectStore, UrlSigner]


@pytest.fixture(params=["local", "s3"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[StorePlace]:
    if request.param == "local":
        local: ServedLocalStore = request.getfixturevalue("served_store")
        yield local.store, local.signer
        return
    s3 = request.getfixturevalue("s3_server")
    bucket = s3.create_bucket()
    store = s3.store(bucket)
    yield store, s3.signer(bucket)
    await store.close()


@pytest.fixture
def store(place: StorePlace) -> FaultyStore:
    return FaultyStore(place[0])


@pytest.fixture
def deps(
    database: Database,
    outbox: Outbox,
    store: FaultyStore,
    place: StorePlace,
    grant_key: SigningKey,
    account_keys: Fetch,
    clock: Clock,
) -> Dependencies:
    return Dependencies(
        database=database,
        outbox=outbox,
        store=store,
        signer=place[1],
        grant_keys=key_set(grant_key),
        account_keys=account_keys,
        clock=clock,
    )


@pytest.fixture
def http(make_http: Callable[..., Http]) -> Http:
    return make_http(multipart_threshold_bytes=THRESHOLD)


def large(body: bytes = FILE, **more: Any) -> dict[str, Any]:
    return {"filename": "a.jpg", "size": len(body), "content_type": "image/jpeg", **more}


class Sender:
    """A client app that sends parts."""

    def __init__(self, http: Http, gallery: Gallery) -> None:
        self._http = http
        self._gallery = gallery

    async def reserve(self, *files: dict[str, Any], **more: Any) -> list[Any]:
        answer = await self._http(
            "POST",
            f"/v1/galleries/{self._gallery.id}/uploads",
            grant=self._gallery.grant("contribute"),
            body={"files": files, "connection": "slow"},
            **more,
        )
        assert answer.status == 201, answer.body
        uploads: list[Any] = answer.json["uploads"]
        return uploads

    async def begin(self, body: bytes = FILE, **more: Any) -> Any:
        (promised,) = await self.reserve(large(body, **more))
        assert promised["method"] == "multipart"
        return promised

    async def look(self, upload: Any) -> Answer:
        return await self._http("GET", f"/v1/uploads/{upload['id']}", grant=self._gallery.grant("contribute"))

    async def sign(self, upload: Any, *numbers: int) -> Answer:
        return await self._http(
            "POST",
            f"/v1/uploads/{upload['id']}/parts",
            grant=self._gallery.grant("contribute"),
            body={"numbers": numbers},
        )

    async def send(self, upload: Any, *numbers: int, body: bytes = FILE) -> list[StoreAnswer]:
        multipart = upload["multipart"]
        urls = {part["number"]: part for part in multipart["parts"]}
        if missing := [number for number in numbers if number not in urls]:
            # If a store takes over five seconds to begin, the upload is reserved without parts.
            urls |= {part["number"]: part for part in (await self.sign(upload, *missing)).json["parts"]}
        size = multipart["part_size"]
        return [
            await call(
                SignedRequest(urls[number]["url"], "PUT", urls[number]["headers"], utc_now()),
                body[(number - 1) * size : number * size],
            )
            for number in numbers
        ]

    async def complete(self, upload: Any, **body: Any) -> Answer:
        return await self._http(
            "POST",
            f"/v1/uploads/{upload['id']}/complete",
            grant=self._gallery.grant("contribute"),
            body=body or None,
        )


@pytest.fixture
def sender(http: Http, gallery: Gallery) -> Sender:
    return Sender(http, gallery)


def key_of(gallery: Gallery, upload: Any) -> str:
    return original_key(gallery.id, UUID(upload["media_id"]))


async def test_a_large_file_is_promised_in_parts(
    sender: Sender, clock: Clock, database: Database, store: FaultyStore, gallery: Gallery
) -> None:
    small, promised = await sender.reserve(large(FILE[:THRESHOLD]), large())
    assert small["method"] == "single"
    assert set(promised) == {"id", "media_id", "method", "expires_at", "expires_in", "multipart"}
    multipart = promised["multipart"]
    assert (multipart["part_size"], multipart["part_count"]) == (5 * MIB, 3)
    assert set(multipart) == {"part_size", "part_count", "parts"}
    assert [part["number"] for part in multipart["parts"]] == [1, 2, 3]
    assert all(set(part) == {"number", "url", "headers"} for part in multipart["parts"])
    left = datetime.fromisoformat(promised["expires_at"]) - clock()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    assert 14 * 60 < promised["expires_in"] <= 15 * 60
    row = await database.hot.fetchrow(
        "SELECT part_size_bytes, multipart_id, expires_at FROM uploads WHERE part_size_bytes IS NOT NULL"
    )
    assert await store.list_parts(key_of(gallery, promised), upload_id=row["multipart_id"]) == ()
    assert row["expires_at"] - clock() > timedelta(days=6, hours=23)


async def test_parts_that_a_full_store_cannot_join_are_joined_later(
    sender: Sender, store: FaultyStore
) -> None:
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    store.full = True
    refused = await sender.complete(upload)
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (507, "storage_full", "60")
    store.full = False
    assert (await sender.complete(upload)).status == 200


async def test_parts_become_one_item(
    sender: Sender, store: FaultyStore, gallery: Gallery, published: Publications
) -> None:
    upload = await sender.begin(sha256=hashlib.sha256(FILE).hexdigest())
    answers = await sender.send(upload, 3, 1, 2)
    assert [answer.status for answer in answers] == [200, 200, 200]
    etags = {number: answers[at].headers["etag"] for at, number in enumerate((3, 1, 2))}

    parts = [{"number": number, "etag": etag} for number, etag in etags.items()]
    completed = await sender.complete(upload, parts=parts)
    assert completed.status == 200, completed.body
    item = completed.json
    assert (item["id"], item["size"], item["status"]) == (upload["media_id"], len(FILE), "processing")
    assert item["sha256"] == hashlib.sha256(FILE).hexdigest()
    assert b"".join([chunk async for chunk in store.stream(key_of(gallery, upload))]) == FILE

    again = await sender.complete(upload)
    assert (again.status, again.json["id"]) == (200, item["id"])
    assert [event.topic for event in await published()] == ["UploadCompleted"]


async def test_an_upload_goes_on_with_what_is_missing(sender: Sender) -> None:
    upload = await sender.begin()
    (sent,) = await sender.send(upload, 2)

    looked = await sender.look(upload)
    assert looked.status == 200
    state = looked.json
    assert (state["state"], state["method"]) == ("pending", "multipart")
    multipart = state["multipart"]
    assert (multipart["part_size"], multipart["part_count"]) == (5 * MIB, 3)
    (present,) = multipart["present"]
    assert present == {"number": 2, "size": 5 * MIB, "etag": sent.headers["etag"].strip('"')}
    assert [part["number"] for part in multipart["parts"]] == [1, 3]

    early = await sender.complete(upload)
    assert (early.status, early.code) == (409, "upload_incomplete")
    assert [error["field"] for error in early.json["errors"]] == ["parts.1", "parts.3"]
    assert "1, 3" in early.json["detail"]

    await sender.send(state, 1, 3)
    assert (await sender.complete(upload)).status == 200
    done = (await sender.look(upload)).json
    assert done["state"] == "completed"
    assert "multipart" not in done


async def test_part_urls_can_be_asked_for(sender: Sender) -> None:
    upload = await sender.begin()
    signed = await sender.sign(upload, 3, 1)
    assert signed.status == 200
    assert [part["number"] for part in signed.json["parts"]] == [3, 1]
    assert 14 * 60 < signed.json["expires_in"] <= 15 * 60
    assert "expires_at" in signed.json
    renewed = {**upload, "multipart": {**upload["multipart"], "parts": signed.json["parts"]}}
    assert [answer.status for answer in await sender.send(renewed, 3, 1)] == [200, 200]
    # An existing part may be sent again.
    assert [answer.status for answer in await sender.send(renewed, 3)] == [200]


@pytest.mark.parametrize(
    ("numbers", "field"),
    [
        ([0], "numbers.0"),
        ([4], "numbers.0"),
        ([1, 2, 1], "numbers.2"),
        ([], "numbers"),
        ([1] * 101, "numbers"),
    ],
    ids=["zero", "beyond", "twice", "none", "too many"],
)
async def test_parts_that_cannot_be_signed(sender: Sender, numbers: list[int], field: str) -> None:
    upload = await sender.begin()
    refused = await sender.sign(upload, *numbers)
    assert (refused.status, refused.code) == (422, "validation_failed")
    assert refused.json["errors"][0]["field"].startswith(field)


async def test_bodies_that_cannot_be(sender: Sender, http: Http, gallery: Gallery) -> None:
    upload = await sender.begin()
    fields = {"parts": b'{"numbers":["1"]}', "complete": b'{"parts":[{"number":0,"etag":"x"}]}'}
    for path, wrong in fields.items():
        for raw, status, code in (
            (b"{", 400, "malformed_json"),
            (b"[]", 422, "validation_failed"),
            (wrong, 422, "validation_failed"),
            (b'{"part":1}', 422, "unknown_field"),
            (b"x" * (1 << 21), 413, "payload_too_large"),
        ):
            answer = await http("POST", f"/v1/uploads/{upload['id']}/{path}", grant=gallery.grant(), raw=raw)
            assert (answer.status, answer.code) == (status, code)


async def test_parts_of_uploads_that_are_none_or_over(
    sender: Sender, http: Http, gallery: Gallery, clock: Clock, make_gallery: Callable[..., Gallery]
) -> None:
    (single,) = await sender.reserve(large(JPEG))
    refused = await sender.sign(single, 1)
    assert (refused.status, refused.code) == (409, "upload_not_multipart")

    upload = await sender.begin()
    stranger = Sender(http, make_gallery())
    for answer in (await stranger.sign(upload, 1), await sender.sign({"id": "no-id"}, 1)):
        assert (answer.status, answer.code) == (404, "upload_not_found")

    aborted = await sender.begin()
    await http("DELETE", f"/v1/uploads/{aborted['id']}", grant=gallery.grant())
    refused = await sender.sign(aborted, 1)
    assert (refused.status, refused.code) == (409, "upload_aborted")

    completed = await sender.begin()
    await sender.send(completed, 1, 2, 3)
    await sender.complete(completed)
    refused = await sender.sign(completed, 1)
    assert (refused.status, refused.code) == (409, "upload_completed")

    clock.pass_by(timedelta(days=7, minutes=1))
    refused = await sender.sign(upload, 1)
    assert (refused.status, refused.code) == (409, "upload_expired")
    assert (await sender.look(upload)).json["state"] == "expired"


async def test_a_claimed_part_that_is_another_is_incomplete(sender: Sender) -> None:
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    refused = await sender.complete(upload, parts=[{"number": 2, "etag": "0" * 32}])
    assert (refused.status, refused.code) == (409, "upload_incomplete")
    assert [error["field"] for error in refused.json["errors"]] == ["parts.2"]
    assert (await sender.complete(upload)).status == 200


async def test_a_part_of_the_wrong_size_does_not_count(
    sender: Sender, place: StorePlace, gallery: Gallery, database: Database
) -> None:
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    multipart_id = await database.hot.fetchval("SELECT multipart_id FROM uploads")
    wrong = place[1].sign_part(
        key_of(gallery, upload),
        upload_id=multipart_id,
        number=2,
        size_bytes=7,
        now=utc_now(),
        lifetime=timedelta(minutes=5),
    )
    assert (await call(wrong, b"1234567")).status == 200
    refused = await sender.complete(upload)
    assert [error["field"] for error in refused.json["errors"]] == ["parts.2"]
    assert [part["number"] for part in (await sender.look(upload)).json["multipart"]["present"]] == [1, 3]


@pytest.mark.parametrize(
    ("declared", "body", "reason"),
    [
        ({"content_type": "video/mp4", "filename": "a.mp4"}, FILE, "type_mismatch"),
        ({"sha256": "0" * 64}, FILE, "checksum_mismatch"),
    ],
)
async def test_content_that_is_not_what_was_declared(
    sender: Sender, published: Publications, declared: dict[str, Any], body: bytes, reason: str
) -> None:
    upload = await sender.begin(body, **declared)
    await sender.send(upload, 1, 2, 3)
    for _ in range(2):
        refused = await sender.complete(upload)
        assert (refused.status, refused.code) == (422, "content_mismatch")
        assert reason in refused.json["detail"]
    (event,) = await published()
    assert (event.topic, event.data["reason"]) == ("MediaRejected", reason)


async def test_a_store_that_is_away_delays_the_parts_only(
    sender: Sender, store: FaultyStore, database: Database
) -> None:
    store.down = True
    first, second = await sender.reserve(large(), large())
    assert (first["multipart"]["parts"], first["multipart"]["part_count"]) == ([], 3)
    for answer in (await sender.look(first), await sender.sign(first, 1), await sender.complete(first)):
        assert (answer.status, answer.code) in {(503, "store_unavailable"), (409, "upload_incomplete")}
    store.down = False
    state = (await sender.look(first)).json
    assert [part["number"] for part in state["multipart"]["parts"]] == [1, 2, 3]
    await sender.send(state, 1, 2, 3)
    store.down = True
    away = await sender.complete(first)
    assert (away.status, away.code, away.headers["retry-after"]) == (503, "store_unavailable", "1")
    store.down = False
    assert (await sender.complete(first)).status == 200
    signed = await sender.sign(second, 2)
    assert signed.status == 200
    assert await database.hot.fetchval("SELECT count(*) FROM uploads WHERE multipart_id IS NULL") == 0


async def test_many_who_begin_one_upload_begin_it_once(
    sender: Sender, store: FaultyStore, gallery: Gallery
) -> None:
    store.down = True
    upload = await sender.begin()
    store.down = False
    answers = await asyncio.gather(*(sender.look(upload) for _ in range(8)))
    assert {answer.status for answer in answers} == {200}
    await sender.send(answers[0].json, 1)
    await sender.send(answers[-1].json, 2)
    state = (await sender.look(upload)).json
    assert [part["number"] for part in state["multipart"]["present"]] == [1, 2]
    assert await store.abort_multipart_uploads(f"galleries/{gallery.id}/{upload['media_id']}/") == 1


async def test_parts_the_store_dropped_are_sent_again(
    sender: Sender, store: FaultyStore, gallery: Gallery
) -> None:
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    assert await store.abort_multipart_uploads(f"galleries/{gallery.id}/") == 1
    refused = await sender.complete(upload)
    assert (refused.status, refused.code) == (409, "upload_incomplete")
    state = (await sender.look(upload)).json
    assert state["multipart"]["present"] == []
    assert [answer.status for answer in await sender.send(state, 1, 2, 3)] == [200, 200, 200]
    assert (await sender.complete(upload)).status == 200


async def test_a_crash_after_the_store_joined_the_parts_loses_nothing(
    sender: Sender, store: FaultyStore, gallery: Gallery, database: Database, published: Publications
) -> None:
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    key = key_of(gallery, upload)
    multipart_id = await database.hot.fetchval("SELECT multipart_id FROM uploads")
    parts = await store.list_parts(key, upload_id=multipart_id)
    await store.complete_multipart(key, upload_id=multipart_id, parts=parts)

    state = (await sender.look(upload)).json
    assert (state["state"], state["multipart"]["parts"]) == ("pending", [])
    assert [part["number"] for part in state["multipart"]["present"]] == [1, 2, 3]
    joined = (await store.head(key)).etag
    assert joined.endswith("-3"), "which tells a client that there is nothing to send again"
    assert {part["etag"] for part in state["multipart"]["present"]} == {joined}
    assert (await sender.complete(upload)).status == 200
    assert [event.topic for event in await published()] == ["UploadCompleted"]


@pytest.mark.parametrize("shown", ["what is left of the parts", "parts that are gone"])
async def test_a_store_that_is_still_clearing_up_after_joining(
    sender: Sender,
    store: FaultyStore,
    gallery: Gallery,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    shown: str,
) -> None:
    """Another call completes the upload at this time: the object appears before the parts disappear."""
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    key = key_of(gallery, upload)
    multipart_id = await database.hot.fetchval("SELECT multipart_id FROM uploads")
    parts = await store.list_parts(key, upload_id=multipart_id)
    await store.complete_multipart(key, upload_id=multipart_id, parts=parts)

    async def listed(*_: Any, **__: Any) -> Any:
        return parts[:1] if shown == "what is left of the parts" else parts

    async def refused(*_: Any, **__: Any) -> Any:
        raise StorageRefused("InvalidPart")

    monkeypatch.setattr(store, "list_parts", listed)
    monkeypatch.setattr(store, "complete_multipart", refused)
    assert (await sender.complete(upload)).status == 200


async def test_twenty_completions_at_once_make_one_item(
    sender: Sender, published: Publications, database: Database
) -> None:
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    answers = await asyncio.gather(*(sender.complete(upload) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert [event.topic for event in await published()] == ["UploadCompleted"]
    assert await database.hot.fetchval("SELECT count(*) FROM items") == 1


async def test_a_store_that_joins_slowly_is_not_waited_for(
    sender: Sender, store: FaultyStore, monkeypatch: pytest.MonkeyPatch, published: Publications
) -> None:
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    join, may_join = store.complete_multipart, asyncio.Event()

    async def slow(key: str, **given: Any) -> Any:
        await may_join.wait()
        return await join(key, **given)

    monkeypatch.setattr(complete, "_JOIN_TIMEOUT_S", 0.05)
    monkeypatch.setattr(store, "complete_multipart", slow)
    away = await sender.complete(upload)
    assert (away.status, away.code, away.headers["retry-after"]) == (503, "store_unavailable", "5")
    assert await published() == []
    monkeypatch.setattr(complete, "_JOIN_TIMEOUT_S", 12.0)
    may_join.set()
    assert (await sender.complete(upload)).status == 200


async def test_a_store_that_shows_neither_parts_nor_object_while_it_joins(
    sender: Sender,
    store: FaultyStore,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    published: Publications,
) -> None:
    """No client is told to send everything again. The Versity gateway does this for the duration of
    copying.
    """
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    join, listed, joining, may_join = (
        store.complete_multipart,
        store.list_parts,
        asyncio.Event(),
        asyncio.Event(),
    )

    async def slow(key: str, **given: Any) -> Any:
        joining.set()
        await may_join.wait()
        return await join(key, **given)

    async def hidden(key: str, **given: Any) -> Any:
        if joining.is_set():
            raise MultipartMissing
        return await listed(key, **given)

    monkeypatch.setattr(store, "complete_multipart", slow)
    monkeypatch.setattr(store, "list_parts", hidden)
    begun = await database.hot.fetchval("SELECT multipart_id FROM uploads")
    first = asyncio.create_task(sender.complete(upload))
    await asyncio.wait_for(joining.wait(), 20)
    looked = await sender.look(upload)
    assert (looked.status, looked.code, looked.headers["retry-after"]) == (503, "store_unavailable", "1")
    monkeypatch.setattr(complete, "_JOIN_TIMEOUT_S", 0.3)
    impatient = await sender.complete(upload)
    assert (impatient.status, impatient.code) == (503, "store_unavailable")
    monkeypatch.setattr(complete, "_JOIN_TIMEOUT_S", 12.0)
    second = asyncio.create_task(sender.complete(upload))
    await asyncio.sleep(0.05)
    may_join.set()
    assert {(await first).status, (await second).status} == {200}
    assert await database.hot.fetchval("SELECT multipart_id FROM uploads") == begun
    assert [event.topic for event in await published()] == ["UploadCompleted"]


async def test_a_join_that_waits_for_its_turn_is_still_known_to_go_on(
    sender: Sender, store: FaultyStore, clock: Clock, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes, no answer says that the parts are lost."""
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)
    join, joining, may_join = store.complete_multipart, asyncio.Event(), asyncio.Event()

    async def slow(key: str, **given: Any) -> Any:
        joining.set()
        await may_join.wait()
        return await join(key, **given)

    async def hidden(key: str, **_: Any) -> Any:
        raise MultipartMissing

    monkeypatch.setattr(multipart, "RENEW_JOINING_EVERY_S", 0.02)
    monkeypatch.setattr(store, "complete_multipart", slow)
    begun = await database.hot.fetchval("SELECT multipart_id FROM uploads")
    first = asyncio.create_task(sender.complete(upload))
    await asyncio.wait_for(joining.wait(), 20)
    monkeypatch.setattr(store, "list_parts", hidden)

    async def renewed() -> None:
        assert await database.hot.fetchval("SELECT joining_until FROM uploads") > clock() + timedelta(
            seconds=58
        )

    for _ in range(3):
        clock.pass_by(timedelta(seconds=59))
        await eventually(renewed)
        assert (await sender.look(upload)).status == 503
    may_join.set()
    assert (await first).status == 200
    assert await database.hot.fetchval("SELECT multipart_id FROM uploads") == begun


async def test_parts_that_were_lost_in_a_join_are_sent_again_when_it_must_be_over(
    sender: Sender, store: FaultyStore, gallery: Gallery, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await sender.begin()
    await sender.send(upload, 1, 2, 3)

    async def lost(key: str, *, upload_id: str, **_: Any) -> None:
        await store.abort_multipart(key, upload_id=upload_id)
        raise StorageUnavailable("ended with its machine")

    monkeypatch.setattr(store, "complete_multipart", lost)
    assert (await sender.complete(upload)).code == "store_unavailable"
    clock.pass_by(timedelta(seconds=30))
    assert (await sender.look(upload)).status == 503
    clock.pass_by(timedelta(seconds=31))
    state = (await sender.look(upload)).json
    assert state["multipart"]["present"] == []
    assert [part["number"] for part in state["multipart"]["parts"]] == [1, 2, 3]


async def test_many_who_wait_for_one_join_keep_nobody_else_out(
    sender: Sender,
    store: FaultyStore,
    gallery: Gallery,
    monkeypatch: pytest.MonkeyPatch,
    published: Publications,
) -> None:
    """A store joins a few uploads at once, and continues with one for which no caller waits."""
    slow, other = await sender.begin(), await sender.begin()
    for upload in (slow, other):
        await sender.send(upload, 1, 2, 3)
    join, may_join = store.complete_multipart, asyncio.Event()
    begun: list[str] = []

    async def slowly(key: str, **given: Any) -> Any:
        begun.append(key)
        if key == key_of(gallery, slow):
            await may_join.wait()
        return await join(key, **given)

    monkeypatch.setattr(store, "complete_multipart", slowly)
    monkeypatch.setattr(complete, "_JOIN_TIMEOUT_S", 0.5)
    answers = await asyncio.gather(*(sender.complete(slow) for _ in range(20)))
    assert {answer.code for answer in answers} == {"store_unavailable"}
    monkeypatch.setattr(complete, "_JOIN_TIMEOUT_S", 12.0)
    assert (await sender.complete(other)).status == 200
    assert begun == [key_of(gallery, slow), key_of(gallery, other)]
    may_join.set()
    assert (await sender.complete(slow)).status == 200
    assert [event.topic for event in await published()] == ["UploadCompleted"] * 2


async def test_many_who_wait_for_one_sha256_read_the_bytes_once(
    sender: Sender, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await sender.begin(sha256=hashlib.sha256(FILE).hexdigest())
    await sender.send(upload, 1, 2, 3)
    read, stream = store.read, store.stream
    looked, may_read = 0, asyncio.Event()

    async def counted(key: str, **given: Any) -> Any:
        nonlocal looked
        found = await read(key, **given)
        looked += 1
        return found

    async def slowly(key: str, **given: Any) -> Any:
        await may_read.wait()
        async for chunk in stream(key, **given):
            yield chunk

    async def all_have_looked() -> None:
        assert looked == 5

    monkeypatch.setattr(store, "read", counted)
    monkeypatch.setattr(store, "stream", slowly)
    completing = [asyncio.create_task(sender.complete(upload)) for _ in range(5)]
    await eventually(all_have_looked, 10)
    may_read.set()
    assert {answer.status for answer in await asyncio.gather(*completing)} == {200}
    assert store.streams == 1


async def test_an_aborted_upload_takes_no_parts(
    sender: Sender,
    place: StorePlace,
    http: Http,
    store: FaultyStore,
    gallery: Gallery,
    database: Database,
    published: Publications,
) -> None:
    upload = await sender.begin()
    await sender.send(upload, 1)
    multipart_id = await database.hot.fetchval("SELECT multipart_id FROM uploads")
    path = f"/v1/uploads/{upload['id']}"
    assert (await http("DELETE", path, grant=gallery.grant())).status == 204
    with pytest.raises(MultipartMissing):
        await store.list_parts(key_of(gallery, upload), upload_id=multipart_id)
    # A small part: a store may close the connection of a large one before its answer can be read.
    late = place[1].sign_part(
        key_of(gallery, upload),
        upload_id=multipart_id,
        number=2,
        size_bytes=3,
        now=utc_now(),
        lifetime=timedelta(minutes=5),
    )
    assert (await call(late, b"123")).status == 404
    refused = await sender.complete(upload)
    assert (refused.status, refused.code) == (409, "upload_aborted")
    assert [event.topic for event in await published()] == ["MediaDeleted"]


async def test_an_abort_while_the_store_is_away_is_an_abort(
    sender: Sender, http: Http, store: FaultyStore, gallery: Gallery, published: Publications
) -> None:
    upload = await sender.begin()
    store.down = True
    assert (await http("DELETE", f"/v1/uploads/{upload['id']}", grant=gallery.grant())).status == 204
    # Its parts are removed with the prefix, which the janitor empties because of the event.
    assert [event.topic for event in await published()] == ["MediaDeleted"]


async def test_a_repeated_request_gets_the_same_parts(sender: Sender, store: FaultyStore) -> None:
    async def ask() -> Any:
        return (await sender.reserve(large(), headers={"Idempotency-Key": "9a6f0e-parts"}))[0]

    store.down = True
    first = await ask()
    store.down = False
    together = await asyncio.gather(*(ask() for _ in range(4)))
    assert {one["id"] for one in together} == {first["id"]}
    for number, one in enumerate(together[:3], start=1):
        assert [answer.status for answer in await sender.send(one, number)] == [200]
    assert (await sender.complete(first)).status == 200
    assert (await ask())["state"] == "completed"


async def test_a_batch_shares_its_part_urls_out(sender: Sender) -> None:
    size = 5 << 30
    (alone,) = await sender.reserve(large(size=size))
    assert alone["multipart"]["part_count"] == 1024
    assert len(alone["multipart"]["parts"]) == 100
    many = await sender.reserve(*[large(size=2 << 30)] * 20)
    assert {len(one["multipart"]["parts"]) for one in many} == {25}
    state = (await sender.look(many[0])).json
    assert len(state["multipart"]["parts"]) == 100
    assert (await sender.sign(alone, 1024, 1000)).status == 200


async def test_the_parts_of_an_abandoned_upload_are_told_of_after_its_longer_time(
    sender: Sender, clock: Clock, published: Publications, tell: Callable[..., Awaitable[None]]
) -> None:
    upload = await sender.begin()
    await tell(JanitorTick(at=clock() + timedelta(days=2), schedule="hourly", origin="operator"))
    assert await published() == []
    await tell(JanitorTick(at=clock() + timedelta(days=7, minutes=1), schedule="hourly", origin="operator"))
    (event,) = await published()
    assert (event.topic, event.key) == ("MediaDeleted", upload["media_id"])
    assert event.data["reason"] == "abandoned"
