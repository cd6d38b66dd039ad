"""Wrong uploads and repeated calls leave no data."""

from __future__ import annotations

import asyncio
import secrets
from uuid import UUID

import pytest
from kappi_contracts.keys import media_prefix
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

PICTURE = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))


async def test_completing_twice_has_one_effect(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    (upload,) = await phone.sign(gallery, [PICTURE])
    assert (await phone.put(upload, PICTURE.body)).status == 200
    path = f"/v1/uploads/{upload['id']}/complete"
    answers = await asyncio.gather(*(phone.ask("POST", path, headers=gallery.key) for _ in range(8)))
    assert {answer.ok()["id"] for answer in answers} == {upload["media_id"]}
    await phone.until_ready(gallery, 1)
    again = (await phone.ask("POST", path, headers=gallery.key)).ok()
    assert (again["id"], again["status"]) == (upload["media_id"], "ready")


async def test_a_deleted_item_cannot_be_completed_again(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    (upload,) = await phone.sign(gallery, [PICTURE])
    media_id = await phone.deliver(gallery, upload, PICTURE)
    assert (await phone.ask("DELETE", f"/v1/media/{media_id}", headers=gallery.key)).status == 204
    again = await phone.ask("POST", f"/v1/uploads/{upload['id']}/complete", headers=gallery.key)
    again.problem(404, "upload_not_found")


async def test_an_idempotency_key_is_not_accepted_for_two_requests(phone: Phone) -> None:
    once = {"Idempotency-Key": secrets.token_hex(16)}
    first = await phone.ask("POST", "/v1/galleries", json={"title": "One"}, headers=once)
    repeated = await phone.ask("POST", "/v1/galleries", json={"title": "One"}, headers=once)
    assert repeated.ok(201) == first.ok(201)
    other = await phone.ask("POST", "/v1/galleries", json={"title": "Two"}, headers=once)
    other.problem(422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("declared", "sent"),
    [
        pytest.param("image/png", b"\x7fELF\x02\x01\x01" + bytes(2000), id="a program that says PNG"),
        pytest.param("video/mp4", PICTURE.body, id="a PNG that says MP4"),
        pytest.param("video/mp4", b"<html><script>alert(1)</script></html>" * 20, id="a page that says MP4"),
        pytest.param("image/gif", b"GIF8", id="a GIF of four bytes"),
    ],
)
async def test_content_of_another_kind_than_declared_is_refused_and_removed(
    declared: str, sent: bytes, stack: StackUnderTest, phone: Phone
) -> None:
    gallery = await phone.create_gallery()
    (upload,) = await phone.sign(gallery, [File("a", declared, sent)])
    assert (await phone.put(upload, sent)).status == 200
    path = f"/v1/uploads/{upload['id']}"
    for _ in range(2):
        (await phone.ask("POST", f"{path}/complete", headers=gallery.key)).problem(422, "content_mismatch")
    state = (await phone.ask("GET", path, headers=gallery.key)).ok()
    assert (state["state"], state["rejection_reason"]) == ("rejected", "type_mismatch")
    await _check_nothing_is_left(stack, phone, gallery, upload["media_id"])


async def test_a_picture_that_is_declared_as_another_is_served_as_what_it_is(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    (upload,) = await phone.sign(gallery, [File("a.jpg", "image/jpeg", PICTURE.body)])
    assert (await phone.put(upload, PICTURE.body)).status == 200
    completed = await phone.ask("POST", f"/v1/uploads/{upload['id']}/complete", headers=gallery.key)
    assert completed.ok()["content_type"] == "image/png"
    (item,) = await phone.until_ready(gallery, 1)
    assert (item["filename"], item["content_type"]) == ("a.jpg", "image/png")
    original = await phone.ask("GET", item["original"]["url"])
    assert (original.status, original.headers["Content-Type"]) == (200, "image/png")
    assert original.body == PICTURE.body


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("image/png", PICTURE.body[: len(PICTURE.body) // 2], id="half a PNG"),
        pytest.param("image/png", PICTURE.body[:40] + bytes(3000), id="a PNG of nothing but its header"),
    ],
)
async def test_a_damaged_picture_is_shown_or_rejected(
    content_type: str, body: bytes, stack: StackUnderTest, phone: Phone
) -> None:
    """Only the worker detects it: shown as far as it can be decoded, or rejected, but never stuck."""
    gallery = await phone.create_gallery()
    (upload,) = await phone.sign(gallery, [File("a.png", content_type, body)])
    assert (await phone.put(upload, body)).status == 200
    await phone.complete(gallery, upload)
    path = f"/v1/media/{upload['media_id']}"

    async def judged() -> str:
        item = (await phone.ask("GET", path, headers=gallery.key)).ok()
        assert item["status"] != "processing"
        return str(item["status"])

    if await eventually(judged, 30) == "rejected":
        await _check_nothing_is_left(stack, phone, gallery, upload["media_id"])
        by_code = await phone.ask("GET", f"{path}/download", headers={"X-Gallery-Code": gallery.code})
        by_code.problem(404, "media_not_found")


async def _check_nothing_is_left(
    stack: StackUnderTest, phone: Phone, gallery: Gallery, media_id: str
) -> None:
    async def gone() -> None:
        prefix = media_prefix(UUID(gallery.id), UUID(media_id))
        assert await evidence.objects_under(stack, prefix) == []

    await eventually(gone, 30)
    assert await phone.items(gallery.code) == []
    assert (await phone.ask("GET", f"/v1/g/{gallery.code}")).ok()["gallery"]["item_count"] == 0
