"""Uploads and items of contributors: what they reach, how much they may add, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import ContributorRemoved, GalleryDeleted
from kappi_contracts.grants import Contributor
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.contributions import PAGE
from kappi_testkit.asgi import Answer
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller, Worker, redelivered
from kappi_testkit.media.live_photos import live_film, live_picture
from kappi_testkit.media.samples import encode, quadrants
from msgspec.structs import replace

pytestmark = pytest.mark.integration

JPEG = encode(quadrants(40, 30), "JPEG")
CODE = "k7dm"


@dataclass(frozen=True, slots=True)
class Guest:
    """A contributor of a gallery, and its requests."""

    http: Http
    gallery: Gallery
    contributor: Contributor

    @property
    def grant(self) -> str:
        return self.gallery.grant("contribute", contributor=self.contributor)

    def of(self, gallery: Gallery) -> Guest:
        """Returns the guest with grants of another state of the gallery."""
        return Guest(self.http, gallery, self.contributor)

    async def ask(self, method: str, path: str, **content: Any) -> Answer:
        return await self.http(method, path, grant=self.grant, **content)

    async def sign(self, *sizes: int, **call: Any) -> Answer:
        files = [{"filename": "a.jpg", "content_type": "image/jpeg", "size": size} for size in sizes]
        path = f"/v1/galleries/{self.gallery.id}/uploads"
        return await self.ask("POST", path, body={"files": files}, **call)

    async def signed(self, size: int = len(JPEG)) -> Any:
        answer = await self.sign(size)
        assert answer.status == 201, answer.body
        return answer.json["uploads"][0]

    async def post(
        self, body: bytes = JPEG, *, filename: str = "a.jpg", headers: Mapping[str, str] | None = None
    ) -> Answer:
        path = f"/v1/galleries/{self.gallery.id}/media"
        return await self.ask("POST", path, **posted(body, headers or {}, filename=filename))

    async def add(self, client: Client, body: bytes = JPEG) -> Any:
        """Uploads a file and returns its item."""
        promised = await self.signed(len(body))
        assert await client.put(promised, body) == 200
        answer = await self.ask("POST", f"/v1/uploads/{promised['id']}/complete")
        assert answer.status == 200, answer.body
        return answer.json

    async def shown(self) -> list[str]:
        answer = await self.ask("GET", f"/v1/g/{CODE}")
        assert answer.status == 200, answer.body
        assert answer.json["gallery"]["item_count"] == len(answer.json["items"])
        return [item["id"] for item in answer.json["items"]]


def posted(body: bytes, headers: Mapping[str, str], *, filename: str = "a.jpg") -> dict[str, Any]:
    """Returns a request with a form that holds a file."""
    field = f'Content-Disposition: form-data; name="file"; filename="{filename}"'
    head = b"--b\r\n" + field.encode() + b"\r\n\r\n"
    form = {"content-type": "multipart/form-data; boundary=b", **headers}
    return {"raw": head + body + b"\r\n--b--\r\n", "headers": form}


Make = Callable[..., Guest]


@pytest.fixture
def gallery(make_gallery: Callable[..., Gallery]) -> Gallery:
    return make_gallery(contributions="open")


@pytest.fixture
def guest(http: Http, gallery: Gallery) -> Make:
    """`guest("Grace", of=gallery)` returns a new contributor."""

    def make(name: str | None = "Grace", *, of: Gallery = gallery, via: Http = http) -> Guest:
        return Guest(via, of, Contributor(new_id(), name))

    return make


def outcome(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code if answer.status >= 400 else ""


async def test_each_item_names_its_contributor(
    http: Http,
    client: Client,
    gallery: Gallery,
    guest: Make,
    worker: Worker,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    grace, nameless = guest("Grace"), guest(None)
    own = await client.upload(gallery, JPEG)
    added = await grace.add(client)
    posted_item = await nameless.post()
    assert posted_item.status == 201, posted_item.body
    names = {
        own["id"]: None,
        added["id"]: {"id": str(grace.contributor.id), "name": "Grace"},
        posted_item.json["id"]: {"id": str(nameless.contributor.id), "name": None},
    }
    assert added["contributor"] == names[added["id"]]
    assert posted_item.json["contributor"] == names[posted_item.json["id"]]

    view = (await client.view(gallery)).json
    assert {item["id"]: item["contributor"] for item in view["items"]} == names
    assert view["gallery"]["contributions"] == "open"
    one = await http("GET", f"/v1/media/{added['id']}", grant=gallery.grant())
    assert one.json["contributor"] == names[added["id"]]

    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    told = {event.data["media_id"]: event.data for event in await published("MediaReady")}
    assert {media_id: data.get("contributor_id") for media_id, data in told.items()} == {
        media_id: None if named is None else named["id"] for media_id, named in names.items()
    }
    assert "Grace" not in str(await published())


async def test_a_contributor_reaches_its_own_uploads_alone(client: Client, guest: Make) -> None:
    grace, mary = guest("Grace"), guest("Mary")
    promised = await grace.signed()
    path = f"/v1/uploads/{promised['id']}"
    for method, where, body in (
        ("GET", path, None),
        ("DELETE", path, None),
        ("POST", f"{path}/parts", {"numbers": [1]}),
        ("POST", f"{path}/complete", {}),
    ):
        answer = await mary.ask(method, where, body=body)
        assert outcome(answer) == (404, "upload_not_found"), (method, where)
    assert (await grace.ask("GET", path)).json["state"] == "pending"
    assert await client.put(promised, JPEG) == 200
    assert (await grace.ask("POST", f"{path}/complete")).status == 200
    aborted = await grace.signed()
    assert (await grace.ask("DELETE", f"/v1/uploads/{aborted['id']}")).status == 204


async def test_parts_are_signed_for_their_contributor(guest: Make) -> None:
    grace = guest()
    promised = await grace.signed(64 << 20)
    path = f"/v1/uploads/{promised['id']}/parts"
    assert (await grace.ask("POST", path, body={"numbers": [1]})).status == 200
    assert outcome(await guest().ask("POST", path, body={"numbers": [1]})) == (404, "upload_not_found")


async def test_a_contributor_changes_its_own_items_alone(
    http: Http, client: Client, gallery: Gallery, guest: Make
) -> None:
    grace, mary = guest("Grace"), guest("Mary")
    added, own = await grace.add(client), await client.upload(gallery, JPEG)
    path = f"/v1/media/{added['id']}"
    for who, where in ((mary, path), (grace, f"/v1/media/{own['id']}")):
        changed = await who.ask("PATCH", where, body={"caption": "Mine"})
        assert outcome(changed) == (404, "media_not_found")
        assert outcome(await who.ask("DELETE", where)) == (404, "media_not_found")
        assert (await who.ask("GET", where)).status == 200  # viewers see it, too
    changed = await grace.ask("PATCH", path, body={"caption": "Mine"})
    assert (changed.status, changed.json["caption"]) == (200, "Mine")
    links = await grace.ask("POST", f"{path}/links", body={"valid_for": 300})
    assert outcome(links) == (403, "right_missing")
    assert (await grace.ask("DELETE", path)).status == 204
    assert (await http("GET", path, grant=gallery.grant())).status == 404


async def test_the_original_goes_to_its_uploader_before_it_is_checked(
    client: Client, gallery: Gallery, guest: Make
) -> None:
    grace, mary = guest("Grace"), guest("Mary")
    added, own = await grace.add(client), await client.upload(gallery, JPEG)
    for who, item, may in ((grace, added, True), (mary, added, False), (grace, own, False)):
        path = f"/v1/media/{item['id']}"
        assert ((await who.ask("GET", path)).json["original"] is not None) is may
        expected = (200, "") if may else (409, "media_not_ready")
        assert outcome(await who.ask("GET", f"{path}/download")) == expected


async def test_a_key_of_another_gallery_is_wrong(
    guest: Make, make_gallery: Callable[..., Gallery], gallery: Gallery
) -> None:
    stranger = guest(of=make_gallery(contributions="open", code="other"))
    for path, sent in (
        (f"/v1/galleries/{gallery.id}/uploads", {"body": {"files": []}}),
        (f"/v1/galleries/{gallery.id}/media", posted(JPEG, {})),
    ):
        assert outcome(await stranger.ask("POST", path, **sent)) == (403, "contributor_key_wrong")


async def test_a_repeated_call_of_another_contributor_is_another_call(guest: Make) -> None:
    grace, mary, call = guest("Grace"), guest("Mary"), {"Idempotency-Key": "a-call-of-mine"}
    first = (await grace.sign(1_000, headers=call)).json["uploads"][0]["id"]
    assert (await grace.sign(1_000, headers=call)).json["uploads"][0]["id"] == first
    assert (await mary.sign(1_000, headers=call)).json["uploads"][0]["id"] != first
    posted_first = (await grace.post(headers=call)).json["id"]
    assert (await grace.post(headers=call)).json["id"] == posted_first
    assert (await mary.post(headers=call)).json["id"] != posted_first


# what a drop shows


async def test_a_drop_shows_each_contributor_its_own_items(
    http: Http,
    client: Client,
    gallery: Gallery,
    guest: Make,
    worker: Worker,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    drop = gallery.changed(contributions="drop")
    grace, mary = guest("Grace", of=drop), guest("Mary", of=drop)
    own = await client.upload(drop, JPEG)
    added, others = await grace.add(client), await mary.add(client, JPEG + b"\0")
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))

    assert await grace.shown() == [added["id"]]
    assert await mary.shown() == [others["id"]]
    assert await guest(of=drop).shown() == []
    viewer = await client.view(drop)
    assert (viewer.json["items"], viewer.json["gallery"]["item_count"]) == ([], 0)
    manager = await http("GET", f"/v1/g/{CODE}", grant=drop.grant())
    assert [item["id"] for item in manager.json["items"]] == [own["id"], added["id"], others["id"]]
    # The copies that one of them has are not those of another.
    tags = {answer.headers["etag"] for answer in (viewer, manager, await grace.ask("GET", f"/v1/g/{CODE}"))}
    assert len(tags) == 3
    for tag in tags - {viewer.headers["etag"]}:
        assert (await client.view(drop, if_none_match=tag)).status == 200

    archive = f"/v1/g/{CODE}/archive"
    assert names_in(await grace.ask("GET", archive)) == ["a.jpg"]
    assert len(names_in(await http("GET", archive, grant=drop.grant()))) == 3
    nothing = await http("GET", archive, grant=drop.grant("view"))
    assert outcome(nothing) == (409, "archive_empty")
    assert outcome(await guest(of=drop).ask("GET", archive)) == (409, "archive_empty")

    for what in ("", "/download", "/renditions/400"):
        path = f"/v1/media/{added['id']}{what}"
        assert (await grace.ask("GET", path)).status < 400
        assert (await http("GET", path, grant=drop.grant())).status < 400
        for hidden in (await mary.ask("GET", path), await http("GET", path, grant=drop.grant("view"))):
            assert outcome(hidden) == (404, "media_not_found")
        assert (await http("GET", path, grant=gallery.grant("view"))).status < 400  # it is open again


async def test_the_tag_of_a_drop_tells_nothing_of_what_others_add(
    client: Client, gallery: Gallery, guest: Make
) -> None:
    drop = gallery.changed(contributions="drop")
    grace, mary = guest("Grace", of=drop), guest("Mary", of=drop)
    added = await grace.add(client)

    async def tags() -> tuple[str, str]:
        answers = await client.view(drop), await grace.ask("GET", f"/v1/g/{CODE}")
        return answers[0].headers["etag"], answers[1].headers["etag"]

    before = await tags()
    others = await mary.add(client)
    await client.upload(drop, JPEG)
    assert (await mary.ask("PATCH", f"/v1/media/{others['id']}", body={"caption": "Mine"})).status == 200
    assert await tags() == before
    again = await grace.ask("GET", f"/v1/g/{CODE}", headers={"If-None-Match": before[1]})
    assert again.status == 304
    seen = {before[1]}
    for change in (
        grace.ask("PATCH", f"/v1/media/{added['id']}", body={"caption": "Mine"}),
        grace.add(client, JPEG + b"\0"),
        grace.ask("DELETE", f"/v1/media/{added['id']}"),
    ):
        await change
        viewers, own = await tags()
        assert viewers == before[0]
        assert own not in seen
        seen.add(own)
    await grace.shown()


async def test_an_archive_of_a_drop_waits_for_no_copies_of_others(
    client: Client,
    gallery: Gallery,
    guest: Make,
    worker: Worker,
    database: Database,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    drop = gallery.changed(contributions="drop", location_free=True)
    grace, mary = guest("Grace", of=drop), guest("Mary", of=drop)
    added = await grace.add(client)
    await mary.add(client)
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    archive = f"/v1/g/{CODE}/archive"

    async def copied() -> list[str]:
        rows = await database.hot.fetch("SELECT media_id FROM location_free_copies")
        claimed = await database.hot.fetch("SELECT media_id FROM rendition_claims")
        return [str(row[0]) for row in rows + claimed]

    for nothing in (
        await client.http("GET", archive, grant=drop.grant("view")),
        await guest(of=drop).ask("GET", archive),
    ):
        assert outcome(nothing) == (409, "archive_empty")
    assert await copied() == []
    assert names_in(await grace.ask("GET", archive)) == ["a.jpg"]
    assert await copied() == [added["id"]]


@pytest.mark.parametrize(
    "terms",
    [{"capped": True, "downloads_capped": True}, {"location_free": True}],
    ids=["capped", "placeless"],
)
async def test_answers_to_a_contributor_lead_to_what_its_views_lead_to(
    client: Client, gallery: Gallery, guest: Make, terms: dict[str, bool]
) -> None:
    """An answer must not hand out what a cap counts, or the place that the gallery hides."""
    grace = guest(of=gallery.changed(**terms))
    shown = [await grace.add(client), (await grace.post()).json]
    changed = await grace.ask("PATCH", f"/v1/media/{shown[0]['id']}", body={"caption": "Mine"})
    for item in (*shown, changed.json):
        seen = (await grace.ask("GET", f"/v1/media/{item['id']}")).json
        assert (item["original"], item["gps"]) == (seen["original"], seen["gps"])
        if "capped" in terms:
            assert f"/v1/media/{item['id']}/download?" in item["original"]["url"]
        else:
            assert item["original"] is None


async def test_halves_of_a_live_photo_are_paired_within_one_contributor(
    guest: Make,
    client: Client,
    gallery: Gallery,
    worker: Worker,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    grace, mary = guest("Grace"), guest("Mary")
    own = await client.upload(gallery, live_picture("A-1"))
    picture = (await grace.post(live_picture("A-1"))).json
    others = (await mary.post(live_film("A-1"), filename="b.mov")).json
    film = (await grace.post(live_film("A-1"), filename="b.mov")).json
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    view = (await client.view(gallery)).json
    assert {item["id"]: item["live_partner_id"] for item in view["items"]} == {
        own["id"]: None,
        picture["id"]: film["id"],
        others["id"]: None,
        film["id"]: picture["id"],
    }


def names_in(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return zipfile.ZipFile(io.BytesIO(answer.body)).namelist()


async def test_a_page_of_a_drop_leads_on_through_the_own_items(client: Client, guest: Make) -> None:
    drop = guest().gallery.changed(contributions="drop")
    grace, mary = guest("Grace", of=drop), guest("Mary", of=drop)
    own = []
    for _ in range(3):
        own.append((await grace.add(client))["id"])
        await mary.add(client)
    first = (await grace.ask("GET", f"/v1/g/{CODE}?limit=2")).json
    second = (await grace.ask("GET", f"/v1/g/{CODE}?limit=2&cursor={first['next_cursor']}")).json
    assert [item["id"] for page in (first, second) for item in page["items"]] == own
    assert [page["gallery"]["item_count"] for page in (first, second)] == [3, 3]
    assert second["next_cursor"] is None


async def test_a_drop_does_not_tell_that_others_have_the_same_file(client: Client, guest: Make) -> None:
    drop = guest().gallery.changed(contributions="drop")
    grace, mary = guest("Grace", of=drop), guest("Mary", of=drop)
    file = {"filename": "a.jpg", "content_type": "image/jpeg", "size": len(JPEG)}
    added = (await grace.post()).json
    digest = hashlib.sha256(JPEG).hexdigest()

    async def duplicate(who: Guest, **call: Any) -> Any:
        path = f"/v1/galleries/{who.gallery.id}/uploads"
        answer = await who.ask("POST", path, body={"files": [{**file, "sha256": digest}]}, **call)
        return answer.json["uploads"][0].get("duplicate_of")

    call = {"headers": {"Idempotency-Key": "a-call-of-mine"}}
    for named in ({}, call, call):
        assert await duplicate(grace, **named) == added["id"]
        assert await duplicate(mary, **named) is None
    assert await duplicate(mary.of(guest().gallery)) == added["id"]  # an open gallery shows it anyway


# limits


@pytest.fixture
def tight(make_http: Callable[..., Http]) -> Http:
    """Returns the app with limits of 3 files and 3,000 bytes a contributor, 5 and 5,000 a gallery."""
    return make_http(
        contributed_files_per_contributor=3,
        contributed_bytes_per_contributor=3_000,
        contributed_files_per_gallery=5,
        contributed_bytes_per_gallery=5_000,
    )


LIMIT = (409, "contribution_limit_exceeded")


async def test_a_contributor_adds_a_limited_number_of_files_and_bytes(
    guest: Make, tight: Http, client: Client, gallery: Gallery
) -> None:
    for few, many in ((100, [100] * 4), (1_500, [1_501] * 2)):
        grace = guest(via=tight)
        assert outcome(await grace.sign(*many)) == LIMIT  # all or nothing
        promised = [await grace.signed(few) for _ in range(2)]
        assert outcome(await grace.sign(*many[:2])) == LIMIT
        assert outcome(await grace.sign(3_001)) == LIMIT
        for each in promised:  # what is aborted does not count any more
            assert (await grace.ask("DELETE", f"/v1/uploads/{each['id']}")).status == 204
        assert (await grace.sign(few, few)).status == 201
    assert await client.sign(gallery, *[{"filename": "a", "content_type": "image/png", "size": 9}] * 9)


async def test_items_count_until_they_are_deleted(
    guest: Make,
    tight: Http,
    client: Client,
    worker: Worker,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    grace = guest(via=tight)
    picture = encode(quadrants(8, 6), "JPEG")
    broken = picture[:200]
    assert len(picture) < 1_000
    first = await grace.add(client, picture)
    await grace.add(client, broken)
    assert outcome(await grace.sign(100, 100)) == LIMIT
    assert (await grace.ask("DELETE", f"/v1/media/{first['id']}")).status == 204
    assert (await grace.sign(100, 100)).status == 201
    assert outcome(await grace.sign(100)) == LIMIT
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    (rejected,) = await published("MediaRejected")
    assert outcome(await grace.sign(100)) == LIMIT  # its row stays, so that it is no way to make many
    assert (await grace.ask("DELETE", f"/v1/media/{rejected.key}")).status == 204
    assert (await grace.sign(100)).status == 201


async def test_all_contributors_of_a_gallery_have_a_limit_together(
    guest: Make, tight: Http, make_gallery: Callable[..., Gallery]
) -> None:
    assert (await guest(via=tight).sign(*[10] * 3)).status == 201
    assert (await guest(via=tight).sign(*[10] * 2)).status == 201
    answer = await guest(via=tight).sign(10)
    assert outcome(answer) == LIMIT
    assert "all contributors" in answer.json["detail"]
    assert (await guest(via=tight, of=make_gallery(contributions="open")).sign(10)).status == 201


async def test_the_bytes_of_a_rejected_item_do_not_count(
    guest: Make,
    tight: Http,
    client: Client,
    worker: Worker,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    grace = guest(via=tight)
    await grace.add(client, encode(quadrants(8, 6), "JPEG")[:200])
    assert outcome(await grace.sign(2_900)) == LIMIT
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    assert (await grace.sign(2_900)).status == 201


PENDING = (429, "too_much_promised")


def sent_from(number: int) -> dict[str, Any]:
    return {"headers": {"X-Forwarded-For": f"192.0.2.{number}"}}


@pytest.fixture
def few_pending(make_http: Callable[..., Http]) -> Http:
    """Three files and 3,000 bytes of an address may be pending, five and 5,000 of a gallery."""
    return make_http(
        contributed_pending_files_per_address=3,
        contributed_pending_bytes_per_address=3_000,
        contributed_pending_files_per_gallery=5,
        contributed_pending_bytes_per_gallery=5_000,
    )


@pytest.mark.parametrize("size", [10, 1_000], ids=["files", "bytes"])
@pytest.mark.parametrize("owner", [None, uuid4()], ids=["anonymous", "owned"])
async def test_what_contributors_did_not_complete_has_a_limit(
    guest: Make,
    few_pending: Http,
    client: Client,
    make_gallery: Callable[..., Gallery],
    owner: UUID | None,
    size: int,
) -> None:
    """A stranger makes keys freely, so a limit of one contributor bounds nothing."""
    one, two = make_gallery(contributions="open"), make_gallery(contributions="open", code="other")
    if owner is not None:
        one, two = one.of(owner), two.of(owner)
    grace = guest(via=few_pending, of=one)
    promised = (await grace.sign(size, size, **sent_from(1))).json["uploads"]
    for gallery in (one, two):  # of the same address
        refused = await guest(via=few_pending, of=gallery).sign(size, size, **sent_from(1))
        assert outcome(refused) == PENDING
        assert "this address" in refused.json["detail"]
    assert (await guest(via=few_pending, of=one).sign(size, size, **sent_from(2))).status == 201
    refused = await guest(via=few_pending, of=one).sign(size, size, **sent_from(3))
    assert outcome(refused) == PENDING
    assert "this gallery" in refused.json["detail"]
    assert refused.headers["retry-after"] == "60"
    too_large = await guest(via=few_pending, of=one).sign(*[size] * 4, **sent_from(4))
    assert outcome(too_large) == PENDING
    assert "retry-after" not in too_large.headers
    assert (await grace.ask("DELETE", f"/v1/uploads/{promised[0]['id']}")).status == 204
    assert (await guest(via=few_pending, of=one).sign(size, size, **sent_from(3))).status == 201
    managers = [{"filename": "a", "content_type": "image/png", "size": 3_000}] * 9
    assert await client.sign(one, *managers)


async def test_what_is_completed_is_not_pending(guest: Make, few_pending: Http, client: Client) -> None:
    grace = guest(via=few_pending)
    for _ in range(5):
        await grace.add(client)


async def test_pending_bytes_are_a_part_of_the_owners_quota(
    guest: Make, make_http: Callable[..., Http], gallery: Gallery
) -> None:
    quota = 50 << 30  # of the tier of new accounts
    owned, http = gallery.of(uuid4()), make_http(contributed_pending_quota_percent=10)
    assert outcome(await guest(of=owned, via=http).sign(4 << 30)) == (201, "")
    assert outcome(await guest(of=owned, via=http).sign((quota // 10) - (4 << 30) + 1)) == PENDING
    assert outcome(await guest(of=owned, via=http).sign((quota // 10) - (4 << 30))) == (201, "")


async def test_limits_of_an_address_are_exact_with_many_galleries_at_once(
    guest: Make, few_pending: Http, make_gallery: Callable[..., Gallery]
) -> None:
    galleries = [make_gallery(contributions="open", code=f"code{number}") for number in range(12)]
    answers = await asyncio.gather(*(guest(via=few_pending, of=each).sign(100) for each in galleries))
    assert sorted(map(outcome, answers)) == [(201, "")] * 3 + [PENDING] * 9


async def test_uploads_of_contributors_are_abandoned_early(guest: Make, database: Database) -> None:
    await guest().sign(1_000, 64 << 20)
    lifetimes = await database.hot.fetch("SELECT DISTINCT expires_at - created_at FROM uploads")
    assert [row[0] for row in lifetimes] == [timedelta(hours=12)]


async def test_a_posted_file_counts_too(guest: Make, tight: Http) -> None:
    grace = guest(via=tight)
    assert (await grace.sign(10, 10, 10)).status == 201
    assert outcome(await grace.post(encode(quadrants(8, 6), "JPEG"))) == LIMIT


@pytest.mark.parametrize("own", [True, False], ids=["of one contributor", "of one gallery"])
async def test_limits_are_exact_with_many_batches_at_once(
    guest: Make, tight: Http, database: Database, own: bool
) -> None:
    one = guest(via=tight)
    guests = [one if own else guest(via=tight) for _ in range(12)]
    answers = await asyncio.gather(
        *(
            each.sign(100, headers={"Idempotency-Key": f"a-call-of-mine-{number}"})
            if number % 2
            else each.sign(100)
            for number, each in enumerate(guests)
        )
    )
    most = 3 if own else 5
    assert sorted(map(outcome, answers)) == [(201, "")] * most + [LIMIT] * (12 - most)
    assert await database.hot.fetchval("SELECT count(*) FROM uploads") == most


async def test_contributed_bytes_count_for_the_owners_quota(
    guest: Make,
    gallery: Gallery,
    client: Client,
    database: Database,
    tell: Teller,
    clock: Clock,
) -> None:
    owner = uuid4()
    owned = gallery.of(owner)
    grace = guest(of=owned)
    await grace.add(client)
    await grace.signed(5_000)

    async def charged() -> tuple[int, int]:
        row = await database.hot.fetchrow(
            "SELECT reserved_bytes, used_bytes FROM accounts WHERE id = $1", owner
        )
        return row["reserved_bytes"], row["used_bytes"]

    assert await charged() == (5_000, len(JPEG))
    await tell(removal(grace, clock, items_deleted=True))
    assert await charged() == (0, 0)


# how it ends


def removal(guest: Guest, clock: Clock, *, items_deleted: bool) -> ContributorRemoved:
    return ContributorRemoved(
        contributor_id=guest.contributor.id,
        gallery_id=guest.gallery.id,
        items_deleted=items_deleted,
        removed_at=clock(),
    )


async def test_a_gallery_that_is_closed_takes_nothing_more(
    client: Client,
    gallery: Gallery,
    guest: Make,
    clock: Clock,
    tell: Teller,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    grace = guest()
    added, pending = await grace.add(client), await grace.signed()
    (managers,) = await client.sign(
        gallery, {"filename": "b.jpg", "content_type": "image/jpeg", "size": len(JPEG)}
    )
    assert await client.put(pending, JPEG) == 200
    closed = gallery.changed(contributions="closed", version=2)
    late, path = grace.of(closed), f"/v1/uploads/{pending['id']}"

    refused = [
        await late.sign(1_000),
        await late.post(),
        await late.ask("GET", path),
        await late.ask("POST", f"{path}/parts", body={"numbers": [1]}),
        await late.ask("POST", f"{path}/complete"),
    ]
    assert {outcome(answer) for answer in refused} == {(403, "contributions_closed")}

    await tell(closed.updated(clock()), sequence=2)
    # A grant of another gateway may be older than the change.
    assert outcome(await grace.sign(1_000)) == (403, "contributions_closed")
    assert outcome(await grace.ask("POST", f"{path}/complete")) == (409, "upload_aborted")
    deleted = await published("MediaDeleted")
    assert [(event.key, event.sequence) for event in deleted] == [(pending["media_id"], 1)]
    assert await client.put(managers, JPEG) == 200
    assert (await client.complete(closed, managers["id"])).status == 200

    # What it added is still its own.
    changed = await late.ask("PATCH", f"/v1/media/{added['id']}", body={"caption": "Mine"})
    assert changed.status == 200
    assert (await late.ask("DELETE", path)).status == 204
    assert (await late.ask("DELETE", f"/v1/media/{added['id']}")).status == 204

    opened = gallery.changed(version=3)  # its event may arrive later than its grants
    assert (await grace.of(opened).sign(1_000)).status == 201


async def test_other_changes_of_an_open_gallery_end_nothing(
    client: Client, gallery: Gallery, guest: Make, clock: Clock, tell: Teller
) -> None:
    grace = guest()
    pending = await grace.signed()
    assert await client.put(pending, JPEG) == 200
    await tell(gallery.changed(contributions="drop", version=2).updated(clock()), sequence=2)
    assert (await grace.ask("POST", f"/v1/uploads/{pending['id']}/complete")).status == 200


async def test_a_change_told_by_an_older_release_ends_no_uploads(
    client: Client, gallery: Gallery, guest: Make, clock: Clock, tell: Teller
) -> None:
    grace = guest()
    pending = await grace.signed()
    assert await client.put(pending, JPEG) == 200
    older = replace(gallery.changed(version=2).updated(clock()), contributions=None)
    await tell(older, sequence=2)
    assert (await grace.ask("POST", f"/v1/uploads/{pending['id']}/complete")).status == 200


@pytest.mark.parametrize("items_deleted", [False, True])
async def test_a_removed_contributor_adds_nothing_and_its_items_stay_or_go(
    client: Client,
    gallery: Gallery,
    guest: Make,
    clock: Clock,
    tell: Teller,
    published: Callable[..., Awaitable[list[Published]]],
    items_deleted: bool,
) -> None:
    grace, mary = guest("Grace"), guest("Mary")
    own = await client.upload(gallery, JPEG)
    added, kept = [await grace.add(client) for _ in range(2)], await mary.add(client)
    pending, of_mary = await grace.signed(), await mary.signed()
    for _ in range(2):
        await tell(removal(grace, clock, items_deleted=items_deleted))

    # A grant of another gateway may be older than the removal.
    assert outcome(await grace.sign(1_000)) == (403, "contributor_key_wrong")
    done = await grace.ask("POST", f"/v1/uploads/{pending['id']}/complete")
    assert outcome(done) == (409, "upload_aborted")
    assert await client.put(of_mary, JPEG) == 200
    assert (await mary.ask("POST", f"/v1/uploads/{of_mary['id']}/complete")).status == 200

    shown = {item["id"] for item in (await client.view(gallery)).json["items"]}
    gone = [item["id"] for item in added] if items_deleted else []
    stay = [] if items_deleted else [item["id"] for item in added]
    assert shown == {own["id"], kept["id"], of_mary["media_id"], *stay}
    told = {(event.key, event.sequence) for event in await published("MediaDeleted")}
    assert told == {(pending["media_id"], 1), *((media_id, 2) for media_id in gone)}


async def test_many_items_of_a_contributor_are_deleted_in_pages(
    client: Client,
    gallery: Gallery,
    guest: Make,
    clock: Clock,
    tell: Teller,
    database: Database,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    grace = guest()
    added = await grace.add(client)
    await database.hot.execute(
        "INSERT INTO items (id, gallery_id, upload_id, filename, content_type, size_bytes, etag, created_at, "
        "contributor_id) SELECT gen_random_uuid(), gallery_id, gen_random_uuid(), filename, content_type, "
        "size_bytes, etag, created_at, contributor_id FROM items, generate_series(1, $1) WHERE id = $2",
        PAGE + 10,
        UUID(added["id"]),
    )
    await database.hot.execute("UPDATE contents SET item_count = item_count + $1", PAGE + 10)
    await tell(removal(grace, clock, items_deleted=True))
    assert len(await published("MediaDeleted")) == PAGE + 11
    view = await client.view(gallery)
    assert (view.json["items"], view.json["gallery"]["item_count"]) == ([], 0)


async def test_a_deleted_gallery_leaves_nothing_of_its_contributors(
    client: Client, gallery: Gallery, guest: Make, clock: Clock, tell: Teller, database: Database
) -> None:
    grace, mary = guest("Grace"), guest("Mary")
    await grace.add(client)
    await grace.signed()
    await tell(removal(mary, clock, items_deleted=False))
    deletion = GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock())
    await tell(deletion)
    await tell(removal(grace, clock, items_deleted=True), sequence=2)  # its event may arrive later
    for table in ("uploads", "items", "removed_contributors"):
        assert await database.hot.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    assert outcome(await grace.sign(1_000)) == (404, "gallery_not_found")


def test_the_limits_have_defaults_that_a_party_fits_in(
    make_settings: Callable[..., MediaSettings],
) -> None:
    limits = make_settings().contribution_limits
    assert limits.contributor == (200, 10 << 30)
    assert limits.gallery == (5_000, 100 << 30)
