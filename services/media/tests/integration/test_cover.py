"""The cover of a gallery, as link previews get it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.storage import SignedRequest
from kappi_contracts.events import GalleryDeleted
from kappi_contracts.grants import COUNTED_HEADER, counted_access
from kappi_media.statistics.counter import AccessCounter
from kappi_testkit.asgi import Answer
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller, Worker, redelivered
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.signed_requests import call

pytestmark = pytest.mark.integration

JPEG = encode(quadrants(900, 600), "JPEG")
HOLLOW_GIF = b"GIF89a" + bytes(20)
Publications = Callable[..., Awaitable[list[Published]]]
Add = Callable[..., Awaitable[str]]


@pytest.fixture
def add(client: Client, worker: Worker, published: Publications) -> Add:
    """`await add(gallery)` returns the id of an item that was processed."""

    async def added(gallery: Gallery, body: bytes = JPEG, **declared: Any) -> str:
        item = await client.upload(gallery, body, **declared)
        await worker.process(redelivered((await published("UploadCompleted"))[-1]))
        return str(item["id"])

    return added


async def cover(http: Http, gallery: Gallery) -> Answer:
    return await http("GET", f"/v1/g/{gallery.public.code}/cover", grant=gallery.grant("view"))


def shown(answer: Answer) -> str:
    """Returns the id of the item whose rendition the answer leads to."""
    assert (answer.status, answer.headers["cache-control"]) == (302, "private, no-store")
    *_, media_id, renditions, name = urlsplit(answer.headers["location"]).path.split("/")
    assert (renditions, name) == ("renditions", "400.jpg")
    return media_id


async def test_the_first_ready_item_is_the_cover_until_one_is_named(
    http: Http, client: Client, gallery: Gallery, add: Add
) -> None:
    await add(gallery, HOLLOW_GIF, content_type="image/gif")
    waiting = (await client.upload(gallery, JPEG))["id"]
    first, second = await add(gallery), await add(gallery)
    assert shown(await cover(http, gallery)) == first
    assert shown(await cover(http, gallery.changed(cover_media_id=second))) == second
    # A cover that is not ready, is deleted or is in another gallery does not leave the gallery without one.
    for named in (waiting, str(new_id())):
        assert shown(await cover(http, gallery.changed(cover_media_id=named))) == first
    await http("DELETE", f"/v1/media/{second}", grant=gallery.grant())
    assert shown(await cover(http, gallery.changed(cover_media_id=second))) == first


async def test_the_cover_follows_the_order(http: Http, gallery: Gallery, add: Add) -> None:
    first, second = await add(gallery), await add(gallery)
    path = f"/v1/galleries/{gallery.id}/order"
    await http("POST", path, grant=gallery.grant(), body={"ids": [second], "before": first})
    assert shown(await cover(http, gallery)) == second


async def test_an_item_of_another_gallery_is_no_cover(
    http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery], add: Add
) -> None:
    first, elsewhere = await add(gallery), await add(make_gallery())
    assert shown(await cover(http, gallery.changed(cover_media_id=elsewhere))) == first


async def test_it_is_a_jpeg_that_a_crawler_reads(http: Http, gallery: Gallery, add: Add) -> None:
    await add(gallery)
    location = (await cover(http, gallery)).headers["location"]
    picture = await call(SignedRequest(location, "GET", {}, utc_now()))
    assert picture.status == 200
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.body.startswith(b"\xff\xd8\xff")


async def test_a_gallery_without_a_ready_item_has_no_cover(
    http: Http, client: Client, gallery: Gallery
) -> None:
    for _ in range(2):
        answer = await cover(http, gallery)
        assert (answer.status, answer.code) == (404, "cover_not_found")
        await client.upload(gallery, JPEG)


async def test_a_deleted_gallery_has_no_cover(
    http: Http, gallery: Gallery, add: Add, tell: Teller, clock: Clock
) -> None:
    await add(gallery)
    deleted = GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock())
    await tell(deleted, sequence=2)
    answer = await cover(http, gallery)
    assert (answer.status, answer.code) == (404, "gallery_not_found")


async def test_the_code_has_to_be_the_grants(
    http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery], add: Add
) -> None:
    await add(gallery)
    other = make_gallery(code="zzzz")
    path = f"/v1/g/{gallery.public.code}/cover"
    refused = await http("GET", path, grant=other.grant("view"))
    assert (refused.status, refused.code) == (404, "gallery_not_found")
    assert (await http("GET", path)).code == "credentials_missing"


async def test_it_is_no_access_and_no_view(
    counting_http: Http, gallery: Gallery, add: Add, counter: AccessCounter
) -> None:
    await add(gallery)
    answer = await cover(counting_http, gallery)
    assert answer.status == 302
    assert COUNTED_HEADER not in answer.headers
    capped = await cover(counting_http, gallery.changed(capped=True))
    assert capped.headers[COUNTED_HEADER] == counted_access("previews", gallery.id)
    assert not counter.take()
    await counting_http("GET", f"/v1/g/{gallery.public.code}", grant=gallery.grant("view"))
    assert counter.take()


async def test_the_galleries_service_learns_whether_an_item_is_ready(
    http: Http, client: Client, gallery: Gallery, make_gallery: Callable[..., Gallery], add: Add
) -> None:
    ready, rejected = await add(gallery), await add(gallery, HOLLOW_GIF, content_type="image/gif")
    waiting = (await client.upload(gallery, JPEG))["id"]
    elsewhere = await add(make_gallery())
    for media_id, status, code in (
        (ready, 200, None),
        (waiting, 409, "media_not_ready"),
        (rejected, 404, "media_not_found"),
        (elsewhere, 404, "media_not_found"),
        (str(new_id()), 404, "media_not_found"),
        ("no-uuid", 404, "not_found"),
    ):
        answer = await http("GET", f"/internal/galleries/{gallery.id}/ready/{media_id}")
        assert answer.status == status
        if code is not None:
            assert answer.code == code
        else:
            assert answer.json["version"] > 1  # it was processed
