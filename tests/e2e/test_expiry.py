"""The end of a gallery: an expired one is deleted everywhere, and others are unchanged."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_contracts.keys import gallery_prefix, media_prefix
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = pytest.mark.real_servers

DAY_S = 86_400
# Nothing else may hold these words: they are searched for in all rows.
_RUN = secrets.token_hex(4)
TITLE, CAPTION, PLACE = f"Farewell {_RUN}", f"Line 28 {_RUN}", f"Alfama {_RUN}"
NAME = f"tram-{_RUN}.png"

KEPT = {
    "galleries.galleries",  # the code is never issued again
    "media.contents",  # a late upload finds the gallery closed
    "janitor.due_galleries",
}
TOMBSTONES = {
    *KEPT,
    # While signed URLs may still be valid:
    "janitor.purges",
    "media.ended_promises",
    "media.promise_budgets",
}
EVENTS = {"galleries.outbox", "media.outbox", "janitor.outbox"}  # kept for a week for replays


def _png(name: str, **extra: object) -> File:
    return File(name, "image/png", encode(quadrants(80, 60), "PNG"), extra=extra)


@pytest.mark.timeout(240)
async def test_an_expired_gallery_is_deleted_everywhere(stack: StackUnderTest, phone: Phone) -> None:
    doomed = await phone.create_gallery(title=TITLE)
    (media_id,) = await phone.upload(
        doomed, _png(NAME, caption=CAPTION, tags=["numbat"], location=PLACE, attributes={"a": "tamarin"})
    )
    await phone.until_ready(doomed, 1)
    stored_only, promised_only = await phone.sign(doomed, [_png(NAME), _png(NAME)])
    assert (await phone.put(stored_only, _png(NAME).body)).status == 200
    long_lived = await phone.create_gallery(title="Stays", expires_in=40 * DAY_S)
    extended = await phone.create_gallery(title="Extended")
    answer = await phone.ask(
        "PATCH", f"/v1/galleries/{extended.id}", json={"expires_in": 59 * DAY_S}, headers=extended.key
    )
    assert answer.status == 200
    for kept in (long_lived, extended):
        await phone.upload(kept, _png("kept.png"))
        await phone.until_ready(kept, 1)
    before = {kept.code: await _face(phone, kept) for kept in (long_lived, extended)}
    prefix = gallery_prefix(UUID(doomed.id))
    assert len(await evidence.objects_under(stack, prefix)) == 3
    assert await evidence.rows_about(stack, TITLE) == {"galleries.galleries": 1}
    assert (await evidence.rows_about(stack, NAME)).keys() == {"media.items", "media.uploads"}

    at = datetime.now(UTC) + timedelta(days=31)
    ticked = await asyncio.to_thread(stack.kappi, "tick", "--at", at.isoformat(), "--yes")
    assert ticked.returncode == 0, ticked.stdout + ticked.stderr

    by_code = {"X-Gallery-Code": doomed.code}
    (await phone.ask("GET", f"/v1/g/{doomed.code}")).problem(404, "gallery_not_found")
    (await phone.ask("GET", f"/v1/media/{media_id}", headers=by_code)).problem(404, "gallery_not_found")
    for path in (f"/v1/galleries/{doomed.id}", f"/v1/media/{media_id}", f"/v1/uploads/{stored_only['id']}"):
        (await phone.ask("GET", path, headers=doomed.key)).problem(404, "gallery_not_found")
    late = await phone.ask(
        "POST",
        f"/v1/galleries/{doomed.id}/uploads",
        json={"files": [_png(NAME).declaration()]},
        headers=doomed.key,
    )
    late.problem(404, "gallery_not_found")

    assert await evidence.objects_under(stack, prefix) == []
    assert await evidence.versions_left_under(stack, prefix) == 0
    left = await evidence.rows_about(stack, doomed.id)
    assert left.keys() <= TOMBSTONES | EVENTS, left
    assert {table: left[table] for table in KEPT} == dict.fromkeys(KEPT, 1)
    for media in (media_id, stored_only["media_id"], promised_only["media_id"]):
        assert (await evidence.rows_about(stack, media)).keys() <= EVENTS | {"janitor.purges"}
    for personal in (TITLE, NAME, CAPTION, PLACE, "numbat", "tamarin", doomed.access_key):
        assert await evidence.rows_about(stack, personal) == {}, "events may not contain it either"

    for kept in (long_lived, extended):
        assert await _face(phone, kept) == before[kept.code]
        (item,) = await phone.items(kept.code)
        for url in (item["original"]["url"], item["renditions"]["400"]["url"]):
            assert (await phone.ask("GET", url)).status == 200


async def test_a_gallery_expires_to_the_second(stack: StackUnderTest, phone: Phone) -> None:
    """The time of the tick decides, and a deadline that was moved to an earlier time counts as any other."""
    sooner = await phone.create_gallery(expires_in=2 * 3600)
    later = await phone.create_gallery(expires_in=2 * 3600)
    await phone.ask("PATCH", f"/v1/galleries/{sooner.id}", json={"expires_in": 3600}, headers=sooner.key)
    await stack.running.tick(datetime.now(UTC) + timedelta(seconds=3600 - 60))
    for gallery in (sooner, later):
        assert (await phone.ask("GET", f"/v1/g/{gallery.code}")).status == 200
    await stack.running.tick(datetime.now(UTC) + timedelta(seconds=3600 + 60))
    (await phone.ask("GET", f"/v1/g/{sooner.code}")).problem(404, "gallery_not_found")
    assert (await phone.ask("GET", f"/v1/g/{later.code}")).status == 200


async def test_abandoned_uploads_are_swept_and_finished_ones_are_not(
    stack: StackUnderTest, phone: Phone
) -> None:
    gallery = await phone.create_gallery()
    file = _png("a.png")
    stored, promised, finished = await phone.sign(gallery, [file] * 3)
    assert (await phone.put(stored, file.body)).status == 200
    finished_id = await phone.deliver(gallery, finished, file)
    await phone.until_ready(gallery, 1)
    await stack.running.tick(datetime.now(UTC) + timedelta(hours=23))
    still_there = await phone.ask("GET", f"/v1/uploads/{stored['id']}", headers=gallery.key)
    assert still_there.ok()["state"] == "pending"

    await stack.running.tick(datetime.now(UTC) + timedelta(hours=25))
    for upload in (stored, promised):
        answer = await phone.ask("GET", f"/v1/uploads/{upload['id']}", headers=gallery.key)
        answer.problem(404, "upload_not_found")
        answer = await phone.ask("POST", f"/v1/uploads/{upload['id']}/complete", headers=gallery.key)
        answer.problem(404, "upload_not_found")
        prefix = media_prefix(UUID(gallery.id), UUID(upload["media_id"]))
        assert await evidence.objects_under(stack, prefix) == []
    assert [item["id"] for item in await phone.items(gallery.code)] == [finished_id]
    assert len(await evidence.objects_under(stack, gallery_prefix(UUID(gallery.id)))) == 2


async def test_bytes_that_arrive_after_a_purge_are_deleted_by_the_next_one(
    stack: StackUnderTest, phone: Phone
) -> None:
    """A signed URL outlives its gallery by minutes, and the store does not check for the gallery."""
    gallery = await phone.create_gallery()
    file = _png("late.png")
    early, late = await phone.sign(gallery, [file, file])
    assert (await phone.put(early, file.body)).status == 200
    deleted = await phone.ask("DELETE", f"/v1/galleries/{gallery.id}", headers=gallery.key)
    assert deleted.status == 204
    prefix = gallery_prefix(UUID(gallery.id))

    async def purged() -> None:
        assert await evidence.objects_under(stack, prefix) == []

    await eventually(purged, 30)
    await stack.running.wait_idle()
    refused = await phone.put(late, file.body)
    # The embedded store remembers deleted keys; an S3 does not.
    assert refused.status == (403 if stack.kind == "embedded" else 200), refused.body[:300]
    assert len(await evidence.objects_under(stack, prefix)) == (0 if stack.kind == "embedded" else 1)
    answer = await phone.ask("POST", f"/v1/uploads/{late['id']}/complete", headers=gallery.key)
    answer.problem(404, "gallery_not_found")
    await stack.running.tick(datetime.now(UTC) + timedelta(minutes=21))
    await eventually(purged, 30)


async def _face(phone: Phone, gallery: Gallery) -> object:
    """Returns the content of a gallery's page without the links, whose URLs change with time."""
    return _without_links((await phone.ask("GET", f"/v1/g/{gallery.code}")).ok())


def _without_links(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_links(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"url", "expires_at", "expires_in"}:
        return None
    return {name: _without_links(each) for name, each in value.items() if name != "expires_in"}
