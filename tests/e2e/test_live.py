"""A viewer with a live stream sees what others do to the gallery."""

from __future__ import annotations

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.accounts import create_gallery, sign_up
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
async def test_a_view_that_uses_up_the_cap_ends_the_streams(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery(max_views=1)
    path = f"/v1/g/{gallery.code}"
    async with watching(stack, gallery) as told:
        assert await told.next() == ("reset", {})
        (await phone.ask("GET", path)).ok()
        assert await told.next() == ("gallery_deleted", {"id": gallery.id})
        assert await told.next() == ("", None)
    (await phone.ask("GET", f"{path}/live")).problem(404, "gallery_not_found")
    await phone.ask("PATCH", f"/v1/galleries/{gallery.id}", headers=gallery.key, json={"max_views": 2})

    async def opened() -> None:
        async with watching(stack, gallery) as told:
            assert await told.next() == ("reset", {})

    await eventually(opened, DEADLINE_S)


@pytest.mark.timeout(180)
async def test_a_changed_password_ends_the_streams_that_came_with_the_old_one(
    stack: StackUnderTest, phone: Phone
) -> None:
    owner = await sign_up(stack, phone, "live")
    gallery = await create_gallery(phone, owner, password="pastel de nata")
    path = f"/v1/galleries/{gallery.id}"
    old, new = {"X-Gallery-Password": "pastel de nata"}, {"X-Gallery-Password": "bacalhau"}
    (await phone.ask("GET", f"/v1/g/{gallery.code}/live")).problem(401, "gallery_password_required")
    async with watching(stack, gallery, **old) as told:
        assert await told.next() == ("reset", {})
        (await phone.ask("PATCH", path, headers=owner.key, json={"password": "bacalhau"})).ok()
        assert await told.next() == ("", None)
    refused = await phone.ask("GET", f"/v1/g/{gallery.code}/live", headers=old)
    refused.problem(401, "gallery_password_wrong")
    async with watching(stack, gallery, **new) as told:
        assert await told.next() == ("reset", {})
        (await phone.ask("PATCH", path, headers=owner.key, json={"visibility": "private"})).ok()
        assert await told.next() == ("", None)
    (await phone.ask("GET", f"/v1/g/{gallery.code}/live", headers=new)).problem(404, "gallery_not_found")


@pytest.mark.timeout(180)
async def test_a_new_code_ends_the_streams_of_the_old_one(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery()
    async with watching(stack, gallery) as told:
        assert await told.next() == ("reset", {})
        rotated = await phone.ask("POST", f"/v1/galleries/{gallery.id}/rotate-code", headers=gallery.key)
        rotated.ok()
        assert await told.next() == ("", None)
