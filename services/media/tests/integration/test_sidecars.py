"""XMP sidecars: kept with the picture of the same batch, and read for what they say of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.bus import Processor
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.reconcile import Check
from kappi_chassis.storage import ObjectMissing, SignedRequest
from kappi_contracts.events import AccountCreated, JanitorTick
from kappi_contracts.grants import Contributor
from kappi_contracts.keys import sidecar_key
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.reconciler import build_checks
from kappi_media.bootstrap.use_cases import build_arrivals, tick_steps
from kappi_media.consumers import GROUP, handlers
from kappi_media.domain.media import GalleryId, UploadId
from kappi_media.domain.sidecars import MAX_SIDECAR_BYTES
from kappi_media.domain.store_events import Arrival
from kappi_media.errors import ContentMismatch
from kappi_media.rendering.failures import DecoderNotStarted
from kappi_media.rendering.renderer import Renderer
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.sidecars import SidecarQueries
from kappi_media.repository.uploads import UploadQueries
from kappi_media.scanning import Infected
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.sidecars import CompleteSidecar
from kappi_testkit.asgi import Answer
from kappi_testkit.events import RecordingDeadLetters
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Client, Clock, Gallery, Published, Teller, Worker, redelivered
from kappi_testkit.media.metadata_blocks import FULL_XMP, caption, jpeg, keywords, xmp_packet
from kappi_testkit.signed_requests import call

PICTURE = jpeg(FULL_XMP)
TITLE = "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Grat</rdf:li></rdf:Alt></dc:title>"
XMP = xmp_packet(caption("Am Grat"), keywords("ridge", "Nebel"), TITLE, attributes='xmp:Rating="4"')
SAID = {"caption": "Am Grat", "tags": ["ridge", "Nebel"], "rating": 4, "title": "Grat"}
IN_FILE = {"caption": "Nebel über dem Pass", "tags": ["alps", "Nebel"], "rating": None, "title": None}
Publications = Callable[..., Awaitable[list[Published]]]


def declared(body: bytes, filename: str, **more: Any) -> dict[str, Any]:
    return {"filename": filename, "content_type": "image/jpeg", "size": len(body), **more}


@dataclass
class Scene:
    """One gallery, and the callers that act on it."""

    client: Client
    gallery: Gallery
    worker: Worker
    published: Publications
    database: Database
    checks: dict[str, Check]

    async def reserve(self, xmp: bytes = XMP, **said: Any) -> tuple[Any, Any]:
        """Returns the reserved picture and its reserved sidecar."""
        picture = declared(PICTURE, "IMG_1.jpg", **said.pop("picture", {}))
        beside = declared(xmp, "IMG_1.xmp", content_type="application/octet-stream") | said
        reserved, sidecar = await self.client.sign(self.gallery, picture, beside)
        return reserved, sidecar

    async def send(self, picture: Any, sidecar: Any, xmp: bytes = XMP) -> None:
        assert await self.client.put(picture, PICTURE) == 200
        assert await self.client.put(sidecar, xmp) == 200

    async def complete(self, upload: Any) -> Answer:
        return await self.client.complete(self.gallery, upload["id"])

    async def upload(self, xmp: bytes = XMP, **said: Any) -> tuple[Any, Any]:
        picture, sidecar = await self.reserve(xmp, **said)
        await self.send(picture, sidecar, xmp)
        for each in (picture, sidecar):
            assert (await self.complete(each)).status == 200
        return picture, sidecar

    async def work(self) -> None:
        for event in await self.published("UploadCompleted"):
            await self.worker.process(redelivered(event))

    async def item(self, picture: Any, right: Any = "manage") -> Any:
        path = f"/v1/media/{picture['media_id']}"
        return (await self.client.http("GET", path, grant=self.gallery.grant(right))).json

    async def said(self, picture: Any, right: Any = "manage") -> dict[str, Any]:
        item = await self.item(picture, right)
        return {name: item[name] for name in SAID}

    async def charged(self) -> tuple[int, int]:
        """Returns the bytes that the owner is charged for, which are those of the rows."""
        page = await self.checks["media-charges"].page("")
        assert not page.differences
        row = await self.database.hot.fetchrow(
            "SELECT reserved_bytes, used_bytes FROM accounts WHERE id = $1", self.gallery.owner_id
        )
        return tuple(row)


@pytest.fixture
def checks(deps: Dependencies, make_settings: Callable[..., MediaSettings]) -> dict[str, Check]:
    galleries: Any = None  # no object is removed here
    return dict(build_checks(deps, make_settings(), galleries=galleries))


@pytest.fixture
def make_scene(
    client: Client,
    make_gallery: Callable[..., Gallery],
    worker: Worker,
    published: Publications,
    database: Database,
    checks: dict[str, Check],
) -> Callable[..., Scene]:
    def make(**fields: Any) -> Scene:
        values: dict[str, Any] = {"owner_id": new_id(), "expires_at": None, **fields}
        return Scene(client, make_gallery(**values), worker, published, database, checks)

    return make


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


@pytest.fixture
def tick(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    record: Callable[..., Any],
    dead_letters: RecordingDeadLetters,
) -> Callable[[Any], Awaitable[None]]:
    async def at(instant: Any) -> None:
        steps = tick_steps(deps, make_settings(store_events_topic="store"))
        known = handlers(deps.outbox, on_tick_first=steps)
        processor = Processor(group=GROUP, handlers=known, dead_letters=dead_letters, clock=deps.clock)
        await processor.process(record(JanitorTick(schedule="hourly", at=instant, origin="operator")))
        assert dead_letters.letters == []

    return at


async def has_object(store: FaultyStore, scene: Scene, picture: Any) -> bool:
    try:
        await store.head(sidecar_key(scene.gallery.id, UUID(picture["media_id"])))
    except ObjectMissing:
        return False
    return True


async def test_a_sidecar_is_kept_and_read_with_its_picture(scene: Scene) -> None:
    picture, sidecar = await scene.reserve(filename="IMG_1.jpg.XMP")
    assert sidecar["sidecar"] is True
    assert "sidecar" not in picture
    assert sidecar["media_id"] == picture["media_id"]
    assert sidecar["single"]["headers"]["content-type"] == "application/rdf+xml"
    await scene.send(picture, sidecar)
    assert (await scene.complete(picture)).json["sidecar"] is None
    for _ in range(2):
        item = (await scene.complete(sidecar)).json
        assert item["id"] == picture["media_id"]
        assert (item["sidecar"]["filename"], item["sidecar"]["size"]) == ("IMG_1.jpg.XMP", len(XMP))
    await scene.work()
    item = await scene.item(picture, "view")
    assert {name: item[name] for name in SAID} == SAID
    assert item["size"] == len(PICTURE)
    stored = await call(SignedRequest(item["sidecar"]["url"], "GET", {}, utc_now()))
    assert stored.body == XMP
    assert stored.headers["content-type"] == "application/rdf+xml"
    assert 'filename="IMG_1.jpg.XMP"' in stored.headers["content-disposition"]
    assert len((await scene.client.view(scene.gallery)).json["items"]) == 1
    assert await scene.charged() == (0, len(PICTURE) + len(XMP))


@pytest.mark.parametrize("order", ["sidecar first", "sidecar last", "at once", "while processed"])
async def test_the_order_does_not_matter(scene: Scene, order: str) -> None:
    picture, sidecar = await scene.reserve()
    await scene.send(picture, sidecar)
    if order == "sidecar first":
        waiting = await scene.complete(sidecar)
        assert (waiting.status, waiting.json) == (202, {"status": "waiting"})
        assert (await scene.complete(picture)).status == 200
        await scene.work()
    elif order == "sidecar last":
        assert (await scene.complete(picture)).status == 200
        await scene.work()
        assert await scene.said(picture) == IN_FILE
        version = (await scene.client.view(scene.gallery)).headers["etag"]
        assert (await scene.complete(sidecar)).json["title"] == SAID["title"]
        assert (await scene.client.view(scene.gallery)).headers["etag"] != version
    elif order == "at once":
        answers = await asyncio.gather(*(scene.complete(each) for each in [picture, sidecar] * 5))
        assert {answer.status for answer in answers} <= {200, 202}
        await scene.work()
    else:
        assert (await scene.complete(picture)).status == 200
        await asyncio.gather(scene.work(), scene.complete(sidecar))
    assert await scene.said(picture) == SAID
    assert (await scene.complete(sidecar)).json["sidecar"] is not None
    assert await scene.charged() == (0, len(PICTURE) + len(XMP))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("typed", "xmp", "shown"),
    [
        ({}, xmp_packet(caption("Am Grat")), {**IN_FILE, "caption": "Am Grat"}),
        ({}, xmp_packet(keywords("ridge")), {**IN_FILE, "tags": ["ridge"]}),
        ({}, xmp_packet(attributes='xmp:Rating="-1"'), {**IN_FILE, "rating": -1}),
        ({}, xmp_packet(), IN_FILE),
        (
            {"caption": "Typed", "tags": ["Ridge", "typed"]},
            XMP,
            {**SAID, "caption": "Typed", "tags": ["Ridge", "typed", "Nebel"]},
        ),
    ],
)
async def test_people_come_first_then_the_sidecar_then_the_file(
    scene: Scene, typed: dict[str, Any], xmp: bytes, shown: dict[str, Any], late: bool
) -> None:
    picture, sidecar = await scene.reserve(xmp, picture=typed)
    await scene.send(picture, sidecar, xmp)
    await scene.complete(picture)
    if late:
        await scene.work()
    await scene.complete(sidecar)
    await scene.work()
    assert await scene.said(picture) == shown


async def test_viewers_who_are_told_no_place_get_nothing_of_it(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(location_free=True)
    picture, _ = await scene.upload(picture={"tags": ["typed"]})
    await scene.work()
    assert (await scene.item(picture))["sidecar"] is not None
    item = await scene.item(picture, "view")
    assert [item[name] for name in ("sidecar", "caption", "tags", "title")] == [None, None, ["typed"], None]


async def test_viewers_whose_downloads_are_counted_do_not_get_it(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(capped=True, downloads_capped=True)
    picture, _ = await scene.upload()
    await scene.work()
    assert (await scene.item(picture, "view"))["sidecar"] is None
    assert (await scene.item(picture))["sidecar"] is not None


async def test_what_is_declared_wrongly_reserves_nothing(scene: Scene) -> None:
    path = f"/v1/galleries/{scene.gallery.id}/uploads"
    picture = declared(PICTURE, "IMG_1.jpg")
    for files, status, field, code in (
        ([declared(XMP, "IMG_1.xmp")], 422, "files.0.filename", "sidecar_without_picture"),
        (
            [picture, declared(XMP, "IMG_1.xmp"), declared(XMP, "IMG_1.jpg.xmp")],
            422,
            "files.2.filename",
            "sidecar_repeated",
        ),
        (
            [picture, declared(XMP, "IMG_1.xmp", size=MAX_SIDECAR_BYTES + 1)],
            413,
            "files.1.size",
            "file_too_large",
        ),
    ):
        grant = scene.gallery.grant("contribute")
        answer = await scene.client.http("POST", path, grant=grant, body={"files": files})
        (error,) = answer.json["errors"]
        assert (answer.status, error["field"], error["code"]) == (status, field, code)
    assert await scene.database.hot.fetchval("SELECT count(*) FROM uploads") == 0


async def test_a_repeated_call_reserves_the_same(scene: Scene) -> None:
    files = declared(XMP, "IMG_1.xmp"), declared(PICTURE, "IMG_1.jpg")
    headers = {"Idempotency-Key": "only once"}
    first, again = [await scene.client.sign(scene.gallery, *files, headers=headers) for _ in range(2)]
    ids = [(each["id"], each["media_id"], each.get("sidecar")) for each in first]
    assert [(each["id"], each["media_id"], each.get("sidecar")) for each in again] == ids
    assert [each[2] for each in ids] == [True, None]


async def test_an_upload_of_a_sidecar_is_shown(scene: Scene) -> None:
    _, sidecar = await scene.reserve()
    path, grant = f"/v1/uploads/{sidecar['id']}", scene.gallery.grant("contribute")
    shown = (await scene.client.http("GET", path, grant=grant)).json
    assert (shown["state"], shown["filename"], shown["content_type"], shown["size"]) == (
        "pending",
        "IMG_1.xmp",
        "application/rdf+xml",
        len(XMP),
    )
    assert await scene.client.put({"single": shown["single"]}, XMP) == 200
    assert (await scene.complete(sidecar)).status == 202
    assert (await scene.client.http("GET", path, grant=grant)).json["state"] == "completed"


async def test_it_is_not_complete_before_its_bytes_are_there(scene: Scene) -> None:
    _, sidecar = await scene.reserve()
    answer = await scene.complete(sidecar)
    assert (answer.status, answer.json["code"]) == (409, "upload_incomplete")


@pytest.mark.parametrize(
    "xmp",
    [
        b"<html><body>" + XMP + b"</body></html>",
        b"<?php echo 1; ?>" + XMP,
        b"PK\x03\x04" + XMP,
        b"\x00" + XMP,
        b"not XML at all",
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
async def test_what_is_no_xmp_leaves_its_picture_as_it_is(
    scene: Scene, store: FaultyStore, xmp: bytes
) -> None:
    picture, sidecar = await scene.reserve(xmp)
    await scene.send(picture, sidecar, xmp)
    assert (await scene.complete(picture)).status == 200
    for _ in range(2):
        answer = await scene.complete(sidecar)
        assert (answer.status, answer.json["code"]) == (422, "content_mismatch")
        assert "type_mismatch" in answer.json["detail"]
    await scene.work()
    assert await scene.said(picture) == IN_FILE
    assert (await scene.item(picture))["sidecar"] is None
    assert not await has_object(store, scene, picture)
    assert await scene.charged() == (0, len(PICTURE))


async def test_content_that_was_not_declared_is_refused(scene: Scene, store: FaultyStore) -> None:
    for said, reason in (
        ({"sha256": hashlib.sha256(b"else").hexdigest()}, "checksum_mismatch"),
        ({"size": len(XMP) - 1}, "size_mismatch"),
    ):
        picture, sidecar = await scene.reserve(**said)
        key = sidecar_key(scene.gallery.id, UUID(picture["media_id"]))
        store.forgets_checksums = True
        await store.put(key, XMP, content_type="application/rdf+xml")
        answer = await scene.complete(sidecar)
        assert (answer.status, answer.json["code"]) == (422, "content_mismatch")
        assert reason in answer.json["detail"]


async def test_a_decoder_or_a_store_that_is_away_is_tried_again(
    scene: Scene, store: FaultyStore, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, sidecar = await scene.reserve()
    await scene.send(picture, sidecar)

    async def none(*args: Any, **kwargs: Any) -> Any:
        raise DecoderNotStarted("no process")

    with monkeypatch.context() as without:
        without.setattr(Renderer, "read_sidecar", none)
        answer = await scene.complete(sidecar)
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    store.down = True
    assert (await scene.complete(sidecar)).json["code"] == "store_unavailable"
    store.down = False
    assert (await scene.complete(sidecar)).status == 202


async def test_a_process_that_ends_before_the_commit_loses_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, sidecar = await scene.reserve()
    await scene.send(picture, sidecar)
    await scene.complete(picture)

    async def dies(*args: Any, **kwargs: Any) -> Any:
        raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr(SidecarQueries, "complete", dies)
        with pytest.raises(asyncio.CancelledError):
            await scene.complete(sidecar)
    assert (await scene.complete(sidecar)).json["sidecar"] is not None
    await scene.work()
    assert await scene.said(picture) == SAID


@pytest.mark.parametrize("at", ["reserved", "completed", "ready"])
async def test_an_aborted_sidecar_releases_its_bytes(scene: Scene, store: FaultyStore, at: str) -> None:
    picture, sidecar = await scene.reserve()
    await scene.send(picture, sidecar)
    assert await scene.charged() == (len(PICTURE) + len(XMP), 0)
    if at != "reserved":
        await scene.complete(picture)
        assert await scene.charged() == (0, len(PICTURE) + len(XMP))
    if at == "ready":
        await scene.work()
    path, grant = f"/v1/uploads/{sidecar['id']}", scene.gallery.grant("contribute")
    for _ in range(2):
        assert (await scene.client.http("DELETE", path, grant=grant)).status == 204
    assert (await scene.complete(sidecar)).json["code"] == "upload_aborted"
    assert not await has_object(store, scene, picture)
    assert await scene.charged() == ((len(PICTURE), 0) if at == "reserved" else (0, len(PICTURE)))
    assert (await scene.complete(picture)).json["sidecar"] is None


async def test_a_completed_sidecar_is_deleted_with_its_item_only(scene: Scene) -> None:
    picture, sidecar = await scene.upload()
    path, grant = f"/v1/uploads/{sidecar['id']}", scene.gallery.grant()
    answer = await scene.client.http("DELETE", path, grant=grant)
    assert (answer.status, answer.json["code"]) == (409, "upload_completed")
    path = f"/v1/media/{picture['media_id']}"
    assert (await scene.client.http("DELETE", path, grant=grant)).status == 204
    assert (await scene.complete(sidecar)).json["code"] == "upload_not_found"
    assert await scene.charged() == (0, 0)
    assert await scene.database.hot.fetchval("SELECT count(*) FROM sidecars") == 0


async def test_many_are_deleted_with_their_sidecars(
    scene: Scene, bearer: Callable[[UUID], dict[str, str]]
) -> None:
    first, _ = await scene.upload()
    await scene.work()
    second, _ = await scene.upload()
    ids = [each["media_id"] for each in (first, second)]
    answer = await scene.client.http(
        "POST",
        "/v1/media/bulk",
        headers=bearer(scene.gallery.owner_id or new_id()),
        body={"ids": ids, "action": "delete"},
    )
    assert [each["status"] for each in answer.json["results"]] == ["done", "done"]
    assert await scene.charged() == (0, 0)


async def test_a_claimed_gallery_brings_its_sidecars(
    make_scene: Callable[..., Scene], make_gallery: Callable[..., Gallery], tell: Teller, clock: Clock
) -> None:
    scene = make_scene(owner_id=None)
    await scene.upload()
    await scene.reserve()
    owner_id = new_id()
    await tell(AccountCreated(account_id=owner_id, tier="Basic", created_at=clock()))
    scene.gallery = replace(scene.gallery, owner_id=owner_id)
    await tell(scene.gallery.updated(clock()))
    both = len(PICTURE) + len(XMP)
    assert await scene.charged() == (both, both)


async def test_an_infected_sidecar_is_removed(
    scene: Scene, deps: Dependencies, store: FaultyStore, renderer: Renderer
) -> None:
    picture, sidecar = await scene.reserve()
    await scene.send(picture, sidecar)

    async def infected(key: str, *, size_bytes: int) -> None:
        raise Infected("Kappi.Test")

    upload = await UploadQueries(deps.database).find(
        UploadId(UUID(sidecar["id"])), GalleryId(scene.gallery.id)
    )
    assert upload is not None
    scan: Any = infected
    complete = CompleteSidecar(
        SidecarQueries(deps.database),
        items=ItemQueries(deps.database),
        store=store,
        reading=renderer,
        scan=scan,
    )
    with pytest.raises(ContentMismatch, match="infected"):
        await complete(upload)
    assert not await has_object(store, scene, picture)
    assert await scene.charged() == (len(PICTURE), 0)


async def test_a_sidecar_of_an_aborted_picture_is_over(scene: Scene) -> None:
    picture, sidecar = await scene.reserve()
    path, grant = f"/v1/uploads/{picture['id']}", scene.gallery.grant("contribute")
    assert (await scene.client.http("DELETE", path, grant=grant)).status == 204
    assert (await scene.complete(sidecar)).json["code"] == "upload_aborted"
    assert await scene.charged() == (0, 0)


async def test_a_sidecar_that_does_not_come_is_not_waited_for(
    scene: Scene, tick: Callable[[Any], Awaitable[None]], clock: Clock
) -> None:
    picture, sidecar = await scene.reserve()
    await scene.client.put(picture, PICTURE)
    await scene.complete(picture)
    for _ in range(2):
        await tick(clock() + timedelta(days=8))
    assert (await scene.complete(sidecar)).json["code"] == "upload_aborted"
    assert await scene.charged() == (0, len(PICTURE))
    assert await scene.published("MediaDeleted") == []


async def test_a_sidecar_whose_client_left_is_completed_by_a_tick(
    scene: Scene, tick: Callable[[Any], Awaitable[None]], clock: Clock
) -> None:
    picture, sidecar = await scene.reserve()
    await scene.send(picture, sidecar)
    await tick(clock() + timedelta(hours=1))
    await scene.work()
    assert await scene.said(picture) == SAID


async def test_the_store_tells_of_a_sidecar(
    scene: Scene, deps: Dependencies, make_settings: Callable[..., MediaSettings]
) -> None:
    picture, sidecar = await scene.reserve()
    await scene.send(picture, sidecar)
    arrivals = build_arrivals(deps, make_settings())
    place = scene.gallery.id, UUID(picture["media_id"])
    told = [Arrival("kappi", *place, "sidecar"), Arrival("kappi", *place)]
    assert await arrivals(told, way="kafka") == Counter(completed=2, unknown=0)
    assert await arrivals(told, way="kafka") == Counter(repeated=2, unknown=0)
    await scene.work()
    assert await scene.said(picture) == SAID


async def test_another_contributor_has_no_part_in_it(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(contributions="open")
    first, other = (Contributor(id=new_id(), name=name) for name in ("A", "B"))
    files = [declared(PICTURE, "IMG_1.jpg"), declared(XMP, "IMG_1.xmp")]
    path = f"/v1/galleries/{scene.gallery.id}/uploads"
    grant = scene.gallery.grant("contribute", contributor=first)
    _, sidecar = (await scene.client.http("POST", path, grant=grant, body={"files": files})).json["uploads"]
    path = f"/v1/uploads/{sidecar['id']}"
    grants = [scene.gallery.grant("contribute", contributor=each) for each in (first, other)]
    assert [(await scene.client.http("GET", path, grant=each)).status for each in grants] == [200, 404]
