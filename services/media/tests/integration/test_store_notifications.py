"""The store reports that bytes arrived: an upload is completed although its client does not return."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from kappi_chassis.bus import Processor, Record
from kappi_chassis.bus.external_topic import ForeignProcessor
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.storage import SignedRequest
from kappi_contracts.events import GalleryDeleted, JanitorTick
from kappi_contracts.keys import original_key, rendition_key
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_arrivals, tick_steps
from kappi_media.consumers import GROUP, STORE_GROUP, BeforeSweep, handlers, store_handler
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.complete import CompleteUpload
from kappi_testkit.asgi import Answer
from kappi_testkit.events import RecordingDeadLetters
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Http,
    Published,
    Teller,
)
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.signed_requests import call
from prometheus_client import REGISTRY

JPEG = encode(quadrants(64, 48), "JPEG")
FILE = {"filename": "a.jpg", "size": len(JPEG), "content_type": "image/jpeg"}
TOKEN = "a token of the store's own"
TOPIC = "arrivals"
PATH = "/internal/store-events"

Publications = Callable[..., Awaitable[list[Published]]]


@pytest.fixture
def http(make_http: Callable[..., Http]) -> Http:
    return make_http(store_events_token=TOKEN)


@pytest.fixture
def topic(
    deps: Dependencies, dead_letters: RecordingDeadLetters, make_settings: Callable[..., MediaSettings]
) -> ForeignProcessor:
    """Returns the consumer of the store's topic."""
    handler = store_handler(build_arrivals(deps, make_settings()))
    return ForeignProcessor(group=STORE_GROUP, topic=TOPIC, handler=handler, dead_letters=dead_letters)


def key_of(gallery: Gallery, promised: Any) -> str:
    return original_key(gallery.id, UUID(promised["media_id"]))


def message(*keys: str, name: str = "ObjectCreated:Put") -> bytes:
    records = [
        {"eventName": name, "s3": {"bucket": {"name": "kappi"}, "object": {"key": key}}} for key in keys
    ]
    return json.dumps({"Records": records}).encode()


async def notify(http: Http, body: bytes, token: str | None = TOKEN) -> Answer:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await http("POST", PATH, raw=body, headers=headers)


def record_of(value: bytes | None) -> Record:
    return Record(topic=TOPIC, partition=0, offset=3, key=b"kappi/key", value=value, headers=())


def counted(way: str, outcome: str) -> float:
    labels = {"way": way, "outcome": outcome}
    return REGISTRY.get_sample_value("kappi_media_store_events_total", labels) or 0.0


async def refused_twice(store: FaultyStore) -> None:
    assert store.refusals >= 2


async def test_bytes_that_arrived_are_an_item_though_the_client_died(
    client: Client, gallery: Gallery, http: Http, published: Publications
) -> None:
    (promised,) = await client.sign(gallery, FILE | {"caption": "At the top"})
    await client.put(promised, JPEG)
    answer = await notify(http, message(key_of(gallery, promised)))
    assert (answer.status, answer.json) == (200, {"completed": 1})
    (event,) = await published()
    assert (event.topic, event.key, event.sequence) == ("UploadCompleted", promised["media_id"], 1)
    (item,) = (await client.view(gallery)).json["items"]
    assert (item["id"], item["status"], item["caption"]) == (
        promised["media_id"],
        "processing",
        "At the top",
    )


async def test_the_client_that_comes_later_is_given_the_same_item(
    client: Client, gallery: Gallery, http: Http, published: Publications, store: FaultyStore
) -> None:
    """The store is usually faster: its message leaves before the client has its answer."""
    (promised,) = await client.sign(gallery, FILE)
    await client.put(promised, JPEG)
    assert (await notify(http, message(key_of(gallery, promised)))).status == 200
    store.down = True
    answer = await client.complete(gallery, promised["id"])
    assert (answer.status, answer.json["id"]) == (200, promised["media_id"])
    assert len(await published()) == 1


async def test_a_notification_that_comes_late_or_twice_changes_nothing(
    client: Client, gallery: Gallery, http: Http, published: Publications
) -> None:
    item = await client.upload(gallery, JPEG)
    before = counted("webhook", "repeated")
    body = message(original_key(gallery.id, UUID(item["id"])))
    for _ in range(3):
        answer = await notify(http, body)
        assert (answer.status, answer.json) == (200, {"repeated": 1})
    assert counted("webhook", "repeated") == before + 3
    assert len(await published()) == 1


async def test_client_and_store_at_once_make_one_item_and_one_event(
    client: Client,
    gallery: Gallery,
    http: Http,
    topic: Processor,
    published: Publications,
    database: Database,
) -> None:
    dice = random.Random(4)
    rounds = 60
    promised = await client.sign(gallery, *([FILE] * rounds))
    await asyncio.gather(*(client.put(one, JPEG) for one in promised))

    async def after_a_moment(move: Awaitable[Any]) -> Any:
        await asyncio.sleep(dice.choice((0, 0, 0.001, 0.003)))
        return await move

    for one in promised:
        body = message(key_of(gallery, one))
        moves: list[Awaitable[Any]] = [
            client.complete(gallery, one["id"]),
            client.complete(gallery, one["id"]),
            notify(http, body),
            notify(http, body),
            topic.process(record_of(body)),
        ]
        dice.shuffle(moves)
        answers = await asyncio.gather(*(after_a_moment(move) for move in moves))
        assert {answer.status for answer in answers if answer is not None} == {200}
    told = await published()
    assert [event.topic for event in told] == ["UploadCompleted"] * rounds
    assert {event.key for event in told} == {one["media_id"] for one in promised}
    assert tuple(await database.hot.fetchrow("SELECT version, item_count FROM contents")) == (rounds, rounds)


async def test_one_message_may_tell_of_many_things(
    client: Client, gallery: Gallery, http: Http, published: Publications
) -> None:
    first, second, missing = await client.sign(gallery, FILE, FILE, FILE)
    item = await client.upload(gallery, JPEG)
    for one in (first, second):
        await client.put(one, JPEG)
    body = message(
        key_of(gallery, first),
        key_of(gallery, first),
        key_of(gallery, second),
        key_of(gallery, missing),
        rendition_key(gallery.id, UUID(first["media_id"]), "400"),
        original_key(gallery.id, UUID(item["id"])),
        original_key(gallery.id, new_id()),
        original_key(new_id(), UUID(second["media_id"])),
        "somebody/elses.txt",
    )
    answer = await notify(http, body)
    assert answer.status == 200
    assert answer.json == {"completed": 2, "incomplete": 1, "repeated": 1, "unknown": 2, "ignored": 2}
    assert len(await published("UploadCompleted")) == 3
    # An upload that was reported too early can still be completed.
    await client.put(missing, JPEG)
    assert (await client.complete(gallery, missing["id"])).status == 200


async def test_what_is_removed_completes_nothing(
    client: Client, gallery: Gallery, http: Http, published: Publications
) -> None:
    (promised,) = await client.sign(gallery, FILE)
    await client.put(promised, JPEG)
    for name in ("ObjectRemoved:Delete", "s3:ObjectTagging:Put"):
        answer = await notify(http, message(key_of(gallery, promised), name=name))
        assert (answer.status, answer.json) == (200, {"ignored": 1})
    assert await published() == []


async def test_the_rules_are_those_of_the_clients_own_call(
    client: Client, gallery: Gallery, http: Http, published: Publications, store: FaultyStore
) -> None:
    (promised,) = await client.sign(gallery, FILE | {"sha256": "0" * 64})
    (smaller,) = await client.sign(gallery, FILE | {"size": 7})
    for one in (promised, smaller):
        await store.put(key_of(gallery, one), JPEG, content_type="image/jpeg")
    answer = await notify(http, message(key_of(gallery, promised), key_of(gallery, smaller)))
    assert (answer.status, answer.json) == (200, {"mismatch": 2})
    reasons = {event.key: event.data["reason"] for event in await published()}
    assert reasons == {promised["media_id"]: "checksum_mismatch", smaller["media_id"]: "size_mismatch"}
    answer = await client.complete(gallery, promised["id"])
    assert (answer.status, answer.code) == (422, "content_mismatch")


async def test_an_upload_given_up_stays_given_up(
    client: Client, gallery: Gallery, http: Http, published: Publications
) -> None:
    (promised,) = await client.sign(gallery, FILE)
    await client.put(promised, JPEG)
    await client.http("DELETE", f"/v1/uploads/{promised['id']}", grant=gallery.grant())
    answer = await notify(http, message(key_of(gallery, promised)))
    assert (answer.status, answer.json) == (200, {"repeated": 1})
    assert await published("UploadCompleted") == []


async def test_a_deleted_gallery_takes_nothing_more(
    client: Client, gallery: Gallery, http: Http, clock: Clock, tell: Teller, published: Publications
) -> None:
    (promised,) = await client.sign(gallery, FILE)
    await client.put(promised, JPEG)
    await tell(GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock()))
    answer = await notify(http, message(key_of(gallery, promised)))
    assert (answer.status, answer.json) == (200, {"unknown": 1})
    assert await published() == []


@pytest.mark.parametrize("ended_by", ["deleted", "rejected"])
async def test_bytes_that_come_again_by_an_old_url_make_no_item(
    ended_by: str,
    client: Client,
    make_gallery: Callable[..., Gallery],
    http: Http,
    published: Publications,
    store: FaultyStore,
    database: Database,
) -> None:
    """A bucket accepts them once the object is purged: they are not served, not charged, and no item."""
    gallery = make_gallery(owner_id=new_id(), expires_at=None)
    (promised,) = await client.sign(gallery, FILE if ended_by == "deleted" else FILE | {"sha256": "0" * 64})
    key = key_of(gallery, promised)
    await store.put(key, JPEG, content_type="image/jpeg")
    completed = await client.complete(gallery, promised["id"])
    path = f"/v1/media/{promised['media_id']}"
    if ended_by == "deleted":
        assert completed.status == 200
        assert (await http("DELETE", path, grant=gallery.grant())).status == 204
    else:
        assert completed.status == 422
    await store.delete_versions_page(key)
    before = len(await published())

    await store.put(key, JPEG, content_type="image/jpeg")
    outcome = "unknown" if ended_by == "deleted" else "repeated"
    assert (await notify(http, message(key))).json == {outcome: 1}
    again = await client.complete(gallery, promised["id"])
    assert again.status == (404 if ended_by == "deleted" else 422)
    assert (await http("GET", path, grant=gallery.grant("view"))).status == 404
    assert (await client.view(gallery)).json["items"] == []
    assert len(await published()) == before
    charged = await database.hot.fetchrow("SELECT reserved_bytes, used_bytes FROM accounts")
    assert tuple(charged) == (0, 0)
    assert await database.hot.fetchval("SELECT coalesce(sum(size_bytes), 0) FROM usage_days") == 0


async def test_a_store_that_does_not_answer_is_asked_for_another_notification(
    client: Client, gallery: Gallery, http: Http, store: FaultyStore, published: Publications
) -> None:
    (promised,) = await client.sign(gallery, FILE)
    await client.put(promised, JPEG)
    store.down = True
    answer = await notify(http, message(key_of(gallery, promised)))
    assert (answer.status, answer.code) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    store.down = False
    assert (await notify(http, message(key_of(gallery, promised)))).status == 200
    assert len(await published()) == 1


async def test_a_database_that_is_away_is_told_as_that(
    client: Client, gallery: Gallery, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    promised = await client.sign(gallery, FILE, FILE)

    async def away(*_: Any, **__: Any) -> Any:
        raise asyncpg.CannotConnectNowError("starting up")

    monkeypatch.setattr(CompleteUpload, "stored", away)
    answer = await notify(http, message(*(key_of(gallery, one) for one in promised)))
    assert (answer.status, answer.code) == (503, "unavailable")


async def test_the_stores_test_message_is_welcome(http: Http) -> None:
    answer = await notify(http, b'{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "kappi"}')
    assert (answer.status, answer.json) == (200, {"ignored": 1})


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b'{"Records": [{}]}', b'{"hello": 1}'])
async def test_what_nobody_understands_is_not_answered_as_if_it_were_done(http: Http, body: bytes) -> None:
    answer = await notify(http, body)
    assert (answer.status, answer.code) == (422, "store_event_unreadable")


async def test_a_body_beyond_all_bounds_is_not_read(http: Http) -> None:
    answer = await notify(http, b" " * ((1 << 20) + 1))
    assert (answer.status, answer.code) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Digest {TOKEN}",
        TOKEN,
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(TOKEN.encode()).decode(),
        "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode(),
        "Bearer \xe4\xf6",
    ],
)
async def test_nobody_else_may_say_so(
    client: Client, gallery: Gallery, http: Http, published: Publications, authorization: str | None
) -> None:
    (promised,) = await client.sign(gallery, FILE)
    await client.put(promised, JPEG)
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await http("POST", PATH, raw=message(key_of(gallery, promised)), headers=headers)
    assert (answer.status, answer.code) == (401, "store_token_wrong")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert await published() == []


async def test_a_store_that_knows_only_a_url_shows_the_token_as_its_password(http: Http) -> None:
    shown = base64.b64encode(f"kappi:{TOKEN}".encode()).decode()
    answer = await http("POST", PATH, raw=message(), headers={"Authorization": f"basic {shown}"})
    assert (answer.status, answer.json) == (200, {})


async def test_without_a_token_in_the_settings_there_is_no_such_place(make_http: Callable[..., Http]) -> None:
    for token in (None, "", TOKEN):
        answer = await notify(make_http(), message(), token)
        assert (answer.status, answer.code) == (404, "not_found")


async def test_the_topic_leads_to_the_same(
    client: Client,
    gallery: Gallery,
    topic: Processor,
    dead_letters: RecordingDeadLetters,
    published: Publications,
) -> None:
    first, second = await client.sign(gallery, FILE, FILE)
    bodies = [message(key_of(gallery, one)) for one in (first, second)]
    for one in (first, second):
        await client.put(one, JPEG)
    # In the wrong order, and twice, as after a crash between the commit and the offset.
    for body in (bodies[1], bodies[0], bodies[1], bodies[0]):
        await topic.process(record_of(body))
    assert sorted(event.key for event in await published()) == sorted([first["media_id"], second["media_id"]])
    assert dead_letters.letters == []


@pytest.mark.parametrize("value", [None, b"", b"\x00\x01protobuf", b"{}"])
async def test_poison_on_the_topic_becomes_a_dead_letter(
    topic: Processor, dead_letters: RecordingDeadLetters, value: bytes | None
) -> None:
    before = counted("kafka", "unreadable")
    await topic.process(record_of(value))
    ((record, _),) = dead_letters.letters
    assert record.value == value
    assert counted("kafka", "unreadable") == before + 1


async def test_the_topic_waits_for_a_store_that_is_away(
    client: Client, gallery: Gallery, topic: Processor, store: FaultyStore, published: Publications
) -> None:
    (promised,) = await client.sign(gallery, FILE)
    await client.put(promised, JPEG)
    store.down = True
    working = asyncio.create_task(topic.process(record_of(message(key_of(gallery, promised)))))
    await eventually(lambda: refused_twice(store), 20)
    assert not working.done()
    store.down = False
    await working
    assert [event.key for event in await published()] == [promised["media_id"]]


class TestTick:
    """Notifications get lost: the next tick finds what is in the store."""

    @pytest.fixture
    def tick(
        self,
        deps: Dependencies,
        make_settings: Callable[..., MediaSettings],
        dead_letters: RecordingDeadLetters,
        record: Any,
    ) -> Callable[..., Awaitable[None]]:
        async def tick(at: Any, *, patient: bool = False, **changed: Any) -> None:
            settings = make_settings(**changed)
            known = handlers(deps.outbox, on_tick_first=tick_steps(deps, settings))
            processor = Processor(group=GROUP, handlers=known, dead_letters=dead_letters, clock=deps.clock)
            await processor.process(record(JanitorTick(schedule="hourly", at=at, origin="operator")))
            assert dead_letters.letters == []

        return tick

    async def test_completes_what_the_store_never_told_of(
        self, client: Client, gallery: Gallery, clock: Clock, tick: Any, published: Publications
    ) -> None:
        (stored, empty) = await client.sign(gallery, FILE, FILE)
        await client.put(stored, JPEG)
        await tick(clock() + timedelta(minutes=10), store_events_token=TOKEN)
        assert await published() == [], "the client may still be at it"
        for _ in range(2):
            await tick(clock() + timedelta(minutes=20), store_events_topic=TOPIC)
        assert [(event.topic, event.key) for event in await published()] == [
            ("UploadCompleted", stored["media_id"])
        ]
        answer = await client.complete(gallery, empty["id"])
        assert (answer.status, answer.code) == (409, "upload_incomplete")

    async def test_sweeps_only_what_is_not_there(
        self, client: Client, gallery: Gallery, clock: Clock, tick: Any, published: Publications
    ) -> None:
        (stored, empty) = await client.sign(gallery, FILE, FILE)
        await client.put(stored, JPEG)
        await tick(clock() + timedelta(hours=25), store_events_token=TOKEN)
        told = {(event.topic, event.key) for event in await published()}
        assert told == {("UploadCompleted", stored["media_id"]), ("MediaDeleted", empty["media_id"])}

    async def test_sweeps_all_where_no_store_tells_anything(
        self, client: Client, gallery: Gallery, clock: Clock, tick: Any, published: Publications
    ) -> None:
        (stored,) = await client.sign(gallery, FILE)
        await client.put(stored, JPEG)
        await tick(clock() + timedelta(hours=25))
        assert [event.topic for event in await published()] == ["MediaDeleted"]

    async def test_sweeps_nothing_it_could_not_look_at(
        self,
        client: Client,
        gallery: Gallery,
        clock: Clock,
        tick: Any,
        store: FaultyStore,
        published: Publications,
    ) -> None:
        (stored,) = await client.sign(gallery, FILE)
        await client.put(stored, JPEG)
        store.down = True
        working = asyncio.create_task(tick(clock() + timedelta(hours=25), store_events_token=TOKEN))
        await eventually(lambda: refused_twice(store), 20)
        assert await published() == []
        store.down = False
        await working
        assert [event.topic for event in await published()] == ["UploadCompleted"]

    async def test_goes_on_over_many_pages(
        self, client: Client, gallery: Gallery, clock: Clock, tick: Any, database: Database
    ) -> None:
        batches = [await client.sign(gallery, *([FILE] * 100)) for _ in range(6)]
        last = batches[-1][-1]
        await client.put(last, JPEG)
        await client.put(batches[0][0], JPEG)
        await tick(clock() + timedelta(hours=1), store_events_token=TOKEN)
        assert await database.hot.fetchval("SELECT count(*) FROM items") == 2


class TestParts:
    """Uploads in parts: the store reports the object once the parts are joined."""

    BODY = JPEG + bytes(range(256)) * (6 << 12)

    @pytest.fixture
    def http(self, make_http: Callable[..., Http]) -> Http:
        return make_http(store_events_token=TOKEN, multipart_threshold_bytes=5 << 20)

    @pytest.fixture
    async def promised(self, http: Http, gallery: Gallery) -> Any:
        declared = {"size": len(self.BODY), "sha256": hashlib.sha256(self.BODY).hexdigest()}
        answer = await http(
            "POST",
            f"/v1/galleries/{gallery.id}/uploads",
            grant=gallery.grant("contribute"),
            body={"files": [FILE | declared], "connection": "slow"},
        )
        (upload,) = answer.json["uploads"]
        assert len(upload["multipart"]["parts"]) == 2
        return upload

    async def send(self, upload: Any, body: bytes, *numbers: int) -> None:
        size = upload["multipart"]["part_size"]
        for number in numbers:
            part = upload["multipart"]["parts"][number - 1]
            request = SignedRequest(part["url"], "PUT", part["headers"], utc_now())
            assert (await call(request, body[(number - 1) * size : number * size])).status == 200

    @pytest.fixture
    async def sent(self, promised: Any) -> Any:
        """Returns an upload all of whose parts are in the store."""
        await self.send(promised, self.BODY, 1, 2)
        return promised

    @pytest.fixture
    def first(self, deps: Dependencies, make_settings: Callable[..., MediaSettings]) -> BeforeSweep:
        """Returns the first steps of a tick."""
        return tick_steps(deps, make_settings(store_events_token=TOKEN))[0]

    async def test_the_store_and_the_client_at_once_make_one_item(
        self, client: Client, gallery: Gallery, http: Http, sent: Any, published: Publications
    ) -> None:
        body = message(key_of(gallery, sent), name="s3:ObjectCreated:CompleteMultipartUpload")
        answers = await asyncio.gather(
            *(notify(http, body) for _ in range(3)), *(client.complete(gallery, sent["id"]) for _ in range(3))
        )
        assert {answer.status for answer in answers} == {200}
        assert [(event.topic, event.key) for event in await published()] == [
            ("UploadCompleted", sent["media_id"])
        ]

    async def test_the_store_tells_of_objects_so_nothing_is_joined_for_it(
        self, gallery: Gallery, http: Http, sent: Any
    ) -> None:
        answer = await notify(http, message(key_of(gallery, sent)))
        assert (answer.status, answer.json) == (200, {"incomplete": 1})

    async def test_a_client_that_died_before_it_said_so_is_found_before_the_sweep(
        self, first: BeforeSweep, sent: Any, clock: Clock, published: Publications
    ) -> None:
        """There is no object to report yet: its parts are joined once they may no longer be sent."""
        await first(clock() + timedelta(days=6, hours=23))
        assert await published() == []
        await first(clock() + timedelta(days=7, minutes=1))
        assert [(event.topic, event.key) for event in await published()] == [
            ("UploadCompleted", sent["media_id"])
        ]

    async def test_a_client_that_died_after_its_parts_were_joined_is_found_by_the_next_tick(
        self,
        gallery: Gallery,
        first: BeforeSweep,
        sent: Any,
        store: FaultyStore,
        clock: Clock,
        database: Database,
        published: Publications,
    ) -> None:
        key, multipart_id = (
            key_of(gallery, sent),
            await database.hot.fetchval("SELECT multipart_id FROM uploads"),
        )
        parts = await store.list_parts(key, upload_id=multipart_id)
        await store.complete_multipart(key, upload_id=multipart_id, parts=parts)
        await first(clock() + timedelta(minutes=20))
        assert [event.key for event in await published()] == [sent["media_id"]]

    async def test_what_is_listed_may_still_be_on_its_way(
        self, client: Client, gallery: Gallery, first: BeforeSweep, promised: Any, clock: Clock
    ) -> None:
        """Some stores list a part at its full size although its sender was interrupted."""
        await self.send(promised, self.BODY, 1)
        await self.send(promised, bytes(len(self.BODY)), 2)
        await first(clock() + timedelta(minutes=20))
        await self.send(promised, self.BODY, 2)
        answer = await client.complete(gallery, promised["id"])
        assert (answer.status, answer.json["id"]) == (200, promised["media_id"])
