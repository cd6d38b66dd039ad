"""Views and downloads are counted and shown to owner and administrators, without data about persons."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.accounts import create_gallery, make_admin, move_to_tier, sign_up, until_media_ready
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = pytest.mark.real_servers

PHOTO = File("tram.png", "image/png", encode(quadrants(64, 48), "PNG"))
VIEWER = {"Accept-Language": "pt-PT,en;q=0.5", "User-Agent": "Mozilla/5.0 Firefox/126.0"}
COUNTED_S = 30.0
INTERVAL_S = 2


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    return {"KAPPI_MEDIA_STATISTICS_INTERVAL": f"PT{INTERVAL_S}S", "KAPPI_EMBEDDED_DURABLE": "1"}


async def _stats(phone: Phone, gallery: Gallery) -> Any:
    answer = await phone.ask("GET", f"/v1/galleries/{gallery.id}/stats", headers=gallery.key)
    return answer.ok()


async def _until_counted(phone: Phone, gallery: Gallery, kinds: Mapping[str, int]) -> Any:
    async def counted() -> Any:
        found = await _stats(phone, gallery)
        assert found["totals"]["kinds"] == kinds
        return found

    return await eventually(counted, COUNTED_S)


async def _look_at_everything(phone: Phone, gallery: Gallery, media_id: str, link: str) -> None:
    """Makes each kind of access once, and the view five times."""
    by_code = {**VIEWER, "X-Gallery-Code": gallery.code}
    for _ in range(5):
        (await phone.ask("GET", f"/v1/g/{gallery.code}", headers=VIEWER)).ok()
    for path, status in (("", 200), ("/renditions/200", 302), ("/download", 200)):
        answer = await phone.ask("GET", f"/v1/media/{media_id}{path}", headers=by_code)
        assert answer.status == status, answer.body
    assert (await phone.ask("GET", f"/v1/g/{gallery.code}/archive", headers=VIEWER)).status == 200
    assert (await phone.ask("GET", link, headers=VIEWER)).status == 302


async def test_every_access_is_counted_and_shown_to_the_owner(stack: StackUnderTest, phone: Phone) -> None:
    owner, admin = await sign_up(stack, phone, "owner"), await make_admin(stack, phone)
    await move_to_tier(phone, admin, owner, "Enterprise")
    gallery = await create_gallery(phone, owner, title="Lisbon")
    (media_id,) = await phone.upload(gallery, PHOTO)
    await until_media_ready(phone, owner, media_id)

    async def lent() -> str:
        path = f"/v1/media/{media_id}/links"
        answer = await phone.ask("POST", path, json={"valid_for": 300}, headers=owner.key)
        return str(answer.ok(201)["link"])

    link = await eventually(lent, COUNTED_S)
    stack.secrets.add(link.rpartition("/")[2])
    await _look_at_everything(phone, gallery, media_id, link)
    each = {"view": 5, "item_view": 1, "preview": 1, "download": 1, "archive": 1, "link": 1}

    async def counted() -> Any:
        found = await _stats(phone, gallery)
        # The owner requested the item until it was ready.
        kinds = {**found["totals"]["kinds"], "item_view": 1}
        assert kinds == each
        return found

    found = await eventually(counted, COUNTED_S)
    today = datetime.now(UTC).date()
    assert date_of(found["to"]) in {today, today - timedelta(days=1)}
    if found["to"] == datetime.now(UTC).date().isoformat():
        assert found["totals"]["languages"] == {"other": 5}, "shown when the day is over"
    assert sum(day["count"] for day in found["days"]) == found["totals"]["count"]
    (item,) = found["items"]
    assert item["media_id"] == media_id
    assert (item["kinds"]["download"], item["kinds"]["link"]) == (1, 1)

    await _check_the_log(phone, gallery, each)
    await _check_the_totals(phone, admin.key)
    await _check_it_is_nowhere_else(stack, gallery)


def date_of(text: str) -> Any:
    return datetime.fromisoformat(text).date()


async def test_what_a_cap_refused_is_not_counted(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery(max_views=1, max_downloads=1)
    (media_id,) = await phone.upload(gallery, PHOTO)

    async def downloaded() -> None:
        path = f"/v1/media/{media_id}/download"
        (await phone.ask("GET", path, headers={"X-Gallery-Code": gallery.code})).ok()

    (await phone.ask("GET", f"/v1/g/{gallery.code}", headers=gallery.key)).ok()
    (await phone.ask("GET", f"/v1/g/{gallery.code}")).ok()
    await eventually(downloaded, COUNTED_S)
    for path in (f"/v1/g/{gallery.code}", f"/v1/g/{gallery.code}/archive"):
        (await phone.ask("GET", path)).problem(404, "gallery_not_found")
    await _until_counted(phone, gallery, {"view": 2, "download": 1})


async def _check_the_log(phone: Phone, gallery: Gallery, each: Mapping[str, int]) -> None:
    path, lines, cursor = f"/v1/galleries/{gallery.id}/accesses?limit=2", [], ""
    while True:
        page = (await phone.ask("GET", path + cursor, headers=gallery.key)).ok()
        lines += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert {line["network"] for line in lines} == {"127.0.0.0/24"}
    assert {line["kind"] for line in lines} == each.keys()
    assert all(line.keys() == {"hour", "kind", "network", "count"} for line in lines)
    assert all(line["count"] % 5 == 0 for line in lines)
    assert sum(line["count"] for line in lines if line["kind"] == "view") >= each["view"]


async def _check_the_totals(phone: Phone, admin: Mapping[str, str]) -> None:
    totals = (await phone.ask("GET", "/v1/admin/stats", headers=admin)).ok()
    assert totals["totals"]["languages"]["pt"] >= 5
    assert totals["totals"]["apps"]["firefox"] >= 5
    assert totals["totals"]["kinds"]["archive"] >= 1
    assert "items" not in totals
    for query in ("from=yesterday", "to=2026-02-30", "from=2020-01-01"):
        answer = await phone.ask("GET", f"/v1/admin/stats?{query}", headers=admin)
        answer.problem(422, "validation_failed")


async def _check_it_is_nowhere_else(stack: StackUnderTest, gallery: Gallery) -> None:
    """Checks that no event contains the origin of an access."""
    async with evidence.database(stack, "media") as connection:
        payloads = await connection.fetch(
            "SELECT convert_from(payload, 'UTF8') FROM outbox WHERE topic = 'MediaAccessed' AND key = $1",
            gallery.id,
        )
    assert payloads
    assert not [text for (text,) in payloads if "127.0" in text or "Mozilla" in text]


async def test_the_role_is_read_from_a_valid_token(stack: StackUnderTest, phone: Phone) -> None:
    gallery, visitor = await phone.create_gallery(), await sign_up(stack, phone, "visitor")
    for token in (visitor.access_token, "no.token.at-all"):
        for _ in range(5):
            headers = {"Authorization": f"Bearer {token}", "X-Kappi-Role": "admin"}
            (await phone.ask("GET", f"/v1/g/{gallery.code}", headers=headers)).ok()
    await _until_counted(phone, gallery, {"view": 10})
    # An owner sees the roles when the day is over.
    async with evidence.database(stack, "galleries") as connection:
        rows = await connection.fetch(
            "SELECT value, sum(count) FROM access_trait_days "
            "WHERE gallery_id = $1 AND trait = 'role' GROUP BY value",
            UUID(gallery.id),
        )
    assert dict(rows) == {"user": 5, "anonymous": 5}


async def test_an_account_sees_its_stored_bytes(stack: StackUnderTest, phone: Phone) -> None:
    owner = await sign_up(stack, phone, "owner")
    gallery = await create_gallery(phone, owner)
    for _ in range(2):
        (media_id,) = await phone.upload(gallery, PHOTO)
        await until_media_ready(phone, owner, media_id)
    size = len(PHOTO.body)

    async def stored() -> Any:
        return (await phone.ask("GET", "/v1/me/stats", headers=owner.key)).ok()

    found = await stored()
    both = {"item_count": 2, "size_bytes": 2 * size}
    assert found["library"] == {**both, "kinds": {"image": both}, "types": {"image/png": both}}
    assert found["totals"] == found["library"]
    assert sum(day["item_count"] for day in found["days"]) == 2
    assert found["quota"] == {"used_bytes": 2 * size, "reserved_bytes": 0, "limit_bytes": 50 << 30}

    (await phone.ask("DELETE", f"/v1/media/{media_id}", headers=owner.key)).ok(204)
    assert (await stored())["library"]["item_count"] == 1
    (await phone.ask("DELETE", f"/v1/galleries/{gallery.id}", headers=owner.key)).ok(204)

    async def nothing_left() -> None:
        assert (await stored())["library"]["item_count"] == 0

    await eventually(nothing_left, COUNTED_S)
    for query in ("from=yesterday", "to=2026-02-30", "from=2020-01-01"):
        answer = await phone.ask("GET", f"/v1/me/stats?{query}", headers=owner.key)
        answer.problem(422, "validation_failed")


@pytest.mark.slow
async def test_a_kill_loses_at_most_unflushed_views(own_stack: StackUnderTest) -> None:
    """The views after the last flush may be lost. Flushed views are neither lost nor counted twice."""
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        gallery, probe = await phone.create_gallery(), await phone.create_gallery()
        await _view(phone, gallery, 7)
        await _until_counted(phone, gallery, {"view": 7})
        await _view(phone, gallery, 2)
        assert own_stack.running.kill("media")
        await own_stack.running.wait_ready(timeout_s=60)
        # Once a later view is counted, all views flushed before the kill are counted.
        await _view(phone, probe, 1)
        await _until_counted(phone, probe, {"view": 1})
        found = (await _stats(phone, gallery))["totals"]["kinds"]["view"]
        assert 7 <= found <= 9


@pytest.mark.slow
async def test_an_orderly_stop_loses_no_views(own_stack: StackUnderTest) -> None:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        gallery = await phone.create_gallery()
        await _view(phone, gallery, 9)
        await asyncio.to_thread(own_stack.running.stop)
        await asyncio.to_thread(own_stack.running.start)
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        await _until_counted(phone, gallery, {"view": 9})


async def _view(phone: Phone, gallery: Gallery, times: int) -> None:
    for _ in range(times):
        (await phone.insist("GET", f"/v1/g/{gallery.code}")).ok()
