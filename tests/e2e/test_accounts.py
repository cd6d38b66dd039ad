"""What people with accounts do: keep, share, protect, take over, and leave for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.testing.eventually import eventually
from kappi_contracts.keys import gallery_prefix
from kappi_media.testing.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.accounts import (
    OwnGallery,
    Person,
    ask_for_tokens,
    sign_up,
)
from tests.e2e.phone import Answer, File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

PHOTO = File("tram.png", "image/png", encode(quadrants(640, 480), "PNG"))
GATE_WORD = "pastel de nata"
EFFECT_S = 20.0
DISPLAY_NAME, TITLE, CAPTION, NAME = "Ada Wombat", "Farewell Zebra", "Caption Ocelot", "Filename Quokka.png"

TOMBSTONES = {
    "identity.accounts",  # nothing of the person; late events find the account gone
    "galleries.deleted_accounts",  # a token that is still good makes no gallery any more
    "galleries.galleries",  # their codes are never handed out again
    "media.accounts",
    "media.contents",  # an upload that comes late finds the gallery closed
}
ALIVE = {
    "identity": "SELECT count(*) FROM accounts WHERE id = $1 AND deleted_at IS NULL",
    "galleries": "SELECT count(*) FROM galleries WHERE owner_id = $1 AND deleted_at IS NULL",
    "media": "SELECT count(*) FROM contents WHERE owner_id = $1 AND deleted_at IS NULL",
}
EVENTS = {f"{service}.outbox" for service in evidence.DATABASES}  # kept for a week, to be replayed


@pytest.mark.timeout(240)
async def test_a_private_gallery_is_shared_then_protected(stack: StackUnderTest, phone: Phone) -> None:
    stack.secrets.add(GATE_WORD)
    owner, other = await sign_up(stack, phone, "ada"), await sign_up(stack, phone, "bob")
    anonymous = await phone.create_gallery(title="Lisbon")
    (media_id,) = await phone.upload(anonymous, PHOTO)
    await phone.until_ready(anonymous, 1)
    gallery = await _claim(phone, owner, anonymous)
    await _change(phone, gallery, visibility="private")
    await _check_it_seems_not_to_exist(phone, gallery, media_id, other)

    shared = await _change(phone, gallery, visibility="shared")
    code = shared["code"]
    assert shared["url"] == f"{stack.base_url}/g/{code}"
    page = (await phone.ask("GET", f"/v1/g/{code}")).ok()
    # Basic: no originals.
    assert [(item["id"], item["original"]) for item in page["items"]] == [(media_id, None)]

    protected = await _change(phone, gallery, password=GATE_WORD)
    assert protected["password_protected"] is True
    (await phone.ask("GET", f"/v1/g/{code}")).problem(401, "gallery_password_required")
    (await _open(phone, code, "pastel de queijo")).problem(401, "gallery_password_wrong")
    for word in (GATE_WORD, GATE_WORD):  # the second without paying for argon2
        assert (await _open(phone, code, word)).ok()["items"][0]["id"] == media_id
    by_code = {"X-Gallery-Code": code}
    answer = await phone.ask("GET", f"/v1/media/{media_id}", headers=by_code)
    answer.problem(401, "gallery_password_required")

    cleared = await _change(phone, gallery, password=None)
    assert cleared["password_protected"] is False
    assert (await phone.ask("GET", f"/v1/g/{code}")).status == 200
    await _change(phone, gallery, visibility="private")
    (await phone.ask("GET", f"/v1/g/{code}")).problem(404, "gallery_not_found")
    assert (await _change(phone, gallery, visibility="shared"))["code"] == code


@pytest.mark.timeout(240)
async def test_a_claimed_gallery_outlives_its_thirty_days(stack: StackUnderTest, phone: Phone) -> None:
    owner = await sign_up(stack, phone, "claims")
    anonymous = await phone.create_gallery(title="Found")
    (media_id,) = await phone.upload(anonymous, PHOTO)
    await phone.until_ready(anonymous, 1)

    gallery = await _claim(phone, owner, anonymous)
    assert gallery.code == anonymous.code
    void = await phone.ask("GET", f"/v1/galleries/{anonymous.id}", headers=anonymous.key)
    void.problem(403, "gallery_key_wrong")
    mine = (await phone.ask("GET", "/v1/galleries", headers=owner.key)).ok()
    assert [found["id"] for found in mine["items"]] == [anonymous.id]

    await stack.running.wait_idle()
    await stack.running.tick(datetime.now(UTC) + timedelta(days=61))
    (item,) = await phone.items(anonymous.code)
    assert item["id"] == media_id
    assert len(await evidence.objects_under(stack, gallery_prefix(UUID(anonymous.id)))) >= 2


@pytest.mark.timeout(300)
async def test_a_deleted_account_leaves_nothing_behind(stack: StackUnderTest, phone: Phone) -> None:
    owner = await sign_up(stack, phone, "leaves", display_name=DISPLAY_NAME)
    neighbour = await sign_up(stack, phone, "stays")
    galleries = await _fill(phone, owner)
    kept = await phone.create_gallery(title="Stays")
    await phone.upload(kept, PHOTO)
    (before,) = await phone.until_ready(kept, 1)
    await _claim(phone, neighbour, kept)
    assert (await evidence.rows_about(stack, DISPLAY_NAME)).keys() == {"identity.accounts"}
    for gallery_id in galleries:
        assert await evidence.objects_under(stack, gallery_prefix(UUID(gallery_id)))

    gone = await phone.ask("DELETE", "/v1/me", headers=owner.key)
    assert gone.status == 204
    await _check_nobody_is_let_in(phone, owner, galleries)
    await stack.running.wait_idle()
    await stack.running.tick(datetime.now(UTC) + timedelta(minutes=21))

    async def purged() -> None:
        for gallery_id in galleries:
            assert await evidence.objects_under(stack, gallery_prefix(UUID(gallery_id))) == []

    await eventually(purged, 30)
    for gallery_id in galleries:
        assert await evidence.versions_left_under(stack, gallery_prefix(UUID(gallery_id))) == 0
    for personal in (owner.email, DISPLAY_NAME, TITLE, CAPTION, NAME, owner.access_token):
        assert await evidence.rows_about(stack, personal) == {}, "not even events may hold it"
    left = await evidence.rows_about(stack, owner.id)
    assert left.keys() <= TOMBSTONES | EVENTS, left
    for service, living in ALIVE.items():
        assert await evidence.ask_database(stack, service, living, UUID(owner.id)) == 0, service

    (after,) = await phone.items(kept.code)
    assert after["id"] == before["id"]
    again = await phone.ask("POST", "/v1/accounts", json={"email": owner.email, "password": owner.password})
    assert again.ok(201)["id"] != owner.id


async def _change(phone: Phone, gallery: OwnGallery, **change: Any) -> dict[str, Any]:
    answer = await phone.ask("PATCH", f"/v1/galleries/{gallery.id}", json=change, headers=gallery.key)
    changed: dict[str, Any] = answer.ok()
    return changed


async def _claim(phone: Phone, owner: Person, gallery: Gallery) -> OwnGallery:
    """An anonymous gallery, filled, becomes the account's."""
    answer = await phone.ask(
        "POST", f"/v1/galleries/{gallery.id}/claim", headers={**owner.key, **gallery.key}
    )
    claimed = answer.ok()
    assert (claimed["id"], claimed["expires_at"]) == (gallery.id, None)
    return OwnGallery(gallery.id, claimed["code"], "", claimed["url"], owner)


async def _open(phone: Phone, code: str, password: str) -> Answer:
    return await phone.ask("GET", f"/v1/g/{code}", headers={"X-Gallery-Password": password})


async def _check_it_seems_not_to_exist(
    phone: Phone, gallery: OwnGallery, media_id: str, other: Person
) -> None:
    paths = {
        f"/v1/galleries/{gallery.id}": "gallery_not_found",
        f"/v1/media/{media_id}": "media_not_found",
        f"/v1/media/{media_id}/download": "media_not_found",
    }
    for path, code in paths.items():
        (await phone.ask("GET", path, headers=other.key)).problem(404, code)
    late = await phone.ask(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        json={"files": [PHOTO.declaration()]},
        headers=other.key,
    )
    late.problem(404, "gallery_not_found")
    assert (await phone.ask("GET", "/v1/galleries", headers=other.key)).ok()["items"] == []


async def _fill(phone: Phone, owner: Person) -> list[str]:
    """Two galleries with everything one can have: an own one, and one that was anonymous."""
    own = await phone.create_gallery(title=TITLE)
    photo = File(NAME, PHOTO.content_type, PHOTO.body, extra={"caption": CAPTION})
    await phone.upload(own, photo)
    await phone.until_ready(own, 1)
    stored_only, _ = await phone.sign(own, [photo, photo])
    assert (await phone.put(stored_only, photo.body)).status == 200
    await _claim(phone, owner, own)
    claimed = await phone.create_gallery(title=TITLE)
    await phone.upload(claimed, photo)
    await phone.until_ready(claimed, 1)
    await _claim(phone, owner, claimed)
    return [own.id, claimed.id]


async def _check_nobody_is_let_in(phone: Phone, owner: Person, galleries: list[str]) -> None:
    (await phone.ask("GET", "/v1/me", headers=owner.key)).problem(401, "access_token_invalid")
    refused = await ask_for_tokens(
        phone, grant_type="password", username=owner.email, password=owner.password
    )
    refused.problem(400, "invalid_grant")
    refused = await ask_for_tokens(phone, grant_type="refresh_token", refresh_token=owner.refresh_token)
    refused.problem(400, "invalid_grant")

    async def nothing_is_left() -> None:
        for gallery_id in galleries:
            answer = await phone.ask("GET", f"/v1/galleries/{gallery_id}", headers=owner.key)
            assert answer.status in {401, 404}, answer.body
        # Its token is good for minutes yet, and makes nothing any more.
        answer = await phone.ask("POST", "/v1/galleries", json={}, headers=owner.key)
        assert answer.status == 401, answer.body

    await eventually(nothing_is_left, EFFECT_S)
