"""Whatever a client sends: the right problem, nothing stored, nothing told."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import pytest
from kappi_chassis.testing.eventually import eventually
from kappi_contracts.keys import media_prefix
from kappi_media.testing.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.refusals import REFUSALS, Refusal
from tests.e2e.stacks import StackUnderTest

PICTURE = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))


@dataclass(frozen=True, slots=True)
class World:
    """names: what the refusals' paths and headers may name."""

    home: Gallery
    names: Mapping[str, str]


@pytest.fixture(scope="module")
def world(stack: StackUnderTest) -> World:
    """A gallery with an item, a promise and an aborted upload; one of somebody else; a deleted one."""
    return asyncio.run(_build(stack))


async def _build(stack: StackUnderTest) -> World:
    async with Phone(stack.base_url, secrets=stack.secrets) as phone:
        home, foreign, dead = [await phone.create_gallery(expires_in=59 * 86_400) for _ in range(3)]
        completed, pending, aborted = await phone.sign(home, [PICTURE] * 3)
        await phone.deliver(home, completed, PICTURE)
        await phone.until_ready(home, 1)
        for path in (f"/v1/uploads/{aborted['id']}", f"/v1/galleries/{dead.id}"):
            key = dead.key if "galleries" in path else home.key
            assert (await phone.ask("DELETE", path, headers=key)).status == 204
        galleries = {"home": home, "foreign": foreign, "dead": dead}
        names = {name: gallery.id for name, gallery in galleries.items()}
        names |= {f"{name}_key": gallery.access_key for name, gallery in galleries.items()}
        names |= {f"{name}_code": gallery.code for name, gallery in galleries.items()}
        names |= {
            "item": completed["media_id"],
            "completed": completed["id"],
            "pending": pending["id"],
            "pending_item": pending["media_id"],
            "aborted": aborted["id"],
        }
    await stack.running.wait_idle()
    return World(home, names)


async def _footprint(stack: StackUnderTest, home: Gallery) -> object:
    """All that a refused request could have changed."""
    return (
        await evidence.ask_database(stack, "galleries", "SELECT count(*) FROM galleries"),
        await evidence.ask_database(
            stack, "galleries", "SELECT version FROM galleries WHERE id = $1", UUID(home.id)
        ),
        await evidence.ask_database(stack, "media", "SELECT array_agg(state ORDER BY id) FROM uploads"),
        await evidence.ask_database(stack, "media", "SELECT array_agg(version ORDER BY id) FROM items"),
        await evidence.objects_under(stack, f"galleries/{home.id}/"),
    )


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
async def test_a_refusal_has_its_code_stores_nothing_and_tells_nothing(
    refusal: Refusal, stack: StackUnderTest, phone: Phone, world: World
) -> None:
    before = await _footprint(stack, world.home)
    answer = await phone.ask(
        refusal.method,
        _named(refusal.path, world),
        json=refusal.json,
        body=refusal.body,
        headers={name: _named(value, world) for name, value in refusal.headers.items()},
    )
    document = answer.problem(refusal.status, refusal.code)
    if refusal.names is not None:
        fields = [error["field"] for error in document["errors"]]
        assert refusal.names in fields, fields
    if refusal.status == 405:
        assert refusal.method not in answer.headers["Allow"].split(", ")
    shown = answer.body.decode()
    for secret in ("home_key", "foreign_key", "dead_key"):
        assert world.names[secret] not in shown
    assert await _footprint(stack, world.home) == before


def _named(text: str, world: World) -> str:
    return text.format(**world.names) if "{" in text else text


async def test_a_true_grant_is_worth_nothing_at_the_front_door(
    stack: StackUnderTest, phone: Phone, world: World
) -> None:
    """Grants are the services' own business: one that leaked opens nothing, and adds nothing to a code."""
    asked = await phone.ask(
        "POST",
        f"{stack.service_url('galleries')}/internal/grants/key",
        json={"access_key": world.home.access_key},
    )
    grant = asked.ok()["grant"]
    stack.secrets.add(grant)
    for name in ("X-Kappi-Grant", "x-kappi-grant"):
        alone = await phone.ask("GET", f"/v1/media/{world.names['item']}", headers={name: grant})
        alone.problem(401, "credentials_missing")
    foreign = {"X-Gallery-Code": world.names["foreign_code"], "X-Kappi-Grant": grant}
    mixed = await phone.ask("GET", f"/v1/media/{world.names['item']}", headers=foreign)
    mixed.problem(404, "media_not_found")
    # At the service's own port it is worth what it says, until a bit of it changes.
    media_url = f"{stack.service_url('media')}/v1/media/{world.names['item']}"
    assert (await phone.ask("GET", media_url, headers={"X-Kappi-Grant": grant})).status == 200
    tampered = grant[:-6] + ("AAAAAA" if not grant.endswith("AAAAAA") else "BBBBBB")
    refused = await phone.ask("GET", media_url, headers={"X-Kappi-Grant": tampered})
    refused.problem(401, "grant_invalid")


async def test_completing_twice_is_the_same_as_once(phone: Phone) -> None:
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


async def test_an_idempotency_key_is_not_used_for_two_wishes(phone: Phone) -> None:
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
        pytest.param("image/jpeg", PICTURE.body, id="a PNG that says JPEG"),
        pytest.param("video/mp4", b"<html><script>alert(1)</script></html>" * 20, id="a page that says MP4"),
        pytest.param("image/gif", b"GIF8", id="a GIF of four bytes"),
    ],
)
async def test_content_that_is_not_what_was_declared_is_refused_and_removed(
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
    await _check_nothing_stays(stack, phone, gallery, upload["media_id"])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("image/png", PICTURE.body[: len(PICTURE.body) // 2], id="half a PNG"),
        pytest.param("image/png", PICTURE.body[:40] + bytes(3000), id="a PNG of nothing but its header"),
    ],
)
async def test_a_picture_that_is_damaged_inside_has_no_place_among_the_ready(
    content_type: str, body: bytes, stack: StackUnderTest, phone: Phone
) -> None:
    """Found out by the worker only: shown as far as it can be decoded, or rejected, never stuck."""
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
        await _check_nothing_stays(stack, phone, gallery, upload["media_id"])
        by_code = await phone.ask("GET", f"{path}/download", headers={"X-Gallery-Code": gallery.code})
        by_code.problem(404, "media_not_found")


async def _check_nothing_stays(stack: StackUnderTest, phone: Phone, gallery: Gallery, media_id: str) -> None:
    async def gone() -> None:
        prefix = media_prefix(UUID(gallery.id), UUID(media_id))
        assert await evidence.objects_under(stack, prefix) == []

    await eventually(gone, 30)
    assert await phone.items(gallery.code) == []
    assert (await phone.ask("GET", f"/v1/g/{gallery.code}")).ok()["gallery"]["item_count"] == 0
