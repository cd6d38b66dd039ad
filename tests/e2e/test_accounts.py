"""Features for people with accounts: private and shared galleries, passwords, claims, links, and deletion."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from kappi_contracts.keys import gallery_prefix
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.accounts import (
    OwnGallery,
    Person,
    ask_for_tokens,
    create_gallery,
    make_admin,
    move_to_tier,
    sign_up,
    until_media_ready,
)
from tests.e2e.phone import Answer, File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

PHOTO = File("tram.png", "image/png", encode(quadrants(640, 480), "PNG"))
SMALL = File("dot.png", "image/png", encode(quadrants(16, 16), "PNG"))
GATE_WORD = "pastel de nata"
EFFECT_S = 20.0
# Nothing else may hold these words: they are searched for in all rows.
_RUN = secrets.token_hex(4)
DISPLAY_NAME, TITLE, CAPTION = f"Ada {_RUN}", f"Farewell {_RUN}", f"Line 28 {_RUN}"
NAME = f"tram-{_RUN}.png"

TOMBSTONES = {
    "identity.accounts",  # no personal data; late events find the account deleted
    "galleries.authors",  # without its name; refuses posts and comments of tokens that are still valid
    "galleries.deleted_accounts",  # refuses galleries of tokens that are still valid
    "galleries.galleries",  # their codes are never issued again
    "media.accounts",
    "media.contents",  # a late upload finds the gallery closed
}
ALIVE = {
    "identity": "SELECT count(*) FROM accounts WHERE id = $1 AND deleted_at IS NULL",
    "galleries": "SELECT count(*) FROM galleries WHERE owner_id = $1 AND deleted_at IS NULL",
    "media": "SELECT count(*) FROM contents WHERE owner_id = $1 AND deleted_at IS NULL",
}
EVENTS = {f"{service}.outbox" for service in evidence.DATABASES}  # kept for a week for replays


@pytest.mark.timeout(240)
async def test_a_private_gallery_is_shared_then_protected(stack: StackUnderTest, phone: Phone) -> None:
    stack.secrets.add(GATE_WORD)
    owner, other = await sign_up(stack, phone, "ada"), await sign_up(stack, phone, "bob")
    gallery = await create_gallery(phone, owner, title="Lisbon", visibility="private")
    assert (gallery.code, gallery.url) == ("", "")
    (media_id,) = await phone.upload(gallery, PHOTO)
    await until_media_ready(phone, owner, media_id)
    await _check_it_is_not_found(phone, gallery, media_id, other)

    shared = await _change(phone, gallery, visibility="shared")
    code = shared["code"]
    assert shared["url"] == f"{stack.base_url}/g/{code}"
    page = (await phone.ask("GET", f"/v1/g/{code}")).ok()
    (item,) = page["items"]
    assert (item["id"], set(item["renditions"])) == (media_id, {"200", "400", "2048"})
    assert (await phone.ask("GET", item["original"]["url"])).body == PHOTO.body

    protected = await _change(phone, gallery, password=GATE_WORD)
    assert protected["password_protected"] is True
    (await phone.ask("GET", f"/v1/g/{code}")).problem(401, "gallery_password_required")
    (await _open(phone, code, "pastel de queijo")).problem(401, "gallery_password_wrong")
    for word in (GATE_WORD, GATE_WORD):  # the second without computing argon2
        assert (await _open(phone, code, word)).ok()["items"][0]["id"] == media_id
    by_code = {"X-Gallery-Code": code}
    answer = await phone.ask("GET", f"/v1/media/{media_id}", headers=by_code)
    answer.problem(401, "gallery_password_required")

    cleared = await _change(phone, gallery, password=None)
    assert cleared["password_protected"] is False
    assert (await phone.ask("GET", f"/v1/g/{code}")).status == 200
    await _change(phone, gallery, visibility="private")
    (await phone.ask("GET", f"/v1/g/{code}")).problem(404, "gallery_not_found")
    assert (await _change(phone, gallery, visibility="shared", keep_code=True))["code"] == code
    await _change(phone, gallery, visibility="private")
    again = (await _change(phone, gallery, visibility="shared"))["code"]
    (await phone.ask("GET", f"/v1/g/{code}")).problem(404, "gallery_not_found")
    assert (await phone.ask("GET", f"/v1/g/{again}")).ok()["gallery"]["code"] == again


@pytest.mark.timeout(240)
async def test_a_claimed_gallery_outlives_its_thirty_days(stack: StackUnderTest, phone: Phone) -> None:
    owner = await sign_up(stack, phone, "claims")
    anonymous = await phone.create_gallery(title="Found")
    (media_id,) = await phone.upload(anonymous, PHOTO)
    await phone.until_ready(anonymous, 1)

    claimed = await phone.ask(
        "POST", f"/v1/galleries/{anonymous.id}/claim", headers={**owner.key, **anonymous.key}
    )
    gallery = claimed.ok()
    assert (gallery["id"], gallery["code"], gallery["expires_at"]) == (anonymous.id, anonymous.code, None)
    void = await phone.ask("GET", f"/v1/galleries/{anonymous.id}", headers=anonymous.key)
    void.problem(403, "gallery_key_wrong")
    mine = (await phone.ask("GET", "/v1/galleries", headers=owner.key)).ok()
    assert [found["id"] for found in mine["items"]] == [anonymous.id]

    await stack.running.wait_idle()
    await stack.running.tick(datetime.now(UTC) + timedelta(days=61))
    (item,) = await phone.items(anonymous.code)
    assert item["id"] == media_id
    assert (await phone.ask("GET", f"/v1/media/{media_id}", headers=owner.key)).ok()["status"] == "ready"
    assert len(await evidence.objects_under(stack, gallery_prefix(UUID(anonymous.id)))) >= 2


@pytest.mark.real_servers
@pytest.mark.timeout(240)
async def test_a_claim_withholds_originals_only_after_consent(stack: StackUnderTest, phone: Phone) -> None:
    owner, admin = await sign_up(stack, phone, "modest"), await make_admin(stack, phone)
    await move_to_tier(phone, admin, owner, "Basic")
    anonymous = await phone.create_gallery(title="Found")
    (media_id,) = await phone.upload(anonymous, PHOTO)
    await phone.until_ready(anonymous, 1)
    claim, keys = f"/v1/galleries/{anonymous.id}/claim", {**owner.key, **anonymous.key}

    async def is_known() -> None:
        refused = (await phone.ask("POST", claim, headers=keys)).problem(409, "tier_withholds")
        assert "the originals" in refused["detail"]

    await eventually(is_known, EFFECT_S)
    (item,) = await phone.items(anonymous.code)
    assert item["original"] is not None
    assert (await phone.ask("POST", claim, headers=keys, json={"accept_tier": True})).ok()[
        "id"
    ] == anonymous.id

    async def is_withheld() -> None:
        (shown,) = await phone.items(anonymous.code)
        assert shown["original"] is None

    await eventually(is_withheld, EFFECT_S)
    (item,) = await phone.items(anonymous.code)
    assert (await phone.ask("GET", item["renditions"]["400"]["url"])).status == 200
    made = await phone.insist("GET", item["renditions"]["2048"]["url"])
    assert made.status == 302
    assert (await phone.ask("GET", made.headers["Location"])).body[:2] == b"\xff\xd8"
    changed = item["renditions"]["2048"]["url"].replace(media_id, str(uuid4()))
    (await phone.ask("GET", changed)).problem(403, "rendition_url_invalid")


@pytest.mark.timeout(240)
async def test_a_gallery_that_an_account_has_no_room_for_stays_anonymous(
    stack: StackUnderTest, phone: Phone
) -> None:
    owner, admin = await sign_up(stack, phone, "narrow"), await make_admin(stack, phone)
    anonymous, small = await phone.create_gallery(title="Found"), await phone.create_gallery()
    (media_id,) = await phone.upload(anonymous, PHOTO)
    await phone.upload(small, SMALL)
    size, small_size = len(PHOTO.body), len(SMALL.body)

    async def claim(gallery: Gallery, *, key: str = "") -> Answer:
        headers = {**owner.key, **gallery.key} | ({"Idempotency-Key": key} if key else {})
        return await phone.ask("POST", f"/v1/galleries/{gallery.id}/claim", headers=headers)

    async def limit(*, quota_bytes: int, max_file_bytes: int) -> None:
        """Gives the account its own tier, and waits until all services have it."""
        name = f"Narrow-{token_hex(4)}"
        tier = {
            "name": name,
            "rendition_sizes": [200, 400],
            "original_access": True,
            "expiring_links": False,
            "max_file_bytes": max_file_bytes,
            "quota_bytes": quota_bytes,
        }
        (await phone.ask("POST", "/v1/admin/tiers", json=tier, headers=admin.key)).ok(201)
        await move_to_tier(phone, admin, owner, name)

        async def known() -> None:
            used = (await phone.ask("GET", "/v1/me/stats", headers=owner.key)).ok()
            assert used["quota"]["limit_bytes"] == quota_bytes

        await eventually(known, EFFECT_S)

    async def check_nothing_changed() -> None:
        assert (await phone.ask("GET", f"/v1/galleries/{anonymous.id}", headers=anonymous.key)).ok()[
            "expires_at"
        ]
        assert (await phone.ask("GET", "/v1/galleries", headers=owner.key)).ok()["items"] == []
        (await phone.ask("GET", f"/v1/media/{media_id}", headers=owner.key)).problem(404, "media_not_found")
        assert [item["id"] for item in await phone.items(anonymous.code)] == [media_id]

    await limit(quota_bytes=size + small_size, max_file_bytes=size - 1)
    refused = (await claim(anonymous, key="claim-of-today-0")).problem(409, "file_too_large")
    assert str(size) in refused["detail"]
    await check_nothing_changed()
    await limit(quota_bytes=size + small_size - 1, max_file_bytes=size)
    assert (await claim(small)).ok()["id"] == small.id
    refused = (await claim(anonymous, key="claim-of-today-0")).problem(409, "quota_exceeded")
    assert str(size + small_size - 1) in refused["detail"]
    (await phone.ask("GET", f"/v1/galleries/{anonymous.id}", headers=anonymous.key)).ok()
    await limit(quota_bytes=size + small_size, max_file_bytes=size)
    assert (await claim(anonymous, key="claim-of-today-0")).ok()["expires_at"] is None


@pytest.mark.timeout(240)
async def test_a_link_expires_to_the_second(stack: StackUnderTest, phone: Phone) -> None:
    owner, admin = await sign_up(stack, phone, "links"), await make_admin(stack, phone)
    gallery = await create_gallery(phone, owner, visibility="private")
    (media_id,) = await phone.upload(gallery, PHOTO)
    await until_media_ready(phone, owner, media_id)
    refused = await _ask_for_link(phone, owner, media_id)
    refused.problem(403, "links_not_in_tier")
    await move_to_tier(phone, admin, owner, "Enterprise")
    link = await eventually(lambda: _linked(phone, owner, media_id), EFFECT_S)
    stack.secrets.add(urlsplit(link["link"]).path.rsplit("/", 1)[1])
    assert link["valid_for"] == 300

    followed = await phone.ask("GET", link["link"])
    assert followed.status == 302
    assert (await phone.ask("GET", followed.headers["Location"])).body == PHOTO.body
    live = (await phone.ask("GET", f"/v1/media/{media_id}/links", headers=owner.key)).ok()
    assert [found["id"] for found in live["items"]] == [link["id"]]

    # No test waits five minutes, so the end is moved to an earlier whole second.
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    await evidence.ask_database(
        stack, "media", "UPDATE links SET expires_at = $2 WHERE id = $1", UUID(link["id"]), ends
    )
    await _check_link_ends_at(phone, link["link"], ends)
    await stack.running.tick(datetime.now(UTC) + timedelta(seconds=330))
    left = await evidence.rows_about(stack, link["id"])
    assert left.keys() <= EVENTS | {"janitor.due_links"}, left
    (await phone.ask("GET", link["link"])).problem(404, "link_not_found")


@pytest.mark.timeout(300)
async def test_a_deleted_account_leaves_no_data(stack: StackUnderTest, phone: Phone) -> None:
    owner = await sign_up(stack, phone, "leaves", display_name=DISPLAY_NAME)
    neighbour = await sign_up(stack, phone, "stays")
    galleries = await _fill(phone, owner)
    kept = await create_gallery(phone, neighbour, title="Stays")
    (kept_media,) = await phone.upload(kept, PHOTO)
    await until_media_ready(phone, neighbour, kept_media)
    assert (await evidence.rows_about(stack, DISPLAY_NAME)).keys() == {"identity.accounts"}
    for gallery_id in galleries:
        assert await evidence.objects_under(stack, gallery_prefix(UUID(gallery_id)))

    gone = await phone.ask("DELETE", "/v1/me", headers=owner.key)
    assert gone.status == 204
    await _check_access_is_refused(phone, owner, galleries)
    await stack.running.wait_idle()
    await stack.running.tick(datetime.now(UTC) + timedelta(minutes=21))

    async def purged() -> None:
        for gallery_id in galleries:
            assert await evidence.objects_under(stack, gallery_prefix(UUID(gallery_id))) == []

    await eventually(purged, 30)
    for gallery_id in galleries:
        assert await evidence.versions_left_under(stack, gallery_prefix(UUID(gallery_id))) == 0
    for personal in (owner.email, DISPLAY_NAME, TITLE, CAPTION, NAME, owner.access_token):
        assert await evidence.rows_about(stack, personal) == {}, "events may not contain it either"
    left = await evidence.rows_about(stack, owner.id)
    assert left.keys() <= TOMBSTONES | EVENTS, left
    for service, living in ALIVE.items():
        assert await evidence.ask_database(stack, service, living, UUID(owner.id)) == 0, service

    (item,) = await phone.items(kept.code)
    assert (await phone.ask("GET", item["renditions"]["400"]["url"])).status == 200
    again = await phone.ask("POST", "/v1/accounts", json={"email": owner.email, "password": owner.password})
    assert again.ok(201)["id"] != owner.id


async def _change(phone: Phone, gallery: OwnGallery, **change: Any) -> dict[str, Any]:
    answer = await phone.ask("PATCH", f"/v1/galleries/{gallery.id}", json=change, headers=gallery.key)
    changed: dict[str, Any] = answer.ok()
    return changed


async def _open(phone: Phone, code: str, password: str) -> Answer:
    return await phone.ask("GET", f"/v1/g/{code}", headers={"X-Gallery-Password": password})


async def _check_it_is_not_found(phone: Phone, gallery: OwnGallery, media_id: str, other: Person) -> None:
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


async def _ask_for_link(phone: Phone, owner: Person, media_id: str) -> Answer:
    return await phone.insist(
        "POST", f"/v1/media/{media_id}/links", json={"valid_for": 300}, headers=owner.key
    )


async def _linked(phone: Phone, owner: Person, media_id: str) -> dict[str, Any]:
    link: dict[str, Any] = (await _ask_for_link(phone, owner, media_id)).ok(201)
    return link


async def _check_link_ends_at(phone: Phone, link: str, ends: datetime) -> None:
    """Requests the link repeatedly: it redirects before that time and never after it."""
    last = datetime.min.replace(tzinfo=UTC)
    while True:
        asked = datetime.now(UTC)
        answer = await phone.ask("GET", link)
        if answer.status != 302:
            break
        last = asked
        assert asked < ends, "the link was valid after its end"
        await asyncio.sleep(0.02)
    answer.problem(410, "link_expired")
    assert datetime.now(UTC) >= ends, "the link ended too early"
    assert last > datetime.min.replace(tzinfo=UTC), "the link was never valid"


async def _fill(phone: Phone, owner: Person) -> list[str]:
    """Creates two galleries with all features: one of the account, and a claimed anonymous one."""
    own = await create_gallery(phone, owner, title=TITLE, visibility="shared", password=GATE_WORD)
    photo = File(NAME, PHOTO.content_type, PHOTO.body, extra={"caption": CAPTION})
    (media_id,) = await phone.upload(own, photo)
    await until_media_ready(phone, owner, media_id)
    stored_only, _ = await phone.sign(own, [photo, photo])
    assert (await phone.put(stored_only, photo.body)).status == 200
    claimed = await phone.create_gallery(title=TITLE)
    await phone.upload(claimed, photo)
    await phone.until_ready(claimed, 1)
    answer = await phone.ask(
        "POST", f"/v1/galleries/{claimed.id}/claim", headers={**owner.key, **claimed.key}
    )
    assert answer.status == 200
    return [own.id, claimed.id]


async def _check_access_is_refused(phone: Phone, owner: Person, galleries: list[str]) -> None:
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
        # The account's token is valid for some minutes, but creates nothing.
        answer = await phone.ask("POST", "/v1/galleries", json={}, headers=owner.key)
        assert answer.status == 401, answer.body

    await eventually(nothing_is_left, EFFECT_S)
