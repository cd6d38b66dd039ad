"""The main feature: thirty photographs from one phone to another by a short link."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest
from kappi_contracts.keys import gallery_prefix
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.truth import check_rendition, truth_of

pytestmark = pytest.mark.real_servers

_CODE = re.compile(r"[abcdefghkmnopqrstuwxyz23456789]{4,}")


@pytest.mark.timeout(240)
async def test_thirty_photographs_are_shared_by_a_short_link(
    stack: StackUnderTest, phone: Phone, photos: list[Path], tmp_path: Path
) -> None:
    shared = await asyncio.to_thread(stack.kappi, "share", "--title", "Journey", *map(str, photos))
    assert shared.returncode == 0, shared.stderr
    code = _shown(shared.stdout, "Code")
    stack.secrets.add(_shown(shared.stdout, "Access key"))
    assert _shown(shared.stdout, "Link") == f"{stack.base_url}/g/{code}"
    assert _CODE.fullmatch(code)

    page = (await phone.ask("GET", f"/v1/g/{code}")).ok()
    assert page["gallery"]["title"] == "Journey"
    assert page["gallery"]["item_count"] == 30
    assert [item["status"] for item in page["items"]] == ["ready"] * 30
    by_name = {item["filename"]: item for item in page["items"]}
    assert by_name.keys() == {path.name for path in photos}
    for path in photos:
        item, truth = by_name[path.name], await asyncio.to_thread(truth_of, path)
        assert (item["kind"], item["width"], item["height"]) == (truth.kind, truth.width, truth.height), path
        assert item["size"] == path.stat().st_size
        rendition = await phone.ask("GET", item["renditions"]["400"]["url"])
        assert rendition.status == 200
        await asyncio.to_thread(check_rendition, path, rendition.body)

    # Another phone has only the link.
    home = tmp_path / "home"
    got = await asyncio.to_thread(stack.kappi, "get", f"{stack.base_url}/g/{code}", str(home))
    assert got.returncode == 0, got.stderr
    assert _digests(home) == {path.name: _sha256(path) for path in photos}


async def test_an_original_is_served_unchanged_in_ranges_and_under_its_name(
    stack: StackUnderTest, phone: Phone
) -> None:
    picture = File("Blick auf 東京 «nachts».png", "image/png", encode(quadrants(64, 48), "PNG"))
    gallery = await phone.create_gallery()
    (media_id,) = await phone.upload(gallery, picture)
    (item,) = await phone.until_ready(gallery, 1)
    url = item["original"]["url"]

    whole = await phone.ask("GET", url)
    assert (whole.status, whole.body) == (200, picture.body)
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["Content-Type"] == "image/png"
    disposition = whole.headers["Content-Disposition"]
    assert disposition.startswith("attachment")
    assert f"filename*=UTF-8''{quote(picture.name, safe='')}" in disposition
    etag = whole.headers["ETag"]

    part = await phone.ask("GET", url, headers={"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, picture.body[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(picture.body)}"
    rest = await phone.ask("GET", url, headers={"Range": "bytes=-7", "If-Range": etag})
    assert rest.body in (picture.body[-7:], picture.body), "all of it is right too"
    beyond = await phone.ask("GET", url, headers={"Range": f"bytes={len(picture.body)}-"})
    assert beyond.status == 416
    known = await phone.ask("GET", url, headers={"If-None-Match": etag})
    assert (known.status, known.body) == (304, b"")

    download = (
        await phone.ask("GET", f"/v1/media/{media_id}/download", headers={"X-Gallery-Code": gallery.code})
    ).ok()
    assert (await phone.ask("GET", download["url"])).body == picture.body
    expires_at = datetime.fromisoformat(download["expires_at"])
    assert expires_at - datetime.now(UTC) > timedelta(minutes=9)


async def test_the_list_is_paged_cached_and_found_with_any_spelling_of_the_code(phone: Phone) -> None:
    gallery = await phone.create_gallery(title="Pages")
    files = [File(f"{n}.png", "image/png", encode(quadrants(40 + n, 30), "PNG")) for n in range(7)]
    media_ids = await phone.upload(gallery, *files)
    await phone.until_ready(gallery, 7)
    assert [item["id"] for item in await phone.items(gallery.code, limit=3)] == media_ids
    shouted = await phone.ask("GET", f"/v1/g/%20{gallery.code.upper()}%20")
    assert [item["id"] for item in shouted.ok()["items"]] == media_ids

    first = await phone.ask("GET", f"/v1/g/{gallery.code}")
    known = await phone.ask("GET", f"/v1/g/{gallery.code}", headers={"If-None-Match": first.headers["ETag"]})
    if known.status == 200:  # its URLs were signed again in between, which changes the tag
        assert known.headers["ETag"] != first.headers["ETag"]
    else:
        assert (known.status, known.body) == (304, b"")
    renamed = await phone.ask(
        "PATCH", f"/v1/galleries/{gallery.id}", json={"title": "Renamed"}, headers=gallery.key
    )
    assert renamed.ok()["title"] == "Renamed"
    # The client that changed it sees the change at once, despite cached grants.
    after = await phone.ask("GET", f"/v1/g/{gallery.code}", headers={"If-None-Match": first.headers["ETag"]})
    assert after.ok()["gallery"]["title"] == "Renamed"


async def test_an_item_is_described_and_deleted(stack: StackUnderTest, phone: Phone) -> None:
    picture = File(
        "a.png",
        "image/png",
        encode(quadrants(50, 40), "PNG"),
        extra={"caption": "Up", "tags": ["alps"], "location": "Zermatt", "attributes": {"day": 3}},
    )
    other = File("b.png", "image/png", encode(quadrants(60, 40), "PNG"))
    gallery = await phone.create_gallery()
    media_id, other_id = await phone.upload(gallery, picture, other)
    item = (await phone.until_ready(gallery, 2))[0]
    described = {name: item[name] for name in ("caption", "tags", "location", "attributes")}
    assert described == dict(picture.extra)
    changed = await phone.ask(
        "PATCH", f"/v1/media/{media_id}", json={"caption": None, "tags": ["dawn"]}, headers=gallery.key
    )
    assert (changed.ok()["caption"], changed.ok()["tags"], changed.ok()["location"]) == (
        None,
        ["dawn"],
        "Zermatt",
    )

    gone = await phone.ask("DELETE", f"/v1/media/{media_id}", headers=gallery.key)
    assert gone.status == 204
    by_code = {"X-Gallery-Code": gallery.code}
    for path in ("", "/download", "/renditions/400"):
        answer = await phone.ask("GET", f"/v1/media/{media_id}{path}", headers=by_code)
        answer.problem(404, "media_not_found")
    assert [item["id"] for item in await phone.items(gallery.code)] == [other_id]
    await stack.running.wait_idle()

    async def purged() -> None:  # purging happens outside the stream, which may be quiet already
        left = await evidence.objects_under(stack, gallery_prefix(UUID(gallery.id)))
        assert {key.split("/")[2] for key in left} == {other_id}

    await eventually(purged, 30)
    manager = await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=gallery.key)
    assert (manager.ok()["item_count"], manager.ok()["size_bytes"]) == (1, len(other.body))


def _shown(output: str, label: str) -> str:
    found = re.search(rf"^{label}\s+(\S+)", output, re.MULTILINE)
    assert found is not None, output
    return found[1]


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: _sha256(path) for path in folder.iterdir()}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
