"""An administrator takes a gallery down and suspends an account, and takes both back."""

from __future__ import annotations

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.accounts import OwnGallery, create_gallery, log_in, make_admin, sign_up
from tests.e2e.phone import Answer, File, Phone
from tests.e2e.stacks import StackUnderTest

REASON = "Reported as spam"


async def _viewed(phone: Phone, code: str) -> Answer:
    return await phone.ask("GET", f"/v1/g/{code}")


@pytest.mark.timeout(120)
async def test_a_gallery_is_taken_down_and_back(stack: StackUnderTest, phone: Phone) -> None:
    admin = await make_admin(stack, phone)
    gallery = await phone.create_gallery(title="Lisbon")
    (media_id,) = await phone.upload(gallery, File("a.jpg", "image/jpeg", encode(quadrants(64, 48), "JPEG")))
    await phone.until_ready(gallery, 1)
    by_code = {"X-Gallery-Code": gallery.code}
    (await phone.ask("GET", f"/v1/media/{media_id}/download", headers=by_code)).ok()

    order = {"gallery": gallery.code, "reason": REASON}
    made = (await phone.ask("POST", "/v1/admin/takedowns", json=order, headers=admin.key)).ok(201)

    async def is_down() -> None:
        (await _viewed(phone, gallery.code)).problem(404, "gallery_not_found")
        for headers in (by_code, gallery.key):
            answer = await phone.ask("GET", f"/v1/media/{media_id}/download", headers=headers)
            assert answer.status in {403, 404}

    await eventually(is_down, 30)
    archive = await phone.ask("GET", f"/v1/g/{gallery.code}/archive")
    archive.problem(404, "gallery_not_found")
    files = {"files": [{"filename": "b.jpg", "size": 10, "content_type": "image/jpeg"}]}
    signing = await phone.ask("POST", f"/v1/galleries/{gallery.id}/uploads", json=files, headers=gallery.key)
    signing.problem(403, "gallery_taken_down")
    assert signing.json()["detail"] == REASON
    shown = (await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=gallery.key)).ok()
    assert shown["takedown_reason"] == REASON

    (await phone.ask("DELETE", f"/v1/admin/takedowns/{made['id']}", headers=admin.key)).ok(204)

    async def is_back() -> None:
        assert len((await _viewed(phone, gallery.code)).ok()["items"]) == 1

    await eventually(is_back, 30)


@pytest.mark.timeout(120)
async def test_an_account_is_suspended_and_reinstated(stack: StackUnderTest, phone: Phone) -> None:
    admin, owner = await make_admin(stack, phone), await sign_up(stack, phone, "suspended")
    gallery: OwnGallery = await create_gallery(phone, owner, title="Lisbon")
    (await _viewed(phone, gallery.code)).ok()
    path = f"/v1/admin/accounts/{owner.id}/suspension"
    (await phone.ask("PUT", path, json={"reason": REASON}, headers=admin.key)).ok()

    (await phone.ask("GET", "/v1/me", headers=owner.key)).problem(401, "access_token_invalid")

    async def is_closed() -> None:
        (await _viewed(phone, gallery.code)).problem(404, "gallery_not_found")
        made = await phone.ask("POST", "/v1/galleries", json={}, headers=owner.key)
        made.problem(401, "access_token_invalid")

    await eventually(is_closed, 30)
    (await phone.ask("DELETE", path, headers=admin.key)).ok()

    async def is_open() -> None:
        (await _viewed(phone, gallery.code)).ok()

    await eventually(is_open, 30)
    assert (await log_in(stack, phone, owner.email, owner.password)).id == owner.id
