"""A caption and keywords in a file are added to the item, and are hidden in a gallery that hides places."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kappi_testkit.media.harness import Client, Gallery, Published, Worker, redelivered
from kappi_testkit.media.metadata_blocks import FULL_XMP, caption, jpeg, keywords, xmp_packet

WORDS = jpeg(FULL_XMP)
SAID = ("Nebel über dem Pass", ["alps", "Nebel"])

Ready = Callable[..., Awaitable[str]]
Words = tuple[str | None, list[str]]


@pytest.fixture
def ready(client: Client, worker: Worker, published: Callable[..., Awaitable[list[Published]]]) -> Ready:
    """`await ready(gallery, body, tags=[…])` returns the id of an item that the worker has processed."""

    async def uploaded(gallery: Gallery, body: bytes = WORDS, **declared: Any) -> str:
        item = await client.upload(gallery, body, **declared)
        await worker.process(redelivered((await published("UploadCompleted"))[-1]))
        return str(item["id"])

    return uploaded


async def item_for(client: Client, gallery: Gallery, media_id: str, right: Any = "manage") -> dict[str, Any]:
    answer = await client.http("GET", f"/v1/media/{media_id}", grant=gallery.grant(right))
    item: dict[str, Any] = answer.json
    if right == "manage":  # for other viewers it is ready once its copy exists
        assert item["status"] == "ready"
    return item


async def words_for(client: Client, gallery: Gallery, media_id: str, right: Any = "manage") -> Words:
    item = await item_for(client, gallery, media_id, right)
    return item["caption"], item["tags"]


async def words_on_page(client: Client, gallery: Gallery) -> Words:
    (item,) = (await client.view(gallery)).json["items"]
    return item["caption"], item["tags"]


async def test_what_a_file_says_is_the_items(client: Client, gallery: Gallery, ready: Ready) -> None:
    media_id = await ready(gallery)
    item = await item_for(client, gallery, media_id)
    assert (item["caption"], item["tags"]) == SAID
    assert item["gps"] == {"latitude": 46.5586, "longitude": -8.3375, "altitude": 2469.0}
    assert item["taken_at"] == "1985-07-05T10:11:12Z"
    assert await words_on_page(client, gallery) == SAID


async def test_what_people_said_comes_first(client: Client, gallery: Gallery, ready: Ready) -> None:
    media_id = await ready(gallery, caption="Typed", tags=["Alps", "typed"])
    assert await words_for(client, gallery, media_id) == ("Typed", ["Alps", "typed", "Nebel"])


async def test_there_are_no_more_tags_than_an_item_may_have(
    client: Client, gallery: Gallery, ready: Ready
) -> None:
    typed = [f"typed {number}" for number in range(48)]
    body = jpeg(xmp_packet(keywords("café", "Cafe", *(f"read {number}" for number in range(20)))))
    _, tags = await words_for(client, gallery, await ready(gallery, body, tags=typed))
    assert tags[:48] == typed
    assert len(tags) == 50
    assert tags[49] == "read 0"


async def test_viewers_who_are_told_no_place_are_told_none_of_it(
    client: Client, make_gallery: Callable[..., Gallery], ready: Ready
) -> None:
    gallery = make_gallery(location_free=True)
    media_id = await ready(gallery, tags=["typed"])
    assert await words_for(client, gallery, media_id) == (SAID[0], ["typed", *SAID[1]])
    for right in ("view", "contribute"):
        item = await item_for(client, gallery, media_id, right)
        assert (item["caption"], item["tags"], item["gps"]) == (None, ["typed"], None)
    page = await client.view(gallery)
    assert await words_on_page(client, gallery) == (None, ["typed"])
    assert "Nebel" not in page.body.decode()


async def test_what_the_owner_writes_anew_is_shown(
    client: Client, make_gallery: Callable[..., Gallery], ready: Ready
) -> None:
    gallery = make_gallery(location_free=True)
    media_id = await ready(gallery)
    path = f"/v1/media/{media_id}"
    changed = await client.http("PATCH", path, grant=gallery.grant(), body={"tags": ["alps"]})
    assert changed.json["tags"] == ["alps"]
    assert await words_for(client, gallery, media_id, "view") == (None, ["alps"])
    await client.http("PATCH", path, grant=gallery.grant(), body={"caption": "On a pass"})
    assert await words_on_page(client, gallery) == ("On a pass", ["alps"])


async def test_a_file_without_words_leaves_the_item_as_it_was(
    client: Client, gallery: Gallery, ready: Ready
) -> None:
    assert await words_for(client, gallery, await ready(gallery, jpeg())) == (None, [])
    with_camera_text = jpeg(xmp_packet(caption("OLYMPUS DIGITAL CAMERA")))
    assert await words_for(client, gallery, await ready(gallery, with_camera_text)) == (None, [])
