"""A gallery and a link for a limited number of views and downloads."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.accounts import create_gallery, make_admin, move_to_tier, sign_up, until_media_ready
from tests.e2e.phone import Answer, File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = pytest.mark.real_servers

PNG = File("tram.png", "image/png", encode(quadrants(80, 60), "PNG"))
USED = ("max_views", "views_used", "max_downloads", "downloads_used")


async def _change(phone: Phone, gallery: Gallery, **caps: Any) -> list[Any]:
    answer = await phone.ask("PATCH", f"/v1/galleries/{gallery.id}", json=caps, headers=gallery.key)
    changed = answer.ok()
    return [changed[name] for name in USED]


async def _at_once(phone: Phone, path: str, count: int, **headers: str) -> list[Answer]:
    return await asyncio.gather(*(phone.ask("GET", path, headers=headers) for _ in range(count)))


@pytest.mark.timeout(120)
async def test_a_gallery_is_viewed_and_downloaded_as_often_as_its_caps_say(
    stack: StackUnderTest, phone: Phone, tmp_path: Path
) -> None:
    gallery = await phone.create_gallery(title="Only ten")
    path, code = f"/v1/g/{gallery.code}", {"X-Gallery-Code": gallery.code}
    first, second = await phone.upload(gallery, PNG, PNG)
    (item, _) = await phone.until_ready(gallery, 2)
    assert "/v1/media/" not in item["original"]["url"]
    assert await _change(phone, gallery, max_views=10, max_downloads=5) == [10, 0, 5, 0]

    # 50 viewers at once, and the manager, who is not counted.
    (await phone.ask("GET", path, headers=gallery.key)).ok()
    answers = await _at_once(phone, path, 50)
    pages = [answer.ok() for answer in answers if answer.status == 200]
    assert len(pages) == 10
    for answer in answers:
        if answer.status != 200:
            answer.problem(404, "gallery_not_found")
    assert (await phone.ask("HEAD", path)).status == 404
    (await phone.ask("GET", path, headers=gallery.key)).ok()

    # The viewers have what they opened: pictures, and what is left of the downloads.
    shown = pages[0]["items"][0]
    assert (await phone.ask("GET", shown["renditions"]["400"]["url"])).status in {200, 302}
    led = await phone.ask("GET", shown["original"]["url"])
    assert (led.status, (await phone.ask("GET", led.headers["Location"])).body) == (302, PNG.body)
    url = (await phone.ask("GET", f"/v1/media/{second}/download", headers=code)).ok()["url"]
    for _ in range(2):
        assert (await phone.ask("GET", url, headers={"Range": "bytes=1-"})).body == PNG.body[1:]
    archive = await phone.ask("GET", f"{path}/archive")
    rest = {"Range": "bytes=9-", "If-Range": archive.headers["ETag"]}
    assert (await phone.ask("GET", f"{path}/archive", headers=rest)).body == archive.body[9:]
    downloads = await _at_once(phone, f"/v1/media/{first}/download?redirect=true", 20, **code)
    assert sorted(answer.status for answer in downloads) == [302] * 2 + [404] * 18
    for used_up in (f"/v1/media/{second}/download", f"{path}/archive", path, shown["original"]["url"]):
        (await phone.ask("GET", used_up, headers=code)).problem(404, "gallery_not_found")
    forged = shown["original"]["url"][:-2] + "zz"
    (await phone.ask("GET", forged)).problem(403, "download_url_invalid")

    # The manager sees it all, and opens it again.
    seen = (await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=gallery.key)).ok()
    assert [seen[name] for name in USED] == [10, 10, 5, 5]
    (await phone.ask("GET", f"/v1/media/{first}/download", headers=gallery.key)).ok()
    assert await _change(phone, gallery, max_views=None, max_downloads=7) == [None, 0, 7, 5]
    got = await asyncio.to_thread(stack.kappi, "get", gallery.code, str(tmp_path / "home"))
    assert got.returncode == 0, got.stdout + got.stderr
    assert [each.read_bytes() for each in (tmp_path / "home").iterdir()] == [PNG.body] * 2
    (await phone.ask("GET", path)).problem(404, "gallery_not_found")
    assert await _change(phone, gallery, max_downloads=None) == [None, 0, None, 0]
    assert "/v1/media/" not in (await phone.items(gallery.code))[0]["original"]["url"]


@pytest.mark.timeout(120)
async def test_the_owners_own_look_is_not_counted_and_a_link_ends_at_its_cap(
    stack: StackUnderTest, phone: Phone
) -> None:
    admin, owner = await make_admin(stack, phone), await sign_up(stack, phone, "cap")
    stranger = await sign_up(stack, phone, "stranger")
    await move_to_tier(phone, admin, owner, "Enterprise")
    gallery = await create_gallery(phone, owner, max_views=1, password="pastel de nata")
    path, unlocked = f"/v1/g/{gallery.code}", {"X-Gallery-Password": "pastel de nata"}
    (media_id,) = await phone.upload(gallery, PNG)
    await until_media_ready(phone, owner, media_id)

    (await phone.ask("GET", path)).problem(401, "gallery_password_required")
    (await phone.ask("GET", path, headers={"X-Gallery-Password": "no"})).problem(
        401, "gallery_password_wrong"
    )
    for _ in range(2):
        (await phone.ask("GET", path, headers={**unlocked, **owner.key})).ok()
    (await phone.ask("GET", path, headers={**unlocked, **stranger.key})).ok()
    (await phone.ask("GET", path, headers=unlocked)).problem(404, "gallery_not_found")
    changing = await phone.ask(
        "PATCH", f"/v1/galleries/{gallery.id}", json={"max_views": 9}, headers=stranger.key
    )
    changing.problem(404, "gallery_not_found")

    links = f"/v1/media/{media_id}/links"
    body = {"valid_for": 300, "max_downloads": 3}
    made = (await phone.ask("POST", links, json=body, headers=owner.key)).ok(201)
    stack.secrets.add(made["link"].rpartition("/")[2])
    followed = await _at_once(phone, made["link"], 20)
    assert sorted(answer.status for answer in followed) == [302] * 3 + [410] * 17
    (await phone.ask("GET", made["link"])).problem(410, "link_expired")
    (listed,) = (await phone.ask("GET", links, headers=owner.key)).ok()["items"]
    assert [listed[name] for name in USED] == [None, 0, 3, 3]
