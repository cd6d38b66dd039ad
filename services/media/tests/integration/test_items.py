from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.storage import SignedRequest
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Worker, redelivered
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.signed_requests import call

JPEG = encode(quadrants(64, 48), "JPEG")


def get(url: str) -> Any:
    return call(SignedRequest(url, "GET", {}, utc_now()))


def nested(value: Any, times: int) -> Any:
    """Returns the value nested in lists."""
    for _ in range(times):
        value = [value]
    return value


async def test_the_original_comes_back_bit_for_bit_under_its_name(
    client: Client, http: Http, gallery: Gallery, clock: Clock
) -> None:
    item = await client.upload(gallery, JPEG, filename="日の出.jpg")
    path = f"/v1/media/{item['id']}/download"
    answer = await http("GET", path, grant=gallery.grant("contribute"))
    assert answer.status == 200
    assert datetime.fromisoformat(answer.json["expires_at"]) - clock() >= timedelta(minutes=10)
    found = await get(answer.json["url"])
    assert (found.status, found.body) == (200, JPEG)
    assert "日の出.jpg" in unquote(found.headers["content-disposition"])

    redirected = await http("GET", f"{path}?redirect=true", grant=gallery.grant("contribute"))
    assert redirected.status == 302
    assert (await get(redirected.headers["location"])).body == JPEG
    assert (await get(item["original"]["url"])).body == JPEG


async def test_an_original_is_its_uploaders_alone_until_it_is_looked_at(
    client: Client,
    http: Http,
    gallery: Gallery,
    worker: Worker,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    """In pages, items, downloads and archives."""
    item = await client.upload(gallery, JPEG, sha256=hashlib.sha256(JPEG).hexdigest())
    path = f"/v1/media/{item['id']}"

    async def shown_to_viewers() -> tuple[Any, Any, int, int]:
        (on_page,) = (await client.view(gallery)).json["items"]
        alone = (await http("GET", path, grant=gallery.grant("view"))).json
        assert (on_page["original"] is None) == (on_page["sha256"] is None)
        download = await http("GET", f"{path}/download", grant=gallery.grant("view"))
        assert download.status == 200 or download.code == "media_not_ready"
        code = gallery.public.code
        archive = await http("GET", f"/v1/g/{code}/archive", grant=gallery.grant("view"))
        return on_page["original"], alone["original"], download.status, archive.status

    assert await shown_to_viewers() == (None, None, 409, 409)
    for right in ("contribute", "manage"):
        mine = (await http("GET", path, grant=gallery.grant(right))).json
        assert (await get(mine["original"]["url"])).body == JPEG
        assert (await http("GET", f"{path}/download", grant=gallery.grant(right))).status == 200
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))
    on_page, alone, *statuses = await shown_to_viewers()
    assert (await get(on_page["url"])).body == (await get(alone["url"])).body == JPEG
    assert statuses == [200, 200]


async def test_describing_changes_what_is_named_and_nothing_else(
    client: Client, http: Http, gallery: Gallery
) -> None:
    item = await client.upload(gallery, JPEG, caption="old", tags=["a"], location="here", attributes={"x": 1})
    path = f"/v1/media/{item['id']}"

    async def patch(body: Any) -> Any:
        answer = await http("PATCH", path, grant=gallery.grant(), body=body)
        assert answer.status == 200, answer.body
        return {name: answer.json[name] for name in ("caption", "tags", "location", "attributes")}

    now = {"caption": "old", "tags": ["a"], "location": "here", "attributes": {"x": 1}}
    assert await patch({}) == now
    assert await patch({"caption": "new"}) == {**now, "caption": "new"}
    assert await patch({"tags": ["b", "c"], "attributes": {}}) == {
        **now,
        "caption": "new",
        "tags": ["b", "c"],
        "attributes": {},
    }
    cleared = {"caption": None, "tags": None, "location": None, "attributes": None}
    nothing: dict[str, Any] = {"caption": None, "tags": [], "location": None, "attributes": {}}
    assert await patch(cleared) == nothing
    read = (await http("GET", path, grant=gallery.grant("view"))).json
    assert {name: read[name] for name in nothing} == nothing


async def test_an_item_gets_another_name(client: Client, http: Http, gallery: Gallery) -> None:
    item = await client.upload(gallery, JPEG, caption="old")
    path, before = f"/v1/media/{item['id']}", (await client.view(gallery)).headers["etag"]
    answer = await http("PATCH", path, grant=gallery.grant(), body={"filename": "a/日の出.jpg"})
    assert (answer.json["filename"], answer.json["caption"]) == ("a_日の出.jpg", "old")
    found = await get(answer.json["original"]["url"])
    assert "a_日の出.jpg" in unquote(found.headers["content-disposition"])
    page = await client.view(gallery, if_none_match=before)
    assert page.json["items"][0]["filename"] == "a_日の出.jpg"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"caption": "x" * 2001}, "caption"),
        ({"filename": ""}, "filename"),
        ({"filename": None}, "filename"),
        ({"tags": "alps"}, "tags"),
        ({"tags": [""]}, "tags.0"),
        ({"attributes": {"x": "y" * 5000}}, "attributes"),
        ({"attributes": {"x": nested("y", 64)}}, "attributes"),
        ({"location": 7}, "location"),
    ],
)
async def test_a_faulty_description_is_refused(
    client: Client, http: Http, gallery: Gallery, body: Any, field: str
) -> None:
    item = await client.upload(gallery, JPEG, caption="old")
    answer = await http("PATCH", f"/v1/media/{item['id']}", grant=gallery.grant(), body=body)
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert [error["field"] for error in answer.json["errors"]] == [field]
    assert (await http("GET", f"/v1/media/{item['id']}", grant=gallery.grant())).json["caption"] == "old"


@pytest.mark.parametrize("value", ["\0", nested("\0", 400), {"a\0": 1}])
async def test_a_nul_is_refused_wherever_it_is(
    client: Client, http: Http, gallery: Gallery, value: Any
) -> None:
    item = await client.upload(gallery, JPEG)
    body = {"attributes": {"x": value}}
    answer = await http("PATCH", f"/v1/media/{item['id']}", grant=gallery.grant(), body=body)
    assert (answer.status, answer.code) == (422, "validation_failed")


async def test_attributes_as_deep_as_allowed_are_kept(client: Client, http: Http, gallery: Gallery) -> None:
    item = await client.upload(gallery, JPEG)
    attributes = {"x": nested(10**20, 63)}
    body = {"attributes": attributes}
    answer = await http("PATCH", f"/v1/media/{item['id']}", grant=gallery.grant(), body=body)
    assert answer.json["attributes"] == attributes


async def test_a_deleted_item_is_gone_for_everyone(
    client: Client,
    http: Http,
    gallery: Gallery,
    database: Database,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    kept, item = await client.upload(gallery, JPEG), await client.upload(gallery, JPEG)
    path = f"/v1/media/{item['id']}"
    await http("PATCH", path, grant=gallery.grant(), body={"caption": "x"})
    assert (await http("DELETE", path, grant=gallery.grant())).status == 204

    for method, gone in (
        ("GET", path),
        ("DELETE", path),
        ("GET", f"{path}/download"),
        ("GET", f"{path}/renditions/400"),
    ):
        answer = await http(method, gone, grant=gallery.grant())
        assert (answer.status, answer.code) == (404, "media_not_found")
    answer = await http("PATCH", path, grant=gallery.grant(), body={"caption": "y"})
    assert (answer.status, answer.code) == (404, "media_not_found")
    (event,) = await published("MediaDeleted")
    # Completed as version 1, described as 2, deleted as 3.
    assert (event.key, event.sequence, event.data["reason"]) == (item["id"], 3, "requested")
    assert [shown["id"] for shown in (await client.view(gallery)).json["items"]] == [kept["id"]]
    assert await database.hot.fetchval("SELECT item_count FROM contents") == 1
    tombstone = await database.hot.fetchrow("SELECT media_id, version FROM deleted_media")
    assert (str(tombstone["media_id"]), tombstone["version"]) == (item["id"], 3)
    assert await database.hot.fetchval("SELECT count(*) FROM uploads") == 1


async def test_the_deletion_names_the_account_whose_item_it_was(
    client: Client,
    http: Http,
    gallery: Gallery,
    make_gallery: Callable[..., Gallery],
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    owner = new_id()
    for home in (gallery, make_gallery(owner_id=owner, code="h2me")):
        item = await client.upload(home, JPEG)
        assert (await http("DELETE", f"/v1/media/{item['id']}", grant=home.grant())).status == 204
    of_nobody, of_owner = await published("MediaDeleted")
    assert "owner_id" not in of_nobody.data
    assert of_owner.data["owner_id"] == str(owner)


async def test_completing_the_upload_of_a_deleted_item_does_not_bring_it_back(
    client: Client,
    http: Http,
    gallery: Gallery,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    item = await client.upload(gallery, JPEG)
    (completed,) = await published("UploadCompleted")
    await http("DELETE", f"/v1/media/{item['id']}", grant=gallery.grant())
    answer = await client.complete(gallery, completed.data["upload_id"])
    assert (answer.status, answer.code) == (404, "upload_not_found")


async def test_other_galleries_items_do_not_exist(
    client: Client, http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery]
) -> None:
    item = await client.upload(gallery, JPEG)
    stranger = make_gallery()
    for media_id in (item["id"], new_id()):
        path = f"/v1/media/{media_id}"
        for method, where in (
            ("GET", path),
            ("PATCH", path),
            ("DELETE", path),
            ("GET", f"{path}/download"),
            ("GET", f"{path}/renditions/400"),
        ):
            answer = await http(method, where, grant=stranger.grant(), body={} if method == "PATCH" else None)
            assert (answer.status, answer.code) == (404, "media_not_found")
    assert (await http("GET", f"/v1/media/{item['id']}", grant=gallery.grant())).status == 200


async def test_only_sizes_of_the_tier_are_renditions(client: Client, http: Http, gallery: Gallery) -> None:
    item = await client.upload(gallery, JPEG)
    path = f"/v1/media/{item['id']}/renditions"
    for size in ("199", "600x600", "400x600", "9999"):
        answer = await http("GET", f"{path}/{size}", grant=gallery.grant("view"))
        assert (answer.status, answer.code) == (403, "rendition_not_in_tier")
    for size in ("0400", "huge", "400x", "x400", "-1", "400x400x400"):
        answer = await http("GET", f"{path}/{size}", grant=gallery.grant("view"))
        assert (answer.status, answer.code) == (422, "validation_failed")
        assert [error["field"] for error in answer.json["errors"]] == ["size"]
