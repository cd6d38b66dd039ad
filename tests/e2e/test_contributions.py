"""Guests add pictures to a gallery by its code."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = pytest.mark.real_servers

PICTURES = [File(f"{side}.png", "image/png", encode(quadrants(side, 60), "PNG")) for side in (70, 80, 90)]


@dataclass(frozen=True, slots=True)
class Guest(Gallery):
    """A gallery as a contributor of it has it: `key` is its contributor key. contributor: its own id."""

    contributor: str = ""

    @property
    def key(self) -> dict[str, str]:
        return {"X-Contributor-Key": self.access_key}


async def _join(stack: StackUnderTest, phone: Phone, gallery: Gallery, name: str) -> Guest:
    answer = await phone.ask("POST", f"/v1/g/{gallery.code}/contributors", json={"name": name})
    added = answer.ok(201)
    stack.secrets.add(added["contributor_key"])
    assert added["gallery_id"] == gallery.id
    key = added["contributor_key"]
    return Guest(gallery.id, gallery.code, key, gallery.url, added["id"])


async def _shown(phone: Phone, gallery: Gallery, headers: dict[str, str]) -> dict[str, str | None]:
    """Returns the items that a view shows, with the names of their contributors."""
    view = (await phone.ask("GET", f"/v1/g/{gallery.code}", headers=headers)).ok()
    assert view["gallery"]["item_count"] == len(view["items"])
    return {item["id"]: item["contributor"] and item["contributor"]["name"] for item in view["items"]}


async def _change(phone: Phone, gallery: Gallery, **fields: Any) -> None:
    changed = await phone.ask("PATCH", f"/v1/galleries/{gallery.id}", json=fields, headers=gallery.key)
    assert changed.ok().items() >= fields.items()


@pytest.mark.timeout(180)
async def test_guests_add_pictures_and_the_manager_removes_one_of_them(
    stack: StackUnderTest, phone: Phone
) -> None:
    gallery = await phone.create_gallery(title="Wedding", contributions="open")
    every, one = f"/v1/galleries/{gallery.id}/contributors", f"/v1/galleries/{gallery.id}"
    grace, mary = [await _join(stack, phone, gallery, name) for name in ("Grace", "Mary")]
    (own,) = await phone.upload(gallery, PICTURES[0])
    (added,) = await phone.upload(grace, PICTURES[1])
    (others,) = await phone.upload(mary, PICTURES[2])
    await phone.until_ready(gallery, 3)
    names = {own: None, added: "Grace", others: "Mary"}
    assert await _shown(phone, gallery, {}) == names

    # Each of them reaches its own things alone.
    changed = await phone.ask("PATCH", f"/v1/media/{added}", json={"caption": "Us"}, headers=grace.key)
    assert changed.ok()["caption"] == "Us"
    for method in ("PATCH", "DELETE"):
        for item in (own, added):
            answer = await phone.ask(method, f"/v1/media/{item}", json={}, headers=mary.key)
            answer.problem(404, "media_not_found")
    (pending,) = await phone.sign(grace, [PICTURES[0]])
    for method, what in (("GET", ""), ("DELETE", ""), ("POST", "/complete")):
        answer = await phone.ask(method, f"/v1/uploads/{pending['id']}{what}", headers=mary.key)
        answer.problem(404, "upload_not_found")
    for path in (one, every):
        (await phone.ask("GET", path, headers=grace.key)).problem(401, "gallery_key_missing")

    async def counted() -> None:
        listed = (await phone.ask("GET", every, headers=gallery.key)).ok()["items"]
        assert [(each["id"], each["name"], each["item_count"], each["size_bytes"]) for each in listed] == [
            (mary.contributor, "Mary", 1, len(PICTURES[2].body)),
            (grace.contributor, "Grace", 1, len(PICTURES[1].body)),
        ]

    await eventually(counted, 60)

    # Grace goes, with all that she added, and the upload that she has begun.
    path = f"{every}/{grace.contributor}?items=delete"
    (await phone.ask("DELETE", path, headers=gallery.key)).ok(204)
    await phone.put(pending, PICTURES[0].body)
    answer = await phone.ask("POST", f"/v1/uploads/{pending['id']}/complete", headers=grace.key)
    answer.problem(403, "contributor_key_wrong")

    async def gone() -> None:
        assert await _shown(phone, gallery, {}) == {own: None, others: "Mary"}

    await eventually(gone, 60)

    # Closed again: nothing more is taken, and Mary still decides about what she added.
    (late,) = await phone.sign(mary, [PICTURES[0]])
    await phone.put(late, PICTURES[0].body)
    await _change(phone, gallery, contributions="closed")
    answer = await phone.ask("POST", f"/v1/uploads/{late['id']}/complete", headers=mary.key)
    answer.problem(403, "contributions_closed")
    answer = await phone.ask("POST", f"/v1/g/{gallery.code}/contributors")
    answer.problem(403, "contributions_closed")

    async def aborted() -> None:
        upload = await phone.ask("GET", f"/v1/uploads/{late['id']}", headers=gallery.key)
        assert upload.ok()["state"] == "aborted"

    await eventually(aborted, 60)
    (await phone.ask("DELETE", f"/v1/media/{others}", headers=mary.key)).ok(204)
    assert await _shown(phone, gallery, {}) == {own: None}


@pytest.mark.timeout(180)
async def test_a_drop_shows_guests_what_they_added_and_no_more(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery(title="Surprise", contributions="drop")
    grace, mary = [await _join(stack, phone, gallery, name) for name in ("Grace", "Mary")]
    (own,) = await phone.upload(gallery, PICTURES[0])
    (added,) = await phone.upload(grace, PICTURES[1])
    (others,) = await phone.upload(mary, PICTURES[2])

    async def all_ready() -> None:
        view = (await phone.ask("GET", f"/v1/g/{gallery.code}", headers=gallery.key)).ok()
        assert [item["status"] for item in view["items"]] == ["ready"] * 3

    await eventually(all_ready, 60)
    assert await _shown(phone, gallery, gallery.key) == {own: None, added: "Grace", others: "Mary"}
    assert await _shown(phone, gallery, grace.key) == {added: "Grace"}
    assert await _shown(phone, gallery, mary.key) == {others: "Mary"}
    assert await _shown(phone, gallery, {}) == {}
    archive = f"/v1/g/{gallery.code}/archive"
    whole = await phone.ask("GET", archive, headers=gallery.key)
    assert len(zipfile.ZipFile(io.BytesIO(whole.body)).namelist()) == 3
    part = await phone.ask("GET", archive, headers=grace.key)
    assert zipfile.ZipFile(io.BytesIO(part.body)).namelist() == [PICTURES[1].name]
    (await phone.ask("GET", archive)).problem(409, "archive_empty")
    for headers in ({"X-Gallery-Code": gallery.code}, mary.key):
        for what in ("", "/download", "/renditions/400"):
            answer = await phone.ask("GET", f"/v1/media/{added}{what}", headers=headers)
            answer.problem(404, "media_not_found")
    assert (await phone.ask("GET", f"/v1/media/{added}/download", headers=grace.key)).status == 200
    await _change(phone, gallery, contributions="open")
    assert await _shown(phone, gallery, {}) == {own: None, added: "Grace", others: "Mary"}
