"""A viewer with a live stream sees what others do to the gallery."""

from __future__ import annotations

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.live_viewer import watching
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

DEADLINE_S = 60
PICTURE = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))


@pytest.mark.timeout(180)
async def test_a_gallery_is_watched_to_its_end(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery(title="Watched")
    async with watching(stack, gallery) as told:
        assert await told.next() == ("reset", {})
        (first,) = await phone.upload(gallery, PICTURE)
        assert await told.next() == ("item_ready", {"id": first, "kind": "image"})
        by_code = {"X-Gallery-Code": gallery.code}
        item = (await phone.ask("GET", f"/v1/media/{first}", headers=by_code)).ok()
        assert item["status"] == "ready"
        last_id = told.last_id

    (second,) = await phone.upload(gallery, PICTURE)
    await phone.until_ready(gallery, 2)
    async with watching(stack, gallery, last_id=last_id) as told:
        assert await told.next() == ("item_ready", {"id": second, "kind": "image"})
        (await phone.ask("DELETE", f"/v1/media/{first}", headers=gallery.key)).ok(204)
        assert await told.next() == ("item_deleted", {"id": first})
        path = f"/v1/galleries/{gallery.id}"
        (await phone.ask("PATCH", path, headers=gallery.key, json={"title": "Still"})).ok()
        assert await told.next() == ("gallery_updated", {"id": gallery.id})
        (await phone.ask("DELETE", path, headers=gallery.key)).ok(204)
        assert await told.next() == ("gallery_deleted", {"id": gallery.id})
        assert await told.next() == ("", None)

    async def gone() -> None:
        (await phone.ask("GET", f"/v1/g/{gallery.code}/live")).problem(404, "gallery_not_found")

    await eventually(gone, DEADLINE_S)


@pytest.mark.timeout(180)
async def test_a_new_code_ends_the_streams_of_the_old_one(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery()
    async with watching(stack, gallery) as told:
        assert await told.next() == ("reset", {})
        rotated = await phone.ask("POST", f"/v1/galleries/{gallery.id}/rotate-code", headers=gallery.key)
        rotated.ok()
        assert await told.next() == ("", None)
